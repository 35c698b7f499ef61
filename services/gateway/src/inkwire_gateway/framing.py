"""WebSocket frames from server to client, made by hand so that one event is framed once for all its readers.

What is bypassed is the library's `send()`: its state check, its drain (a slow reader must hold up nobody) and its
extensions (a plain frame is legal on every connection; compressed ones are in ``deflate``). RFC 6455, section 5.2.
"""

PING = b"\x89\x00"
"""A ping without payload; the library answers the clients' own pings."""

_TEXT = 0x81  # FIN and opcode 1; frames of a server are not masked


def text_frame(payload: bytes) -> bytes:
    """One unfragmented text frame around UTF-8 ``payload``, of any length."""
    length = len(payload)
    if length < 126:
        return bytes((_TEXT, length)) + payload
    if length < 1 << 16:
        return bytes((_TEXT, 126)) + length.to_bytes(2, "big") + payload
    return bytes((_TEXT, 127)) + length.to_bytes(8, "big") + payload
