"""What one extraction may take and give. All of it is data, so that whoever extracts decides."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one extraction; beyond one of them it ends in an error that names it.

    ``max_bytes`` of the upload, ``max_pages`` (PDF), ``max_chars`` and ``max_passages_count`` of what comes out.
    ``memory_bytes`` and ``cpu_s`` are kept by the operating system where it can (Linux both, macOS the second),
    ``wall_s`` everywhere. ``max_unpacked_bytes`` and ``max_members_count`` are of packed formats (DOCX), counted
    before anything is unpacked.
    """

    max_bytes: int = 20 * MIB
    max_pages: int = 2_000
    max_chars: int = 2_000_000
    max_passages_count: int = 20_000
    memory_bytes: int = 768 * MIB
    cpu_s: int = 60
    wall_s: float = 120.0
    max_unpacked_bytes: int = 200 * MIB
    max_members_count: int = 5_000


DEFAULT_LIMITS = Limits()
