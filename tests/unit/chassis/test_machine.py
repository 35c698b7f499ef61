"""Cores of this machine."""

import os
from pathlib import Path

import pytest

from inkwire_chassis.machine import usable_cores


def test_cores_are_those_this_process_may_run_on(tmp_path: Path) -> None:
    """Without a quota the affinity counts."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert usable_cores(tmp_path / "missing") == allowed


@pytest.mark.parametrize(
    ("quota", "most"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", 4096), ("", 4096), ("1 0", 4096)]
)
def test_a_quota_counts_where_it_is_less(tmp_path: Path, quota: str, most: int) -> None:
    """A container's quota is rounded down to whole cores, never to none; what cannot be read is no quota."""
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cores(file) == min(most, usable_cores(tmp_path / "missing"))
