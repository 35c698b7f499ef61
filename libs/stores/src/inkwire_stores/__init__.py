"""Where posts are kept: the ports, and their MongoDB and SQLite adapters."""
