"""The page: HTML, CSS and ES modules as package data, no build step.

``index.html`` is served for ``/`` and ``/p/<id>``, the folder ``static`` under ``/static/``; nothing else is served.
"""
