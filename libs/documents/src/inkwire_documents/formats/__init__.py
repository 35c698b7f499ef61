"""One module per format, from bytes to blocks. Only the worker imports them."""
