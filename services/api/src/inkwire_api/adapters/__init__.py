"""All I/O of the api."""
