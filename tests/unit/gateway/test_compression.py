"""Which offers of permessage-deflate are taken, and in what form."""

import pytest
from websockets.datastructures import Headers
from websockets.server import ServerProtocol

from inkwire_gateway.adapters.compression import SharedDeflateFactory

SHARED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def answer(offer: str) -> str | None:
    """The header that answers an offer, by the library's own negotiation."""
    protocol = ServerProtocol(extensions=[SharedDeflateFactory()])
    header, accepted = protocol.process_extensions(Headers({"Sec-WebSocket-Extensions": offer}))
    assert len(accepted) == (0 if header is None else 1)
    return header


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9, permessage-deflate",
        "permessage-deflate, permessage-deflate; client_max_window_bits",
        "x-webkit-deflate-frame, permessage-deflate",
    ],
)
def test_every_usual_offer_is_answered_without_context_takeover(offer: str) -> None:
    """Browsers and libraries get the one form in which a frame is the same for all of them, once."""
    assert answer(offer) == SHARED


def test_a_whole_window_may_be_named() -> None:
    """A client that names the window that frames need anyway is served compressed."""
    assert answer("permessage-deflate; server_max_window_bits=15") == f"{SHARED}; server_max_window_bits=15"


def test_a_smaller_window_of_the_clients_own_is_its_business() -> None:
    """What the client says of its own compressor binds the client and is read as said."""
    assert answer("permessage-deflate; client_max_window_bits=10") == f"{SHARED}; client_max_window_bits=10"


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; server_max_window_bits=14",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-bzip2",
    ],
)
def test_other_offers_leave_the_connection_plain(offer: str) -> None:
    """A client whose window is smaller than that of shared frames is not sent any; nor is one that errs."""
    assert answer(offer) is None
