"""The page's files."""

import re
import sys
from pathlib import Path

import pytest

from inkwire_api.adapters.assets import MAX_FILE_BYTES, load_assets
from inkwire_api.bounds import MAX_TITLE_CHARS


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> str:
    """A package of its own name with these files."""
    name = f"page_{folder.name.replace('-', '_')}"
    for path, body in {"__init__.py": b"", **files}.items():
        (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / path).write_bytes(body)
    monkeypatch.syspath_prepend(str(folder))
    return name


def test_files_have_types_and_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts are scripts and styles are styles; the tag follows the content alone."""
    name = package(tmp_path, monkeypatch, {"index.html": b"<p>", "static/a.js": b"1", "static/v/b.js": b"1"})
    found = load_assets(name)
    assert set(found) == {"index.html", "static/a.js", "static/v/b.js"}
    assert found["index.html"].content_type == "text/html; charset=utf-8"
    assert found["static/a.js"].content_type == "text/javascript; charset=utf-8"
    assert found["static/a.js"].etag == found["static/v/b.js"].etag != found["index.html"].etag
    sys.modules.pop(name)


def test_what_is_no_part_of_a_page_stays_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python, markers, caches and unknown kinds are not served."""
    files = {"static/a.css": b"", "x.py": b"", "py.typed": b"", "__pycache__/x.js": b"", "key.pem": b"", ".h/a.js": b""}
    name = package(tmp_path, monkeypatch, files)
    assert set(load_assets(name)) == {"static/a.css"}
    sys.modules.pop(name)


def test_a_file_that_no_page_has_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is held in memory, so its size is bounded."""
    name = package(tmp_path, monkeypatch, {"big.txt": b"x" * (MAX_FILE_BYTES + 1)})
    with pytest.raises(ValueError, match=r"big\.txt"):
        load_assets(name)
    sys.modules.pop(name)


def test_the_page_knows_how_long_a_title_the_api_takes() -> None:
    """What the field says fits is not refused for its length, and what it refuses would be."""
    field = re.search(rb'<textarea id="title"[^>]* data-limit="(\d+)"', load_assets()["index.html"].body)
    assert field is not None and int(field[1]) == MAX_TITLE_CHARS
