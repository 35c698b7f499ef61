"""The throwaway servers of the tests keep what they promise: real servers, killed and restarted on their data."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from nats.js.api import StreamConfig
from pymongo.errors import DuplicateKeyError

from tests.support.mongo_server import MongoEndpoint
from tests.support.nats_server import NatsEndpoint, delete_streams, stream_names
from tests.support.processes import ManagedProcess, ProcessEnded, ServiceProcess, process_exists
from tests.support.servers import MongoFactory, NatsFactory
from tests.support.wait import eventually, eventually_sync, scaled_s

WRITERS = 8
ROUNDS = 10


async def _publish(url: str, text: bytes) -> int:
    client = await nats.connect(url, allow_reconnect=False)
    try:
        return (await client.jetstream().publish("kept.text", text)).seq
    finally:
        await client.close()


async def _make_stream(url: str) -> None:
    client = await nats.connect(url, allow_reconnect=False)
    try:
        await client.jetstream().add_stream(StreamConfig(name="KEPT", subjects=["kept.>"]))
    finally:
        await client.close()


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_nats_keeps_data_and_port_over_a_restart(nats_factory: NatsFactory, kill: bool) -> None:
    """What was acknowledged is there after a stop or a kill, at the same address."""
    server = nats_factory()
    before = server.url
    await _make_stream(server.url)
    assert await _publish(server.url, b"one") == 1
    server.restart(kill=kill)
    assert server.url == before
    assert await _publish(server.url, b"two") == 2
    assert (await asyncio.to_thread(server.monitor, "jsz"))["messages"] == 2


async def test_nats_writes_through_to_the_disk(nats_factory: NatsFactory) -> None:
    """The server runs with sync_interval: always, as its own monitoring says."""
    server = nats_factory()
    assert server.monitor("varz")["jetstream"]["config"]["sync_always"] is True


async def test_a_paused_nats_answers_nothing_until_it_is_resumed(nats_factory: NatsFactory) -> None:
    """A stopped clock of the broker is not a closed connection: a publish waits and then ends well."""
    server = nats_factory()
    await _make_stream(server.url)
    client = await nats.connect(server.url, allow_reconnect=False)
    server.process.pause()
    publish = asyncio.ensure_future(client.jetstream().publish("kept.text", b"late", timeout=60))
    await client._flush_pending()
    assert not publish.done()
    server.process.resume()
    assert (await publish).seq == 1
    await client.close()


def test_a_test_starts_on_an_empty_nats(nats_url: str) -> None:
    """The shared server has no stream of another test, and loses all of this one's."""
    assert stream_names(nats_url) == []
    asyncio.run(_make_stream(nats_url))
    assert stream_names(nats_url) == ["KEPT"]
    delete_streams(nats_url)
    assert stream_names(nats_url) == []


def test_the_run_says_which_nats_it_used(nats_server: NatsEndpoint, request: pytest.FixtureRequest) -> None:
    """The label is printed at the end, and names the server."""
    assert f"nats: {nats_server.label}" in list(request.getfixturevalue("run_report").lines())


def test_only_mongodb_is_called_mongodb(mongo_server: MongoEndpoint) -> None:
    """The label begins with what the server itself says it is."""
    assert mongo_server.label.startswith("MongoDB ") == mongo_server.is_mongodb


async def test_guarded_writes_hold_over_the_wire(mongo_database: tuple[str, str]) -> None:
    """Compare-and-set by filter, and an upsert that meets a newer document, behave as the persister needs."""
    url, name = mongo_database
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(url)
    posts = client[name].posts
    await posts.insert_one({"_id": "p", "seq": 1})
    assert (await posts.update_one({"_id": "p", "seq": 1}, {"$set": {"seq": 2}})).matched_count == 1
    assert (await posts.update_one({"_id": "p", "seq": 1}, {"$set": {"seq": 9}})).matched_count == 0
    assert (await posts.replace_one({"_id": "p", "seq": 2}, {"seq": 3, "text": "é\0😀"})).matched_count == 1
    with pytest.raises(DuplicateKeyError):
        await posts.replace_one({"_id": "p", "seq": 2}, {"seq": 9}, upsert=True)
    assert await posts.find_one({"_id": "p"}) == {"_id": "p", "seq": 3, "text": "é\0😀"}
    client.close()


async def test_one_writer_wins_each_compare_and_set(mongo_database: tuple[str, str]) -> None:
    """Of writers that race for one document each step is won once: no update is lost, none is counted twice."""
    url, name = mongo_database
    client: AsyncIOMotorClient[dict[str, int]] = AsyncIOMotorClient(url)
    posts = client[name].posts
    await posts.insert_one({"_id": 1, "seq": 0})
    won: list[int] = []

    async def write() -> None:
        for _ in range(ROUNDS):
            found = await posts.find_one({"_id": 1})
            assert found is not None
            step = {"$set": {"seq": found["seq"] + 1}}
            if (await posts.update_one({"_id": 1, "seq": found["seq"]}, step)).matched_count:
                won.append(found["seq"])

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    found = await posts.find_one({"_id": 1})
    assert found is not None
    assert sorted(won) == list(range(found["seq"]))
    client.close()


