"""The data folder of a local Inkwire: secrets, state of the running one, and the lock that there is only one."""

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO
from urllib.parse import quote


class InUse(Exception):
    """Another `inkwire up` runs on this folder."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where a running local Inkwire is to be found. ``children``: process ids by name at the start."""

    pid: int
    url: str
    nats_url: str
    store_url: str
    simulated: bool
    children: dict[str, int]


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths below one folder."""

    root: Path

    @property
    def jwt_keys(self) -> Path:
        """The file with the signing keys."""
        return self.root / "secrets" / "jwt_keys"

    @property
    def state(self) -> Path:
        """The file that tells other commands where the running Inkwire is."""
        return self.root / "running.json"

    @property
    def default_store_url(self) -> str:
        """The embedded store."""
        return f"sqlite:///{quote(str((self.root / 'inkwire.sqlite3').absolute()))}"

    def prepare(self) -> None:
        """Make the folder and its secrets, readable by the owner alone; a folder that is there stays as open as it is.

        Raises:
            OSError: the folder cannot be made or written.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        self.jwt_keys.parent.mkdir(mode=0o700, exist_ok=True)
        if not self.jwt_keys.exists():
            text = f"k{secrets.token_hex(4)}:{secrets.token_urlsafe(48)}"
            _write_private(self.jwt_keys, text)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; the system lets go of it with the process, however that ends.

        Raises:
            InUse: somebody else holds it.
        """
        with (self.root / "lock").open("a+b") as file:
            if not _try_lock(file):
                running = self._read_state()
                where = f" at {running.url} (process {running.pid})" if running else ""
                raise InUse(f"an Inkwire already runs on {self.root}{where}: stop it, or give another --data")
            self.state.unlink(missing_ok=True)
            try:
                yield
            finally:
                self.state.unlink(missing_ok=True)

    def write_state(self, running: Running) -> None:
        """Tell other commands where we are; they never read half of it."""
        part = self.state.with_suffix(".part")
        part.unlink(missing_ok=True)
        _write_private(part, json.dumps(asdict(running)))
        part.replace(self.state)

    def running(self) -> Running | None:
        """The Inkwire that runs on this folder, if one holds its lock."""
        return self._read_state() if self.is_locked() else None

    def is_locked(self) -> bool:
        """Whether an `inkwire up` holds this folder."""
        try:
            with (self.root / "lock").open("r+b") as file:
                return not _try_lock(file)
        except OSError:
            return False

    def _read_state(self) -> Running | None:
        try:
            found = json.loads(self.state.read_text(encoding="utf-8"))
            return Running(**{field.name: found[field.name] for field in fields(Running)})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
