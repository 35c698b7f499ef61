"""The test suites; one folder for each kind, named by its mark."""
