"""The HTTP door: accepts, lists, reads and cancels posts."""
