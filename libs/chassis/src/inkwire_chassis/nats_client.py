"""nats-py's client without the faults that leave a process deaf, or hanging, at a broker that stands still.

All are nats-py 2.16's (``nats/aio/client.py``); tests/integration/test_nats_client.py fails without each mend.
"""

import asyncio
from contextlib import suppress
from typing import Final

from nats.aio.client import DEFAULT_FLUSH_TIMEOUT, PING_PROTO, PONG_PROTO, Client, Srv
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.protocol.command import sub_cmd, unsub_cmd
from nats.protocol.parser import PERMISSIONS_ERR, STALE_CONNECTION

CLOSE_TIMEOUT_S: Final = 1.0
"""How long a close waits for the server to take what was published last; then the connection is cut."""
FAULT_PAUSE_S: Final = 0.1
"""Between an attempt to come back that ended by a fault of the client and the next one."""


class ReadingEnded(NatsError):
    """Nothing is read any more from a connection that still stood."""

    def __str__(self) -> str:
        return "nats: reading ended; the connection is made anew"


class NatsClient(Client):
    """A client that reads on, comes back and ends, whatever the broker does; all else is as it was."""

    async def _process_pong(self) -> None:
        """A flush that was given up leaves its future in the queue; its late answer would end the reading.

        The flusher had the same fault (nats-io/nats.py#624).
        """
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _read_loop(self) -> None:
        """Reading that ends by a fault is a lost connection: else it stood, deaf, for 15 s (nats-io/nats.py#914)."""
        await super()._read_loop()
        task = asyncio.current_task()
        if task is not self._reading_task or task is None or task.cancelling() or not self.is_connected:
            return
        ended = ReadingEnded()
        await self._error_cb(ended)
        await self._process_op_err(ended)

    async def _process_err(self, err_msg: str) -> None:
        """A server that turns a standing connection away is tried again, too: else the client would end for good."""
        if STALE_CONNECTION in err_msg or PERMISSIONS_ERR in err_msg:
            await super()._process_err(err_msg)
            return
        error = NatsError("nats: " + err_msg.strip("'"))
        await self._error_cb(error)
        await self._process_op_err(error)

    # -- what is sent ------------------------------------------------------------------------------------------

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        """Behind what waits to be sent: before it, its answer would not tell that the server has had that."""
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        if self.is_connected:
            await self._send_soon(PING_PROTO)

    async def _process_ping(self) -> None:
        await self._send_soon(PONG_PROTO)

    async def _send_soon(self, command: bytes) -> None:
        """Do not wait for room: a server that does not read is found out, and things are given up, all the same."""
        self._pending.append(command)
        self._pending_data_size += len(command)
        await self._flush_pending()

    async def _flush_pending(self, force_flush: bool = False) -> None:
        """One call of the flusher is enough, and a cancel is no answer.

        Each subscribe would queue one more: at a thousand, while the server does not read, the ping that finds that
        out would wait in that queue as well.
        """
        if not force_flush and self.is_connected and self._flusher_called():
            return
        task = asyncio.current_task()
        cancels = task.cancelling() if task is not None else 0
        await super()._flush_pending(force_flush)
        if task is not None and task.cancelling() > cancels:
            raise asyncio.CancelledError

    def _flusher_called(self) -> bool:
        runs = self._flusher_task is not None and not self._flusher_task.done()
        return runs and self._flush_queue is not None and not self._flush_queue.empty()

    async def _send_subscribe(self, sub: Subscription) -> None:
        """A subscription whose asker is gone is nobody's to give up."""
        try:
            await super()._send_subscribe(sub)
        except BaseException:
            await sub.unsubscribe()
            raise

    async def _init_request_sub(self) -> None:
        """The next request makes the inbox that a cancelled one did not; else no request would be answered any more."""
        try:
            await super()._init_request_sub()
        except BaseException:
            self._resp_sub_prefix = None
            raise

    async def _send_unsubscribe(self, sid: int, limit: int = 0) -> None:
        await self._send_soon(unsub_cmd(sid, limit))

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        """What was asked for and given up while there is no connection is not asked for by the next one."""
        given_up = self._subs.get(sid)
        super()._remove_sub(sid, max_msgs)
        if given_up is None or self.is_connected:
            return
        command = sub_cmd(given_up._subject, given_up._queue, sid)
        with suppress(ValueError):  # asked for while there was one
            self._pending.remove(command)
            self._pending_data_size -= len(command)

    # -- coming back, and the end --------------------------------------------------------------------------------

    async def _attempt_reconnect(self) -> None:
        """Come back, whatever happens; a fault of the client ended that for ever."""
        while True:
            self._abort()
            try:
                await super()._attempt_reconnect()
                return
            except Exception as error:  # noqa: BLE001 - nobody else would try again
                if self.is_closed or asyncio.current_task() is not self._reconnection_task:
                    return
                self._status = Client.RECONNECTING
                await self._error_cb(error)
                await asyncio.sleep(FAULT_PAUSE_S)

    async def _connect_to_server(self, s: Srv) -> None:
        """An attempt that failed late left its tasks, its connection and half a message; two would read a part each."""
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()
        self._abort()
        self._ps.reset()
        # Pings of the one before, a late failure too: their answers would be taken for those of this one's.
        self._pending = [command for command in self._pending if command != PING_PROTO]
        self._pending_data_size = sum(map(len, self._pending))
        await super()._connect_to_server(s)

    async def drain(self) -> None:
        """End when it is cancelled: the server would be asked once more for 10 s, and the cancel forgotten."""
        task = asyncio.current_task()
        cancels = task.cancelling() if task is not None else 0
        await super().drain()
        if task is not None and task.cancelling() > cancels:
            raise asyncio.CancelledError

    async def flush(self, timeout: int = DEFAULT_FLUSH_TIMEOUT) -> None:  # noqa: ASYNC109 - as the library's
        """See the library's; nothing is asked at the end of a drain that was cancelled."""
        task = asyncio.current_task()
        if not (self.is_draining_pubs and task is not None and task.cancelling()):
            await super().flush(timeout)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """In bounded time, also while there is no server or it does not read. What is ended on purpose is not lost."""
        self._disconnected_cb = None
        cut = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._abort)
        try:
            await self._send_last()
            await super()._close(status, do_cbs)
        finally:
            cut.cancel()

    async def _send_last(self) -> None:
        """What still waits goes out, or is lost with the connection: then the library's own try would raise."""
        last, self._pending, self._pending_data_size = self._pending, [], 0
        if last and self.is_connected and self._transport is not None:
            with suppress(OSError, RuntimeError):  # closed by the other side; uvloop's word for that
                self._transport.writelines(last)
                await self._transport.drain()  # type: ignore[no-untyped-call]

    def _abort(self) -> None:
        """Cut the connection. To close it would wait for the server to read all that was sent (nats-io/nats.py#671)."""
        writer = getattr(self._transport, "_io_writer", None)  # a WebSocket has none, and bounds its close itself
        if writer is not None:
            writer.transport.abort()