async def test_pages_come_in_order(mongo_database: tuple[str, str]) -> None:
    """Sorting by (created_at, _id), with an index, a limit and a position to go on from, gives each document once."""
    url, name = mongo_database
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(url)
    posts = client[name].posts
    await posts.create_index([("owner", 1), ("created_at", -1), ("_id", -1)])
    await posts.insert_many([{"_id": f"p{n:02}", "owner": "o", "created_at": n // 3, "text": "t"} for n in range(10)])
    seen: list[str] = []
    position: dict[str, object] = {}
    while page := await (
        posts.find({"owner": "o", **position}, {"created_at": 1}).sort([("created_at", -1), ("_id", -1)]).limit(4)
    ).to_list(4):
        assert all(set(post) == {"_id", "created_at"} for post in page)
        seen += [str(post["_id"]) for post in page]
        at, last = page[-1]["created_at"], page[-1]["_id"]
        position = {"$or": [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": last}}]}
    assert seen == [f"p{n:02}" for n in reversed(range(10))]
    client.close()


async def test_mongo_keeps_data_and_port_over_a_kill(mongo_factory: MongoFactory) -> None:
    """What was acknowledged is there after a kill and a new start, at the same address."""
    server = mongo_factory()
    before = server.url
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(server.url)
    await client.kept.posts.insert_one({"_id": "p", "seq": 1})
    server.kill9()
    await asyncio.to_thread(server.stop)
    server.start()
    assert server.url == before
    found = await eventually(lambda: client.kept.posts.find_one({"_id": "p"}), what="the document is there")
    assert found == {"_id": "p", "seq": 1}
    client.close()


def test_a_child_dies_with_the_test_run(tmp_path: Path) -> None:
    """Nothing that a test run started survives it, even if it is killed."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    program = (
        "from tests.support.processes import ManagedProcess; import time\n"
        "child = ManagedProcess('child', ['sleep', '600']).start(); print(child.pid, flush=True); time.sleep(600)"
    )
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    with run.stdout:
        pid = int(run.stdout.readline())
        eventually_sync(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()[:8], what="the child runs")
        run.kill()
        run.wait()
    eventually_sync(lambda: not process_exists(pid), what="the child is gone")


Keep = Callable[[ManagedProcess], ManagedProcess]

SERVICE = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_):
        print("asked", self.path, os.environ.get("MARK"), os.environ.get("OPENAI_API_KEY"), flush=True)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(os.environ["STATUS"])))
print("port", server.server_port, flush=True)
server.serve_forever()
"""


def _service(status: int, keep: Keep) -> ServiceProcess:
    argv = [sys.executable, "-c", SERVICE]
    service = ServiceProcess("service", argv=argv, env={"STATUS": str(status), "MARK": "m"}, ready_url="")
    keep(service)
    service.start()
    port = service.wait_line(r"^port (\d+)$").group(1)
    service.ready_url = f"http://127.0.0.1:{port}/readyz"
    return service


async def test_a_service_is_ready_when_it_answers(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees the environment of the test alone, its lines are kept, and it ends cleanly."""
    monkeypatch.setenv("OPENAI_API_KEY", "the developer's own")
    service = await _service(0, keep).ready()
    service.wait_line("asked /readyz m None")
    service.assert_clean_exit()
    assert not service.running


def test_an_unclean_exit_is_told(keep: Keep) -> None:
    """A status other than 0 after SIGTERM fails, with the log."""
    service = _service(3, keep).wait_ready()
    with pytest.raises(AssertionError, match="ended with 3"):
        service.assert_clean_exit()


def test_waiting_for_a_dead_process_stops_at_once(keep: Keep) -> None:
    """A process that ends while it should become ready is reported with its last lines."""
    argv = [sys.executable, "-c", "import sys; sys.exit('cannot go on')"]
    service = ServiceProcess("service", argv=argv, env={}, ready_url="http://127.0.0.1:1/readyz")
    keep(service)
    with pytest.raises(ProcessEnded, match="cannot go on"):
        service.start().wait_ready()
    with pytest.raises(ProcessEnded):
        service.wait_line("never printed")


class ReadLate(ManagedProcess):
    """Its log is read when somebody waits for the end of it, and not before."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._awaited = threading.Event()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        self._awaited.wait(scaled_s(10))
        super()._read(process)

    def _join_reader(self) -> None:
        self._awaited.set()
        super()._join_reader()


def test_the_last_words_of_a_process_are_heard(keep: Keep) -> None:
    """Whoever asks for the lines of an ended process gets all, even where nobody had the time to read them yet."""
    process = keep(ReadLate("last words", [sys.executable, "-c", "print('that is all')"])).start()
    eventually_sync(lambda: not process.running, what="it has ended")
    assert process.lines == ["that is all"]


def test_a_process_that_ignores_sigterm_is_killed_and_told(keep: Keep) -> None:
    """Staying after SIGTERM is a failure, and leaves nothing behind."""
    program = "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('here', flush=True)\nwhile 1: signal.pause()"
    process = keep(ManagedProcess("stubborn", [sys.executable, "-c", program])).start()
    process.wait_line("here")
    with pytest.raises(AssertionError, match="after SIGTERM"):
        process.term(timeout_s=0.2)
    assert not process.running


def test_a_program_that_is_not_there_says_so(keep: Keep) -> None:
    """The log names the program that could not be started."""
    process = keep(ManagedProcess("nothing", ["/nonexistent/program"])).start()
    with pytest.raises(ProcessEnded, match="cannot start /nonexistent/program"):
        process.wait_line("never")
