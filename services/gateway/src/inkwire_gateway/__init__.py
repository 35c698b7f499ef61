"""The live door: WebSocket connections, channels, snapshots and tails."""
