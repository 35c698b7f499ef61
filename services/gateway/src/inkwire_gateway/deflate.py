"""Frames of permessage-deflate (RFC 7692), compressed once for all connections that negotiated it.

That is legal only where the server takes no context over: each frame must be readable without any before it. A frame
that is not compressed is legal on every connection, so small ones and those that do not shrink go as they are.
"""

import zlib

from inkwire_gateway.framing import text_frame

MIN_BYTES = 200
"""Payloads below it are answers to one client alone, for the most part, and hardly repeat themselves."""

WORTH_SHARE = 0.9
"""A compressed payload may have this share of the plain one's bytes; above it the reader's work is not worth it."""

WINDOW_BITS = 15
"""The window that a reader must have; one that offers less is served plain."""

_LEVEL = 1  # 6 makes no event and long texts a tenth smaller, for two to four times the time: benchmarks/README.md
_COMPRESSED_TEXT = b"\xc1"  # FIN, RSV1 and opcode 1
_SYNC_END = b"\x00\x00\xff\xff"  # RFC 7692, section 7.2.1: left out, the reader adds it


def deflated_frame(payload: bytes) -> bytes:
    """One text frame around UTF-8 ``payload``: compressed where that pays, else plain."""
    if len(payload) < MIN_BYTES:
        return text_frame(payload)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -WINDOW_BITS)
    packed = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_SYNC_END)
    if len(packed) > len(payload) * WORTH_SHARE:
        return text_frame(payload)
    return _COMPRESSED_TEXT + text_frame(packed)[1:]
