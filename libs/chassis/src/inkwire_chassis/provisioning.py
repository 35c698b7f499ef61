"""Create streams and consumers from the contracts' frozen data, and verify them before binding.

Only :func:`provision` writes. Services call :func:`verify` and fail fast on drift: a typo must not silently make a
second stream, and nothing else (nats-py, FastStream) may create one on the way.
"""

import asyncio
from typing import Any

from inkwire_chassis.health import Unready
from inkwire_chassis.jetstream import BrokerError, JetStream
from inkwire_chassis.logs import get_logger
from inkwire_contracts.topology import ConsumerSpec, StreamSpec, Topology

_NS = 1_000_000_000
_MISSING = {404, 10059, 10014}
_SETTLING = {10008}
"""JetStream is temporarily unavailable."""

WAIT_INTERVAL_S = 0.25
SETTLE_TIMEOUT_S = 30.0
"""How long a provisioning waits for a cluster that is electing its leaders."""


class Drift(Unready):
    """The broker's configuration is not the one in contracts; the message says what to run."""


class NoLeader(BrokerError, Unready):
    """The servers that are up cannot store anything there, for the length of an election or until more are up."""


class Missing(Drift):
    """Something is not there, perhaps only not yet."""


async def provision(jetstream: JetStream, topology: Topology) -> list[str]:
    """Bring the broker to the topology; returns one line per thing created or changed. Safe to repeat.

    A cluster that has just been started elects leaders for a while, and answers that it is not available.

    Raises:
        BrokerError: the broker refused (for example a change that a stream cannot make), or is still not available
            after SETTLE_TIMEOUT_S.
    """
    deadline_s = asyncio.get_running_loop().time() + SETTLE_TIMEOUT_S
    done: list[str] = []
    while True:
        try:
            await _bring(jetstream, topology, done)
        except BrokerError as error:
            if error.code not in _SETTLING or asyncio.get_running_loop().time() >= deadline_s:
                raise
            await asyncio.sleep(WAIT_INTERVAL_S)
        else:
            return done


async def _bring(jetstream: JetStream, topology: Topology, done: list[str]) -> None:
    for stream in topology.streams:
        want = stream_config(stream, topology.replicas)
        have = await _config(jetstream, f"STREAM.INFO.{stream.name}")
        if have is None:
            await jetstream.api(f"STREAM.CREATE.{stream.name}", want)
            done.append(f"created stream {stream.name}")
        elif differences(want, have):
            await jetstream.api(f"STREAM.UPDATE.{stream.name}", {**have, **want})
            done.append(f"updated stream {stream.name}: {', '.join(differences(want, have))}")
    for consumer in topology.consumers:
        config = consumer_config(consumer)
        have = await _config(jetstream, f"CONSUMER.INFO.{consumer.stream}.{consumer.durable}")
        if have is None or differences(config, have):
            body = {"stream_name": consumer.stream, "config": {**(have or {}), **config}}
            await jetstream.api(f"CONSUMER.DURABLE.CREATE.{consumer.stream}.{consumer.durable}", body)
            done.append(f"{'created' if have is None else 'updated'} consumer {consumer.durable}")


async def verify(jetstream: JetStream, topology: Topology, *, consumers: tuple[str, ...] = ()) -> None:
    """Check the streams, and those consumers whose durable name is given.

    Sizes are an operator's choice and not compared.

    Raises:
        Drift: something is missing or different.
        BrokerError: no answer, or no server of the cluster leads a stream or consumer.
    """
    for stream in topology.streams:
        want = stream_config(stream, topology.replicas)
        for chosen in ("max_bytes", "num_replicas"):
            want.pop(chosen, None)
        _require(f"stream {stream.name}", want, await _config(jetstream, f"STREAM.INFO.{stream.name}"))
    for consumer in topology.consumers:
        if consumer.durable in consumers:
            want = consumer_config(consumer)
            want.pop("ack_wait")
            path = f"CONSUMER.INFO.{consumer.stream}.{consumer.durable}"
            _require(f"consumer {consumer.durable}", want, await _config(jetstream, path))


