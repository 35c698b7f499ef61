"""Negotiation of permessage-deflate in the one form in which a frame is the same for every reader."""

from collections.abc import Sequence

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import NegotiationError
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.typing import ExtensionParameter

from inkwire_gateway.deflate import WINDOW_BITS


class SharedDeflateFactory(ServerPerMessageDeflateFactory):
    """No context is taken over on either side, so no connection keeps a compressor or its window between messages.

    The library decodes what clients send, within its ``max_size``. It encodes nothing: see ``deflate``.
    """

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        """Accept an offer, or refuse it so that the next is looked at; without any the connection is plain.

        Raises:
            NegotiationError: the client has less of a window than shared frames need, or the offer is not valid.
        """
        answer, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits < WINDOW_BITS:
            raise NegotiationError("shared frames need the whole window")
        return answer, extension


def negotiated(connection: ServerConnection) -> bool:
    """Whether a connection that is open takes compressed frames."""
    return any(isinstance(extension, PerMessageDeflate) for extension in connection.protocol.extensions)
