"""Bytes to text, in whatever encoding they are."""

import codecs
import contextlib
import re

import charset_normalizer

from inkwire_documents.kinds import SNIFF_BYTES, utf16_without_bom

DETECTION_BYTES = 262_144
MAX_BROKEN_SHARE = 0.001
"""A text whose share of broken characters is below this one is UTF-8 with a few faults."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([a-zA-Z0-9_:.-]{1,40})""", re.IGNORECASE)
_META_BYTES = 4_096


def decode(data: bytes) -> str:
    """Text of bytes: by its mark, as UTF-8, else in the encoding that it looks like. What cannot be is U+FFFD."""
    for mark, codec in _BOMS:
        if data.startswith(mark):
            return data.decode(codec, errors="replace")
    wide = utf16_without_bom(data[:SNIFF_BYTES])
    if wide is not None:
        return data.decode(wide, errors="replace")
    if b"\x1b$" in data[:SNIFF_BYTES]:
        with contextlib.suppress(UnicodeDecodeError):  # Japanese in seven bits, which would pass for UTF-8
            return data.decode("iso2022_jp_ext")
    text = data.decode("utf-8", errors="replace")
    if text.count("\ufffd") <= len(text) * MAX_BROKEN_SHARE:
        return text
    best = charset_normalizer.from_bytes(data[:DETECTION_BYTES]).best()
    return text if best is None else data.decode(best.encoding, errors="replace")


def decode_html(data: bytes) -> str:
    """Text of a page: by its mark, else in the encoding that it names if the bytes agree, else like any text."""
    said = None if data.startswith(tuple(mark for mark, _ in _BOMS)) else _META_CHARSET.search(data[:_META_BYTES])
    if said is not None:
        try:
            return data.decode(said[1].decode("ascii"))
        except (LookupError, UnicodeError, ValueError):
            return decode(data)
    return decode(data)
