""".env.example names every variable that a service reads, with its default."""

from tests.contract.env_example import COMMAND, PATH, render


def test_env_example_is_complete() -> None:
    """The file says what the settings classes say; the message holds the command that writes it anew."""
    written = PATH.read_text(encoding="utf-8").splitlines()
    wanted = render().splitlines()
    missing = [line for line in wanted if line not in written]
    stale = [line for line in written if line not in wanted]
    assert written == wanted, f"\nmissing: {missing}\nstale: {stale}\nwrite it anew: {COMMAND}"
