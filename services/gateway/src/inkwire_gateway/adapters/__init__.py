"""All input and output of the gateway."""
