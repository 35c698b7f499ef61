"""The data folder of a local Inkwire: secrets, state of the running one, and the lock that there is only one."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path


class InUse(Exception):
    """Another `inkwire up` runs on this folder."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where a running local Inkwire is to be found."""

    pid: int
    url: str
    nats_url: str
    store_url: str


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
        return f"sqlite:///{(self.root / 'inkwire.sqlite3').absolute()}"

    def prepare(self) -> None:
        """Make the folder and its secrets, readable by the owner alone."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.jwt_keys.parent.mkdir(mode=0o700, exist_ok=True)
        if not self.jwt_keys.exists():
            text = f"k{secrets.token_hex(4)}:{secrets.token_urlsafe(48)}"
            handle = os.open(self.jwt_keys, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; the kernel lets go of it with the process.

        Raises:
            InUse: somebody else holds it.
        """
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(f"an Inkwire already runs on {self.root}: stop it, or give another --data") from None
            try:
                yield
            finally:
                self.state.unlink(missing_ok=True)

    def write_state(self, running: Running) -> None:
        """Tell other commands where we are."""
        self.state.write_text(json.dumps(asdict(running)), encoding="utf-8")

    def running(self) -> Running | None:
        """The Inkwire that runs on this folder, if its process lives."""
        try:
            running = Running(**json.loads(self.state.read_text(encoding="utf-8")))
            os.kill(running.pid, 0)
        except (OSError, ValueError, TypeError):
            return None
        return running
