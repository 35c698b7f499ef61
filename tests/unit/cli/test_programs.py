"""The table of programs: each gets what it needs to run, and no secret that it does not need."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from inkwire import programs
from inkwire.data_dir import DataDir
from inkwire.launcher import Program
from inkwire.programs import (
    STOP_AROUND,
    STOP_BROKER,
    STOP_SERVICES,
    Options,
    Ports,
    Table,
    uses_simulator,
    writer_line,
)

PORTS = Ports(1, 2, 3, 4, 5, 6, (7, 8))
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here
SECRET = "sk-very-secret"
ENVIRONMENT = {
    "OPENAI_API_KEY": SECRET,
    "OPENAI_MODEL": "gpt-x",
    "INKWIRE_LOG_LEVEL": "debug",
    "INKWIRE_JWT_KEYS": "k1:" + "x" * 40,
    "INKWIRE_API_MAX_OPEN_POSTS": "3",
    "INKWIRE_GENERATOR_POSTS": "9",
    "AWS_SECRET_ACCESS_KEY": "other",
}


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """For readiness; nothing is asked here."""
    async with aiohttp.ClientSession() as opened:
        yield opened


def table(session: aiohttp.ClientSession, tmp_path: Path, *, host: str = "127.0.0.1", **changes: str | None) -> Table:
    """A table under an environment."""
    environment = {name: value for name, value in {**ENVIRONMENT, **changes}.items() if value is not None}
    data = DataDir(tmp_path / "data")
    data.prepare()
    return Table(Options(data, host, 8080, 2, 60.0), PORTS, session, environment)


def by_name(built: Table) -> dict[str, Program]:
    """All rows."""
    rows = [built.broker(), built.simulator(), built.proxy(), *built.services()]
    return {row.name: row for row in rows}


async def test_key_of_the_provider_goes_to_generators_only(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Nobody else sees OPENAI_API_KEY, not even on a command line."""
    rows = by_name(table(session, tmp_path))
    holders = {name for name, row in rows.items() if SECRET in row.env.values()}
    assert holders == {"generator-1", "generator-2"}
    assert not any(SECRET in part for row in rows.values() for part in row.argv)