async def wait_until_provisioned(
    jetstream: JetStream, topology: Topology, *, timeout_s: float, consumers: tuple[str, ...] = ()
) -> None:
    """:func:`verify`, repeated, because services may start before the broker is provisioned.

    What is missing is waited for up to ``timeout_s``, a broker that does not answer for as long as it takes, as for a
    connection. What is different is an error at once: waiting would not change it.

    Raises:
        Drift: it is still missing, or different.
    """
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    told = False
    while True:
        try:
            return await verify(jetstream, topology, consumers=consumers)
        except Missing as error:
            if asyncio.get_running_loop().time() >= deadline_s:
                raise
            reason = str(error)
        except BrokerError as error:
            reason = str(error)
        if not told:
            get_logger().info("waiting for the broker to be provisioned", reason=reason)
            told = True
        await asyncio.sleep(WAIT_INTERVAL_S)


def _require(what: str, want: dict[str, Any], have: dict[str, Any] | None) -> None:
    if have is None:
        raise Missing(f"{what} is missing: run `inkwire provision`")
    if wrong := differences(want, have):
        raise Drift(f"{what} differs in {', '.join(wrong)}: run `inkwire provision`")


async def _config(jetstream: JetStream, path: str) -> dict[str, Any] | None:
    try:
        info = await jetstream.api(path)
    except BrokerError as error:
        if error.code in _MISSING:
            return None
        raise
    # What is left of a cluster that lost its quorum still answers, and can do nothing.
    if "leader" not in info.get("cluster", {"leader": ""}):
        raise NoLeader(
            f"{path.rpartition('.')[2]} has no leader: too few servers of the cluster are up, or an election"
        )
    config: dict[str, Any] = info["config"]
    return config


def stream_config(spec: StreamSpec, replicas: int) -> dict[str, Any]:
    """The server's JSON for a stream."""
    config: dict[str, Any] = {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "retention": spec.retention,
        "storage": "file",
        "num_replicas": replicas,
        "discard": "new",
        "max_age": int((spec.max_age_s or 0) * _NS),
        "max_bytes": spec.max_bytes or -1,
        "max_msg_size": spec.max_msg_bytes or -1,
        "max_msgs_per_subject": spec.max_msgs_per_subject or -1,
        "duplicate_window": int(spec.duplicate_window_s * _NS),
        "allow_direct": spec.allow_direct,
    }
    if spec.discard_new_per_subject:
        config["discard_new_per_subject"] = True
    if spec.republish is not None:
        config["republish"] = {"src": spec.republish.source, "dest": spec.republish.destination}
        if spec.republish.headers_only:
            config["republish"]["headers_only"] = True
    return config


def consumer_config(spec: ConsumerSpec) -> dict[str, Any]:
    """The server's JSON for a durable pull consumer."""
    config: dict[str, Any] = {
        "durable_name": spec.durable,
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "ack_wait": int(spec.ack_wait_s * _NS),
        "max_deliver": -1,
        "max_ack_pending": spec.max_ack_pending,
    }
    if len(spec.filters) == 1:
        config["filter_subject"] = spec.filters[0]
    else:
        config["filter_subjects"] = list(spec.filters)
    return config


def differences(want: dict[str, Any], have: dict[str, Any]) -> list[str]:
    """Names of the settings in ``want`` that ``have`` does not fulfil; what the server adds is ignored."""
    return [name for name, value in want.items() if not _same(value, have.get(name))]


def _same(want: Any, have: Any) -> bool:
    if isinstance(want, dict):
        return isinstance(have, dict) and not differences(want, have)
    if want in (False, 0, -1) and have in (None, False, 0, -1):
        return True
    return bool(want == have)
