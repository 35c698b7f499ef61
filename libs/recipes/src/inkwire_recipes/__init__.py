"""Kinds of content: a recipe turns a request into a plan of sections and renders them. Pure."""
