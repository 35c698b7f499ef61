"""Jobs, published through FastStream's broker and acknowledged by JetStream."""

from faststream.nats import NatsBroker
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from inkwire_api.ports import BrokerUnavailable, NoRoom, Receipt
from inkwire_chassis.jetstream import H_MSG_ID
from inkwire_contracts import subjects
from inkwire_contracts.commands import Job
from inkwire_contracts.topology import JOBS

PUBLISH_TIMEOUT_S = 1.0
_NO_ROOM = frozenset({10023, 10047, 10077})
"""Insufficient resources, storage exceeded, maximum messages (of the stream or of one owner's subject)."""


class FastStreamJobs:
    """The commit point, over the process's one connection."""

    def __init__(self, broker: NatsBroker) -> None:
        self._broker = broker

    async def publish(self, job: Job, *, msg_id: str | None = None) -> Receipt:
        client = await self._broker.connect()
        if not client.is_connected:
            # It would be kept and sent after the reconnect, long after the caller was told 503.
            raise BrokerUnavailable("not connected")
        try:
            ack = await self._broker.publish(
                job.model_dump_json().encode(),
                subjects.job(job.request.pool, job.priority, job.owner),
                headers={H_MSG_ID: msg_id or job.msg_id},
                stream=JOBS,
                timeout=PUBLISH_TIMEOUT_S,
            )
        except APIError as error:
            if error.err_code in _NO_ROOM:
                raise NoRoom(str(error.description)) from None
            raise BrokerUnavailable(str(error.description)) from None
        except (NatsError, TimeoutError) as error:
            raise BrokerUnavailable(type(error).__name__) from None
        return Receipt(ack.seq, bool(ack.duplicate))
