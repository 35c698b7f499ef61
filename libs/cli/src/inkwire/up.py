"""`inkwire up`: the whole product on one machine."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import aiohttp

from inkwire.data_dir import Running
from inkwire.exits import EX_OK, program
from inkwire.launcher import Launcher, StartFailed, Terminal
from inkwire.network import LOOPBACK, held
from inkwire.programs import Options, Table, choose_ports, writer_line
from inkwire.provisioning import provision_local
from inkwire_chassis.jetstream import BrokerError
from inkwire_chassis.lifecycle import cancel_and_wait, spawn

NO_STORAGE = 10047
"""What JetStream answers where a stream's size is more than the disk has left."""

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


async def run_up(options: Options, terminal: Terminal) -> int:
    """Start everything, say where it is, wait for a signal, stop everything; returns the exit code.

    Raises:
        StartFailed: something did not start, or cannot be kept running; everything was stopped.
    """
    launcher = Launcher(terminal)
    wanted = asyncio.Event()
    ports = choose_ports(options)
    with held([options.port, *ports]), _signals(wanted, launcher):
        async with aiohttp.ClientSession() as session:
            table = Table(options, ports, session, os.environ)
            starting = spawn("start", _start(table, launcher, terminal))
            stop = spawn("stop wanted", wanted.wait())
            failure = spawn("failure", launcher.failure())
            try:
                await asyncio.wait({starting, stop, failure}, return_when=asyncio.FIRST_COMPLETED)
                if not wanted.is_set() and not failure.done():
                    starting.result()  # raises what went wrong
                    await asyncio.wait({stop, failure}, return_when=asyncio.FIRST_COMPLETED)
                if not wanted.is_set():
                    failure.result()
            finally:
                await cancel_and_wait(starting, stop, failure)
                terminal.note("Stopping.")
                await launcher.stop()
    terminal.note("Inkwire has stopped.")
    return EX_OK


@contextmanager
def _signals(wanted: asyncio.Event, launcher: Launcher) -> Iterator[None]:
    """The first signal asks for an end in order, the second one for an end at once."""

    def caught() -> None:
        if wanted.is_set():
            launcher.kill_all()
        wanted.set()

    loop = asyncio.get_running_loop()
    for signum in STOP_SIGNALS:
        with suppress(NotImplementedError):  # a loop without signals, as on Windows
            loop.add_signal_handler(signum, caught)
    try:
        yield
    finally:
        for signum in STOP_SIGNALS:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(signum)


async def _start(table: Table, launcher: Launcher, terminal: Terminal) -> None:
    await launcher.start([table.broker()])
    # All wait for what they need, so they come up side by side; the proxy last, as it soon gives up on who is late.
    programs = [*([table.simulator()] if table.simulated else []), *table.services()]
    tasks = (spawn("provision", _provision(table, terminal)), spawn("programs", launcher.start(programs)))
    try:
        # Without streams no service is ever ready: why there are none is told, not who waited for them in vain.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await cancel_and_wait(*tasks)
    await launcher.start([table.proxy()])
    _announce(table, launcher, terminal)


async def _provision(table: Table, terminal: Terminal) -> None:
    try:
        if changes := await provision_local(table.nats_url):
            terminal.line("provision", f"{len(changes)} streams and consumers made or changed")
    except BrokerError as error:
        folder = table.options.data.root.absolute()
        hint = f"; the log needs more room on the disk of {folder}" if error.code == NO_STORAGE else ""
        raise StartFailed(f"the broker cannot be provisioned: {error}{hint}") from None


def _announce(table: Table, launcher: Launcher, terminal: Terminal) -> None:
    running = Running(
        pid=os.getpid(),
        url=table.public_url,
        nats_url=table.nats_url,
        store_url=table.store_url,
        simulated=table.simulated,
        children=launcher.pids(),
    )
    table.options.data.write_state(running)
    ports = table.ports
    terminal.note(f"api 127.0.0.1:{ports.api}, gateway 127.0.0.1:{ports.gateway}, nats 127.0.0.1:{ports.nats}")
    terminal.note(f"data in {table.options.data.root.absolute()}")
    if table.options.host not in LOOPBACK:
        terminal.note(f"Reachable from outside: nobody is signed in by itself. Get a token with: {program()} token")
    terminal.note(writer_line(table.environment))
    terminal.note(f"Inkwire is ready: {table.public_url}")
