"""The command line, and the client for Python (:mod:`inkwire.client`)."""
