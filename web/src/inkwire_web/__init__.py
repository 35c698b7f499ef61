"""The page: HTML, CSS and ES modules as package data, no build step."""
