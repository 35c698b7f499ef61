"""An OpenAI-compatible HTTP server with deterministic text and faults on command."""
