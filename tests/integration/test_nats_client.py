"""The broker's client through what a broker does that stands still, comes back, or turns it away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import FlushTimeoutError, StaleConnectionError
from structlog.testing import capture_logs

from inkwire_chassis import nats_client
from inkwire_chassis.nats_client import NatsClient, ReadingEnded
from inkwire_chassis.nats_connection import connected, connection_options, end
from tests.support.faulty_nats import FaultyConnection, FaultyNats, faulty_nats
from tests.support.loops import on_loops
from tests.support.wait import eventually

MIB = 1024 * 1024


class Heard:
    """Payloads of a subscription, and errors of the connection."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.errors: list[Exception] = []

    async def message(self, msg: Msg) -> None:
        self.payloads.append(msg.data)

    async def failed(self, error: Exception) -> None:
        self.errors.append(error)


@asynccontextmanager
async def line(client: NatsClient | None = None, **callbacks: Any) -> AsyncIterator[tuple[FaultyNats, NatsClient]]:
    """A faulty server and a client that is connected to it."""
    client = client or NatsClient()
    async with faulty_nats() as faulty, connected(faulty.url, "test", client, **callbacks):
        yield faulty, client


async def back_again(faulty: FaultyNats, client: NatsClient) -> FaultyConnection:
    """The connection that the client has made anew."""
    await eventually(lambda: len(faulty.connections) > 1 and client.is_connected, what="a new connection")
    return faulty.connections[-1]


async def without_room(tasks: asyncio.TaskGroup, client: NatsClient) -> None:
    """Publish until others wait for room."""
    full = [tasks.create_task(client.publish("a", b"x" * MIB)) for _ in range(3)]
    await eventually(lambda: full[0].done(), what="the first has room")


