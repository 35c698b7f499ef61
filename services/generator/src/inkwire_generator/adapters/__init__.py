"""All input and output of the generator."""