async def test_the_api_has_the_key_only_to_embed_documents(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """With a model for embeddings api and generators share it, and the way to it; nobody else has the key."""
    rows = by_name(table(session, tmp_path, INKWIRE_EMBEDDING_MODEL="embed-x"))
    holders = {name for name, row in rows.items() if SECRET in row.env.values()}
    assert holders == {"api", "generator-1", "generator-2"}
    assert {rows[name].env["INKWIRE_EMBEDDING_MODEL"] for name in holders} == {"embed-x"}


async def test_the_simulators_vectors_are_not_taken_for_the_models(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Without a key both embed with the simulator, under a name that no real model has."""
    rows = by_name(table(session, tmp_path, OPENAI_API_KEY=None, INKWIRE_EMBEDDING_MODEL="embed-x"))
    for name in ("api", "generator-1"):
        assert rows[name].env["INKWIRE_EMBEDDING_MODEL"] == "simulated-embed-x"
        assert rows[name].env["OPENAI_BASE_URL"] == "http://127.0.0.1:6/v1"


async def test_signing_keys_go_to_who_needs_them_by_file(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Keys are named by their file, for api and gateway; keys of the person's own environment go nowhere."""
    rows = by_name(table(session, tmp_path))
    assert {name for name, row in rows.items() if "INKWIRE_JWT_KEYS_FILE" in row.env} >= {"api", "gateway"}
    assert not {"nats", "simulator", "caddy", "persister"} & {
        name for name, row in rows.items() if "INKWIRE_JWT_KEYS_FILE" in row.env
    }
    assert not any("INKWIRE_JWT_KEYS" in row.env for row in rows.values())


async def test_foreign_variables_stay_out(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """What is not Inkwire's is not handed on, and a service sees no other service's settings."""
    rows = by_name(table(session, tmp_path))
    assert not any("AWS_SECRET_ACCESS_KEY" in row.env for row in rows.values())
    assert rows["api"].env["INKWIRE_API_MAX_OPEN_POSTS"] == "3"
    assert rows["generator-1"].env["INKWIRE_GENERATOR_POSTS"] == "9"
    assert "INKWIRE_API_MAX_OPEN_POSTS" not in rows["generator-1"].env
    assert rows["gateway"].env["INKWIRE_LOG_LEVEL"] == "debug"


async def test_the_gateway_knows_the_api(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Cancels of the socket go to the api of this very Inkwire."""
    env = by_name(table(session, tmp_path))
    assert env["gateway"].env["INKWIRE_GATEWAY_API_URL"] == f"http://127.0.0.1:{env['api'].env['INKWIRE_API_PORT']}"


async def test_without_a_key_the_simulator_writes(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Generators get the simulator's address, the api says so."""
    built = table(session, tmp_path, OPENAI_API_KEY=None)
    rows = by_name(built)
    assert built.simulated
    assert rows["generator-1"].env["OPENAI_BASE_URL"] == "http://127.0.0.1:6/v1"
    assert rows["api"].env["INKWIRE_SIMULATED"] == "true"


async def test_with_a_key_the_real_model_writes(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Page and generator name the same model."""
    rows = by_name(table(session, tmp_path))
    assert rows["api"].env["INKWIRE_SIMULATED"] == "false"
    assert rows["api"].env["OPENAI_MODEL"] == rows["generator-1"].env["OPENAI_MODEL"] == "gpt-x"
    assert "OPENAI_BASE_URL" not in rows["generator-1"].env


@pytest.mark.parametrize(("host", "signs_in"), [("127.0.0.1", "true"), ("localhost", "true"), (EVERYWHERE, "false")])
async def test_sign_in_without_credentials_only_on_loopback(
    session: aiohttp.ClientSession, tmp_path: Path, host: str, signs_in: str
) -> None:
    """Whoever opens Inkwire to others opens it with tokens."""
    assert by_name(table(session, tmp_path, host=host))["api"].env["INKWIRE_API_DEV_SIGN_IN"] == signs_in


async def test_services_stop_before_what_they_lean_on(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Proxy and simulator outlive the services, the broker outlives all."""
    rows = by_name(table(session, tmp_path))
    assert {rows[name].stop_tier for name in ("api", "gateway", "persister", "generator-1")} == {STOP_SERVICES}
    assert rows["caddy"].stop_tier == rows["simulator"].stop_tier == STOP_AROUND
    assert rows["nats"].stop_tier == STOP_BROKER
    assert STOP_SERVICES < STOP_AROUND < STOP_BROKER


async def test_only_the_proxy_listens_to_others(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """All ports but the public one stay on loopback, also with --host 0.0.0.0."""
    rows = by_name(table(session, tmp_path, host=EVERYWHERE))
    for name, row in rows.items():
        listens = {key: value for key, value in row.env.items() if key.endswith("_HOST")}
        assert set(listens.values()) <= {"127.0.0.1"}, name
    assert rows["caddy"].env["INKWIRE_PROXY_BIND"] == EVERYWHERE
    assert 'listen: "127.0.0.1:1"' in (tmp_path / "data" / "nats.conf").read_text()


def test_own_address_of_a_model_needs_no_key() -> None:
    """Ollama and the like have no keys."""
    assert not uses_simulator({"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"})
    assert uses_simulator({"OPENAI_API_KEY": "", "OPENAI_MODEL": "x"})


def test_who_writes_is_told_without_secrets() -> None:
    """The line names model and host; a password in the address is not shown."""
    line = writer_line({"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": "https://me:pw@models.example/v1"})
    assert "models.example" in line
    assert "pw" not in line
    assert SECRET not in line
    assert "simulator" in writer_line({})


@pytest.mark.parametrize(("shares", "upstreams"), [(True, "127.0.0.1:4"), (False, "127.0.0.1:4 127.0.0.1:5")])
async def test_the_proxy_knows_all_listeners_of_the_gateway(
    session: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: bool, upstreams: str
) -> None:
    """One port where the kernel shares it among workers, else one for each; the gateway is told how many."""
    monkeypatch.setattr(programs, "SHARES_PORTS", shares)
    built = table(session, tmp_path)
    built.options = replace(built.options, gateway_workers=2)
    rows = by_name(built)
    assert rows["caddy"].env["INKWIRE_GATEWAY_UPSTREAMS"] == upstreams
    assert rows["gateway"].env["INKWIRE_GATEWAY_WORKERS"] == "2"


def test_the_public_port_is_given_to_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there yet, so the system may offer it once more."""
    offered = iter(range(7_000, 8_000))
    monkeypatch.setattr(programs, "free_row", lambda count, public: 7_003)
    monkeypatch.setattr(programs, "free_ports", lambda count: [next(offered) for _ in range(count)])
    ports = list(programs.choose_ports(Options(DataDir(tmp_path), "127.0.0.1", 7_001, 2, 60.0)))
    assert ports == [7_000, 7_002, 7_004, 7_003, 7_005, 7_006, 7_007, 7_008]
