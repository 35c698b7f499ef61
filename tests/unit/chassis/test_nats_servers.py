"""The addresses of a broker: one server, or all of a cluster."""

import pytest

from inkwire_chassis.nats_servers import server_list


def test_one_server_is_a_list_of_one() -> None:
    """What was valid for one server stays valid, with and without a scheme."""
    assert server_list("nats://127.0.0.1:4222") == ["nats://127.0.0.1:4222"]
    assert server_list("localhost") == ["localhost"]


def test_a_clusters_servers_are_separated_by_commas() -> None:
    """Spaces and a comma too many do no harm; each address keeps its own user."""
    found = server_list(" nats://u:p@one:4222, tls://two:4222 ,,nats://u:p@three:4222,")
    assert found == ["nats://u:p@one:4222", "tls://two:4222", "nats://u:p@three:4222"]


@pytest.mark.parametrize(
    "url", ["", " , ", "http://one:4222", "nats://", "nats://one:port", "nats://one:0", "nats://u:secret"]
)
def test_what_is_no_server_is_refused_without_being_shown(url: str) -> None:
    """The error says how it should look and repeats nothing: there may be a password in it."""
    with pytest.raises(ValueError, match=r"^(no server is named|each server must be like nats://host:4222)") as error:
        server_list(url)
    assert "secret" not in str(error.value)
