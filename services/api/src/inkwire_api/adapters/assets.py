"""The page's files, read once from the package ``inkwire_web``: nothing else on the disk can be asked for."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

CONTENT_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
"""What is served, and as what; files of any other kind stay inside."""

MAX_FILES = 500
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 5


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page."""

    body: bytes
    content_type: str
    etag: str


def load_assets(package: str = "inkwire_web") -> dict[str, Asset]:
    """The package's files by their path inside it.

    Raises:
        ValueError: more or larger files than a page has.
    """
    found: dict[str, Asset] = {}
    for path, entry in _walk(files(package), "", MAX_DEPTH):
        content_type = CONTENT_TYPES.get("." + path.rpartition(".")[2])
        if content_type is None:
            continue
        body = entry.read_bytes()
        if len(body) > MAX_FILE_BYTES or len(found) >= MAX_FILES:
            raise ValueError(f"{package} has too many or too large files: {path}")
        found[path] = Asset(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return found


def _walk(folder: Traversable, prefix: str, depth: int) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_file():
            yield prefix + entry.name, entry
        elif depth > 0 and entry.is_dir() and not entry.name.startswith(("_", ".")):
            yield from _walk(entry, f"{prefix}{entry.name}/", depth - 1)
