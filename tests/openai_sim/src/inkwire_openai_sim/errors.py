"""Errors in OpenAI's form: `{"error": {"message", "type", "param", "code"}}` with a status."""

from __future__ import annotations

from typing import Any

from aiohttp import web


class ApiError(Exception):
    """One refused request. `headers` are added to the response, for example Retry-After."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.type, self.param, self.code = status, message, type_, param, code
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON body that OpenAI's clients understand."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> web.Response:
        """The whole HTTP response."""
        return web.json_response(self.body(), status=self.status, headers=self.headers)


def masked(key: str) -> str:
    """A key as it may be shown: its first and last characters at most."""
    return f"{key[:3]}***{key[-2:]}" if len(key) > 12 else "***"
