"""The command line: inkwire up, write, watch, doctor, provision, token."""
