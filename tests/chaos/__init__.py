"""The kill matrix: every process of Inkwire is killed at random while posts are written, read and compared."""
