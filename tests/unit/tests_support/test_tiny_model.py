"""The model of random weights that servers of other people are tested with."""

import struct
from pathlib import Path

from tests.support.tiny_model import ALIGNMENT, write_tiny_model


def test_equal_seeds_give_equal_models(tmp_path: Path) -> None:
    """A run can be repeated, and another seed is another model."""
    one, same, other = (write_tiny_model(tmp_path / str(n), seed) for n, seed in enumerate((1, 1, 2)))
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()


def test_the_file_holds_the_tensors_that_it_lists(tmp_path: Path) -> None:
    """Its head says GGUF, version 3; the last tensor ends where the file ends, and the file is small."""
    raw = write_tiny_model(tmp_path / "tiny.gguf").read_bytes()
    magic, version, tensors, _ = struct.unpack_from("<4sIQQ", raw)
    assert (magic, version) == (b"GGUF", 3)
    name = b"output.weight"
    at = raw.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)
    dimensions, width, tokens, kind, offset = struct.unpack_from("<IQQIQ", raw, at)
    assert (dimensions, kind, tensors) == (2, 0, 3 + 2 * 9)
    data_at = -(-(at + 32) // ALIGNMENT) * ALIGNMENT  # it is the last of the list, and the data follows
    assert data_at + offset + width * tokens * 4 == len(raw) < 1_000_000
    assert raw.count(b"</s>") == 1