async def stuffed(faulty: FaultyNats, client: NatsClient) -> None:
    """The server reads no more, and what the client has sent fills all there is on the way."""
    faulty.connections[0].stop_reading()
    assert client._transport is not None
    writer = client._transport._io_writer  # type: ignore[attr-defined]
    while not writer.transport.get_write_buffer_size():
        await client.publish("a", b"x" * (MIB // 2))
        await asyncio.sleep(0)
    await client.publish("a", b"x")  # the flusher waits with this one


@on_loops("asyncio", "uvloop")
async def test_a_late_pong_does_not_end_the_reading() -> None:
    """A flush that was given up is answered after all: messages are heard, and later flushes are true."""
    heard = Heard()
    async with line() as (faulty, client):
        await client.subscribe("a", cb=heard.message)
        (server,) = faulty.connections
        server.answers = False
        with pytest.raises(FlushTimeoutError):
            await client.flush(timeout=0.05)  # type: ignore[arg-type]
        server.send(b"PONG\r\nMSG a 1 5\r\nhello\r\n")
        await eventually(lambda: heard.payloads == [b"hello"], what="the message behind the late pong")
        with pytest.raises(FlushTimeoutError):
            await client.flush(timeout=0.05)  # type: ignore[arg-type]
        server.answers = True
        server.send(b"PONG\r\n")
        await client.flush()
        assert len(faulty.connections) == 1


@on_loops("asyncio", "uvloop")
async def test_reading_that_ended_by_a_fault_is_a_lost_connection() -> None:
    """What no part of the client expected is told, and the connection is made anew at once, with its subscriptions."""
    heard = Heard()
    async with line(on_error=heard.failed) as (faulty, client):
        await client.subscribe("a", cb=heard.message)
        await client.flush()
        faulty.connections[0].send(b"INFO {not JSON\r\n")
        server = await back_again(faulty, client)
        await eventually(lambda: b"SUB a  1" in server.lines, what="the subscription on the new connection")
        server.send(b"MSG a 1 5\r\nhello\r\n")
        await eventually(lambda: heard.payloads == [b"hello"], what="the message")
        assert ReadingEnded in map(type, heard.errors)


async def test_a_client_that_is_turned_away_comes_back() -> None:
    """An error of the server ends the connection, not the client; one of permissions ends nothing."""
    heard = Heard()
    async with line(on_error=heard.failed) as (faulty, client):
        faulty.connections[0].send(b"-ERR 'Permissions Violation for Subscription to \"a\"'\r\n")
        await eventually(lambda: heard.errors, what="the error of permissions")
        await client.flush()
        assert len(faulty.connections) == 1
        faulty.connections[0].send(b"-ERR 'Maximum Connections Exceeded'\r\n")
        await back_again(faulty, client)
        await client.flush()


async def test_a_server_that_goes_on_turning_the_client_away_is_told_of_once() -> None:
    """It is asked ten times a second, and lets the client in when it is configured to."""

    def asked(connection: FaultyConnection, read: bytes) -> None:
        if 0 < connection.number < 4 and read.startswith(b"CONNECT"):
            connection.send(b"-ERR 'Authorization Violation'\r\n")

    with capture_logs() as logs:
        async with faulty_nats(asked) as faulty, connected(faulty.url, "test") as client:
            await client._process_op_err(StaleConnectionError())
            await eventually(lambda: len(faulty.connections) > 4 and client.is_connected, what="it is let in")
    said = [entry["log_level"] for entry in logs if "Authorization" in entry.get("error", "")]
    assert said == ["warning", "debug", "debug"]


async def test_a_flush_is_answered_after_what_was_sent_before() -> None:
    """Its ping goes out behind subscriptions and publishes, so that its answer tells that the server has had them."""
    async with line() as (faulty, client):
        (server,) = faulty.connections
        server.lines.clear()
        await client.subscribe("a")
        await client.publish("b", b"")
        await client.flush()
        assert server.lines == [b"SUB a  1", b"PUB b  0", b"", b"PING"]


async def test_pings_of_a_lost_connection_are_not_sent_on_the_next() -> None:
    """Each answer of the new connection is of a ping of its own."""
    held = asyncio.Event()
    async with line(on_disconnect=held.wait) as (faulty, client):
        client._pending += [b"PING\r\n", b"PING\r\n"]
        await client._process_op_err(StaleConnectionError())
        held.set()
        server = await back_again(faulty, client)
        await client.flush()
        connecting, coming_back, this = 1, 1, 1
        assert server.lines.count(b"PING") == connecting + coming_back + this


async def test_an_interest_given_up_without_a_connection_stays_given_up() -> None:
    """What was asked for and given up while the broker was away is not asked for when it is back; the rest is."""
    held = asyncio.Event()
    async with line(on_disconnect=held.wait) as (faulty, client):
        before = await client.subscribe("before")
        await client.flush()
        await client._process_op_err(StaleConnectionError())
        await eventually(lambda: client.is_reconnecting, what="the broker is away")
        given_up = await client.subscribe("given.up")
        await client.subscribe("kept")
        await given_up.unsubscribe()
        await before.unsubscribe()
        held.set()
        server = await back_again(faulty, client)
        await client.flush()
        asked = {words[1] for words in map(bytes.split, server.lines) if words and words[0] == b"SUB"}
        assert asked == {b"kept"}


@on_loops("asyncio", "uvloop")
async def test_a_server_that_does_not_read_is_left() -> None:
    """What it has not taken does not hold the client up; upstream waits for it for a quarter of an hour."""
    async with line() as (faulty, client):
        await stuffed(faulty, client)
        await client._process_op_err(StaleConnectionError())
        await back_again(faulty, client)
        await client.flush()


async def test_a_server_that_does_not_read_is_found_out_however_much_waits() -> None:
    """A thousand subscriptions that wait to be sent do not keep the ping from being counted."""
    client = NatsClient()
    async with line(client) as (faulty, _):
        await stuffed(faulty, client)
        client.options["ping_interval"] = 0.02
        assert client._ping_interval_task is not None
        client._ping_interval_task.cancel()
        async with asyncio.TaskGroup() as tasks:
            for n in range(1_100):
                tasks.create_task(client.subscribe(f"many.{n}"))
            client._ping_interval_task = tasks.create_task(client._ping_interval())
            server = await back_again(faulty, client)
        await client.flush()
        assert sum(line.startswith(b"SUB many") for line in server.lines) >= 1_100


async def test_a_publish_that_waits_for_room_can_be_cancelled() -> None:
    """Who is cancelled while the server does not read ends there and then."""
    async with line() as (faulty, client):
        await stuffed(faulty, client)
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(client.publish("a", b"x" * MIB)) for _ in range(3)]
            await eventually(lambda: waiting[0].done(), what="the first has room")
            waiting[2].cancel()
            await asyncio.wait(waiting[2:])
            assert waiting[2].cancelled()
            await client._process_op_err(StaleConnectionError())


async def test_a_server_that_does_not_read_is_heard() -> None:
    """The answer to its ping waits for room; what reads its messages does not."""
    heard = Heard()
    async with line() as (faulty, client):
        await client.subscribe("a", cb=heard.message)
        await client.flush()
        await stuffed(faulty, client)
        async with asyncio.TaskGroup() as tasks:
            await without_room(tasks, client)
            faulty.connections[0].send(b"PING\r\nMSG a 1 5\r\nhello\r\n")
            await eventually(lambda: heard.payloads == [b"hello"], what="the message", timeout_s=5)  # else 10 s
            await client._process_op_err(StaleConnectionError())


async def test_a_subscription_whose_asker_is_cancelled_is_given_up() -> None:
    """Nobody got to know of it, so nobody else could; giving up waits for no room either."""
    async with line() as (faulty, client):
        await stuffed(faulty, client)
        async with asyncio.TaskGroup() as tasks:
            await without_room(tasks, client)
            asking = tasks.create_task(client.subscribe("late", cb=Heard().message))
            await eventually(lambda: client._subs, what="the subscription waits for room")
            asking.cancel()
            await eventually(asking.done, what="it is given up", timeout_s=5)  # a wait for room would be 10 s
            assert asking.cancelled() and not client._subs
            await client._process_op_err(StaleConnectionError())


async def test_requests_are_answered_after_the_first_was_cancelled() -> None:
    """The inbox of all requests is made by the next one."""
    async with line() as (faulty, client):
        await stuffed(faulty, client)
        async with asyncio.TaskGroup() as tasks:
            await without_room(tasks, client)
            first = tasks.create_task(client.request("a"))
            await eventually(lambda: client._subs, what="the inbox waits for room")
            first.cancel()
            await asyncio.wait([first])
            await client._process_op_err(StaleConnectionError())
        server = await back_again(faulty, client)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(client.request("b", timeout=30))
            await eventually(lambda: any(said.startswith(b"PUB b ") for said in server.lines), what="the request")
            inbox = next(said.split()[2] for said in server.lines if said.startswith(b"PUB b "))
            subscribed = [said.split() for said in server.lines if said.startswith(b"SUB _INBOX")]
            numbers = [words[2] for words in subscribed if inbox.startswith(words[1].removesuffix(b"*"))]
            server.send(b"MSG %b %b 2\r\nok\r\n" % (inbox, numbers[0]))
        assert asked.result().data == b"ok"


@on_loops("asyncio", "uvloop")
async def test_a_close_does_not_wait_for_a_server_that_does_not_read() -> None:
    """It ends, and so do the subscriptions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nats_client, "CLOSE_TIMEOUT_S", 0.05)
        async with line() as (faulty, client):
            await client.subscribe("a", cb=Heard().message)
            await stuffed(faulty, client)
            closing = asyncio.create_task(client.close())
            await eventually(closing.done, what="the close ends")
            await closing
            assert client.is_closed


async def test_a_drain_that_is_cancelled_ends() -> None:
    """A server that does not answer holds no stop up: the connection is closed, and the cancel is not forgotten."""
    async with line() as (faulty, client):
        await client.subscribe("a", cb=Heard().message)
        await client.flush()
        faulty.connections[0].answers = False
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: faulty.connections[0].lines.count(b"PING") == 3, what="the server is asked")
        draining.cancel()
        await eventually(draining.done, what="it ends", timeout_s=5)  # asked once more it would be 10 s
        assert draining.cancelled() and client.is_closed


@on_loops("asyncio", "uvloop")
async def test_a_close_without_a_connection_is_quiet() -> None:
    """What still waited to be sent then is lost with it, and raises nothing."""
    client, away = NatsClient(), asyncio.Event()

    async def stays_away() -> None:
        if client.is_reconnecting:
            away.set()
            await asyncio.Event().wait()

    async with line(client, on_disconnect=stays_away):
        await client._process_op_err(StaleConnectionError())
        await away.wait()
        await client.publish("a", b"late")
        await client.close()
        assert client.is_closed


def lost_lines(logs: list[Any]) -> int:
    """How often a connection was told as lost."""
    return sum(line["event"] == "nats disconnected" for line in logs)


@pytest.mark.parametrize("kind", [Client, NatsClient])
async def test_an_end_on_purpose_is_no_lost_connection(kind: type[Client]) -> None:
    """Every orderly stop logged a warning; a connection that is lost still does."""
    async with faulty_nats() as faulty:
        client = kind()
        await client.connect(faulty.url, **connection_options("test"))
        with capture_logs() as logs:
            await client._process_op_err(StaleConnectionError())
            await eventually(lambda: len(faulty.connections) > 1 and client.is_connected, what="a new connection")
            assert lost_lines(logs) == 1
            await end(client)
            assert client.is_closed and lost_lines(logs) == 1


async def test_a_drained_connection_is_no_lost_one() -> None:
    """FastStream ends that way."""
    async with line() as (_, client):
        with capture_logs() as logs:
            await client.drain()
            assert client.is_closed and lost_lines(logs) == 0


class Impatient(NatsClient):
    """Gives a flush little time, that at the end of coming back too."""

    async def flush(self, timeout: float = 0.05) -> None:  # noqa: ASYNC109 - as the library's
        await super().flush(timeout)  # type: ignore[arg-type]


async def test_an_attempt_that_failed_late_leaves_nothing_behind() -> None:
    """Its half message and what its connection says later are no part of the next one's, nor its pings that wait."""
    heard = Heard()

    def asked(connection: FaultyConnection, read: bytes) -> None:
        if connection.number == 1 and read.startswith(b"SUB"):
            connection.send(b"MSG a 1 10\r\nhalf ")
            connection.answers = False
            client._pending.append(b"PING\r\n")  # as where it does not read, either

    client = Impatient()
    async with faulty_nats(asked) as faulty, connected(faulty.url, "test", client):
        await client.subscribe("a", cb=heard.message)
        await client.flush(5)
        await client._process_op_err(StaleConnectionError())
        await eventually(lambda: len(faulty.connections) > 2 and client.is_connected, what="the attempt after it")
        faulty.connections[1].send(b"other\r\n")
        faulty.connections[2].send(b"MSG a 1 5\r\nhello\r\n")
        await eventually(lambda: heard.payloads == [b"hello"], what="the whole message")
        await eventually(lambda: faulty.connections[1].ended, what="the connection of the late failure is cut")
        assert len(faulty.connections) == 3
        connecting, coming_back = 1, 1
        assert faulty.connections[2].lines.count(b"PING") == connecting + coming_back


class Stumbling(NatsClient):
    """Has one fault of its own when it comes back."""

    stumbles = 1

    async def _process_connect_init(self) -> None:
        if self.is_reconnecting and self.stumbles:
            self.stumbles -= 1
            raise RuntimeError("the handler is closed")
        await super()._process_connect_init()


async def test_a_fault_while_coming_back_is_told_and_it_comes_back() -> None:
    """uvloop raises a RuntimeError where the connection is gone again; nobody else would try once more."""
    heard = Heard()
    async with line(Stumbling(), on_error=heard.failed) as (faulty, client):
        await client._process_op_err(StaleConnectionError())
        await back_again(faulty, client)
        await client.flush()
        assert RuntimeError in map(type, heard.errors)


async def test_a_callback_that_fails_does_not_keep_the_client_away() -> None:
    """It is logged; the connection comes back, and reads on."""

    async def fails(*_: object) -> None:
        raise RuntimeError("cannot")

    heard = Heard()
    async with line(on_disconnect=fails, on_reconnect=fails, on_error=fails) as (faulty, client):
        await client.subscribe("a", cb=heard.message)
        await client._process_op_err(StaleConnectionError())
        server = await back_again(faulty, client)
        server.send(b"-ERR 'Permissions Violation'\r\nMSG a 1 5\r\nhello\r\n")
        await eventually(lambda: heard.payloads == [b"hello"], what="the message")
        assert len(faulty.connections) == 2
