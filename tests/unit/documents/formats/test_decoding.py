"""Bytes to text."""

import codecs

import pytest

from inkwire_documents.formats.decoding import decode, decode_html

RUSSIAN = "Права доступа проверяются каждый квартал владельцем системы. Исключения записываются. " * 4
JAPANESE = "アクセス権は四半期ごとにシステムの所有者によって確認されます。例外は記録されます。" * 4


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", ["Größe", RUSSIAN, JAPANESE, "😀 and more", "x"])
def test_unicode_is_known_by_its_mark_or_as_utf_8(codec: str, text: str) -> None:
    """Every form of Unicode that says what it is comes out as it went in."""
    assert decode(text.encode(codec)) == text


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_known_by_its_zeros(codec: str) -> None:
    """Programs that forget the mark are understood."""
    assert decode("Access rights, reviewed every quarter".encode(codec)) == "Access rights, reviewed every quarter"


@pytest.mark.parametrize(
    ("text", "codec"),
    [(RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (JAPANESE, "shift_jis"), (JAPANESE, "euc_jp"), (JAPANESE, "iso2022_jp")],
)
def test_old_encodings_are_guessed(text: str, codec: str) -> None:
    """Text from before Unicode is recognised by what it would say."""
    assert decode(text.encode(codec)) == text


def test_a_fault_in_utf_8_is_one_fault() -> None:
    """A single broken byte does not turn the rest of a text into something else."""
    text = "Größe und Gewicht. " * 100
    assert decode(text.encode() + b"\xff") == text + "\ufffd"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\x00",
        codecs.BOM_UTF32_LE + b"\x01",
        b"\xff\xfe\x00\xd8",
        bytes(range(256)) * 3,
        b"\x80",
        b"\xef\xbb\xbf",
    ],
)
def test_any_bytes_give_some_text(data: bytes) -> None:
    """No file makes decoding fail."""
    assert isinstance(decode(data), str)
    assert isinstance(decode_html(b"<meta charset='punycode'>" + data), str)


@pytest.mark.parametrize("name", [b"hex", b"idna", b"undefined", b"zlib_codec", b"unicode_escape", b"utf-7", b"x" * 40])
def test_a_page_cannot_name_a_codec_that_harms(name: bytes) -> None:
    """A charset that is no text encoding of the web is as good as none."""
    assert "Text" in decode_html(b"<meta charset=" + name + b"><p>Text</p>")
