"""The keeper: folds key events into the store."""
