"""What Inkwire's processes promise each other: events, their fold, subjects, streams, client frames and codes."""
