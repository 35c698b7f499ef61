"""All I/O of the persister."""
