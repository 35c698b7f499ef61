"""The writer: takes jobs, claims posts, streams a provider into the log."""
