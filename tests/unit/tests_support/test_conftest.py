"""The rules that tests/conftest.py lays on every test."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest


class _Item(SimpleNamespace):
    """As much of a pytest item as the collection hook looks at."""

    def add_marker(self, name: str) -> None:
        """Keep the name."""
        self.marks.append(name)


def _item(path: str, *fixtures: str) -> Any:
    return _Item(path=conftest.HERE / path, fixturenames=fixtures, marks=[])


def test_a_test_is_marked_by_its_folder_and_its_needs() -> None:
    """The folder gives the kind, the fixtures what it needs."""
    item = _item("integration/deep/test_x.py", "tmp_path", "nats_url", "nats_server", "nats_factory", "mongo_server")
    conftest.pytest_collection_modifyitems([item])
    assert sorted(item.marks) == ["integration", "mongo", "nats"]


def test_a_test_outside_the_folders_is_refused() -> None:
    """A test whose kind nobody can tell stops the run."""
    with pytest.raises(pytest.UsageError, match=r"test_stray\.py must be in one of the folders"):
        conftest.pytest_collection_modifyitems([_item("test_stray.py")])


def test_tests_of_other_folders_are_left_alone() -> None:
    """What lies outside tests/ is not ours to mark."""
    item = _item("../elsewhere/test_x.py")
    item.path = item.path.resolve()
    conftest.pytest_collection_modifyitems([item])
    assert item.marks == []


def test_this_test_is_isolated(request: pytest.FixtureRequest) -> None:
    """Tests of this folder carry the mark that keeps them off the network."""
    assert request.node.get_closest_marker("unit") is not None
