"""What routes read from requests themselves."""

import pytest
from starlette.requests import Request

from inkwire_api.routes.posts import is_unchanged


@pytest.mark.parametrize(
    ("given", "unchanged"),
    [('"abc"', True), ('W/"abc"', True), ('"xyz", W/"abc"', True), ('"xyz"', False), ("abc", False), ("", False)],
)
def test_a_file_is_not_sent_twice(given: str, unchanged: bool) -> None:
    """A tag is compared as If-None-Match wants it: also where a proxy made it a weak one, and among others."""
    request = Request({"type": "http", "headers": [(b"if-none-match", given.encode())]})
    assert is_unchanged(request, '"abc"') is unchanged
