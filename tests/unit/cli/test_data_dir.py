"""The data folder: secrets for its owner alone, one Inkwire at a time, and where it is."""

import json
import os
from pathlib import Path

import pytest

from inkwire.data_dir import DataDir, InUse, Running
from inkwire_chassis.auth import KeyRing
from inkwire_stores import check_store_url

RUNNING = Running(
    pid=os.getpid(),
    url="http://127.0.0.1:1",
    nats_url="nats://127.0.0.1:2",
    store_url="sqlite:///x",
    simulated=True,
    children={"nats": 1},
)


@pytest.fixture
def folder(tmp_path: Path) -> DataDir:
    """A prepared folder."""
    data = DataDir(tmp_path / "data")
    data.prepare()
    return data


def test_keys_are_made_once_and_are_private(folder: DataDir) -> None:
    """The keys parse, nobody else may read them, and a second start keeps them."""
    text = folder.jwt_keys.read_text()
    KeyRing.parse(text, "inkwire")
    assert folder.jwt_keys.stat().st_mode & 0o077 == 0
    assert folder.jwt_keys.parent.stat().st_mode & 0o077 == 0
    folder.prepare()
    assert folder.jwt_keys.read_text() == text


def test_what_people_write_is_private(tmp_path: Path) -> None:
    """Posts, conversations and documents lie in the folder: no other user of the machine reads a new one."""
    folder = DataDir(tmp_path / "new" / "data")
    folder.prepare()
    assert folder.root.stat().st_mode & 0o077 == 0


def test_two_folders_have_different_keys(folder: DataDir, tmp_path: Path) -> None:
    """Keys are drawn, not fixed."""
    other = DataDir(tmp_path / "other")
    other.prepare()
    assert other.jwt_keys.read_text() != folder.jwt_keys.read_text()


def test_data_is_never_committed_by_mistake(folder: DataDir) -> None:
    """The folder ignores itself, secrets and all."""
    assert (folder.root / ".gitignore").read_text() == "*\n"


def test_only_one_holds_the_folder(folder: DataDir) -> None:
    """The second one is refused with the address of the first, and may come once that has gone."""
    with folder.locked():
        folder.write_state(RUNNING)
        with pytest.raises(InUse, match=r"http://127\.0\.0\.1:1"), DataDir(folder.root).locked():
            pass
        assert DataDir(folder.root).running() == RUNNING
    with DataDir(folder.root).locked():
        pass


def test_state_of_a_dead_one_is_not_believed(folder: DataDir) -> None:
    """A state file without a holder of the lock is what a killed launcher left, whatever its process id is now."""
    folder.write_state(RUNNING)
    assert folder.running() is None
    assert not folder.is_locked()


def test_state_goes_with_the_one_who_wrote_it(folder: DataDir) -> None:
    """After the end nobody finds an address."""
    with folder.locked():
        folder.write_state(RUNNING)
    assert not folder.state.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_damaged_state_is_no_state(folder: DataDir, text: str) -> None:
    """Half a file is as good as none."""
    with folder.locked():
        folder.state.write_text(text)
        assert folder.running() is None
        assert folder.is_locked()


def test_state_file_is_private_and_whole(folder: DataDir) -> None:
    """It may name a store with a password, so only its owner reads it."""
    folder.write_state(RUNNING)
    folder.write_state(RUNNING)
    assert json.loads(folder.state.read_text())["children"] == {"nats": 1}
    assert folder.state.stat().st_mode & 0o077 == 0


def test_no_folder_means_nothing_runs(tmp_path: Path) -> None:
    """Asking makes nothing."""
    assert DataDir(tmp_path / "no").running() is None
    assert not (tmp_path / "no").exists()


def test_store_url_survives_odd_names(tmp_path: Path) -> None:
    """A folder with a space and a per cent sign still names one file."""
    url = DataDir(tmp_path / "my data 100%").default_store_url
    assert check_store_url(url) == url
    assert " " not in url
    assert "100%25" in url
