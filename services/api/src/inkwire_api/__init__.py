"""The HTTP door: accepts, lists and reads posts, and serves the page."""

__version__ = "0.1.0"
