"""What can go wrong at the provider, in our own codes."""

from typing import Any


class ProviderError(Exception):
    """A provider call did not give a usable answer.

    Args:
        code: a key of ``inkwire_contracts.errors.ERROR_CODES``.
        retryable: asking again may help.
        retry_after_s: how long the provider asks us to wait, in seconds.
        asked: false if the call was not made, or another provider is to be asked: it says nothing about the post.
        detail: for the log only; never shown to readers.
        said: what the provider wrote, raw: not for the log either before ``provider_errors.tell_said`` has cleaned it.
        params: for the code's template.
    """

    def __init__(
        self,
        code: str,
        *,
        retryable: bool,
        retry_after_s: float | None = None,
        asked: bool = True,
        detail: str = "",
        said: str = "",
        **params: Any,
    ) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.asked = asked
        self.detail = detail
        self.said = said
        self.params = params
