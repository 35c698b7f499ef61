"""Error codes that may cross a process boundary, and the one function that renders them in English.

Events, problem documents and frames carry ``code`` and ``params``; text is made here, at the edge. A template says
what happened and what to do, and names nothing but its own parameters: no key, no prompt, no stack.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One stable code. ``status`` is the HTTP status where it ends a request."""

    code: str
    status: int
    title: str
    template: str


def _table(*rows: tuple[str, int, str, str]) -> dict[str, ErrorCode]:
    table = {row[0]: ErrorCode(*row) for row in rows}
    if len(table) != len(rows):
        raise ValueError("an error code stands twice")
    return table


ERROR_CODES: Mapping[str, ErrorCode] = _table(
    # Requests
    ("invalid_request", 422, "The request is not valid", "{detail}"),
    (
        "malformed_body",
        400,
        "The body is not JSON",
        "Send a JSON object with Content-Type: application/json.",
    ),
    (
        "body_too_large",
        413,
        "The body is too large",
        "Send at most {limit_bytes}; put long material into a document instead.",
    ),
    ("unsupported_media_type", 415, "Unsupported media type", "Send Content-Type: application/json."),
    ("unknown_recipe", 422, "Unknown recipe", "Choose one of: {known}."),
    ("invalid_options", 422, "The options do not fit the recipe", "{detail}"),
    ("invalid_cursor", 400, "The cursor is not valid", "Start again without a cursor."),
    ("method_not_allowed", 405, "Method not allowed", "This address does not accept that method."),
    ("not_acceptable", 406, "Not acceptable", "This address answers {known}."),
    # Identity
    ("unauthenticated", 401, "Sign in first", "Send a token as Authorization: Bearer TOKEN."),
    ("invalid_token", 401, "The token is not valid", "Get a new token and try again."),
    ("token_expired", 401, "The token has expired", "Get a new token and try again."),
    ("forbidden", 403, "Not allowed", "This token lacks the scope {scope}."),
    ("forbidden_origin", 403, "Origin not allowed", "Open the page under its own address."),
    ("forbidden_channel", 403, "Channel not allowed", "This token may not follow that channel."),
    ("not_found", 404, "Not found", "There is nothing under this address, or it is not yours."),
    ("gone", 410, "Deleted", "This post was deleted."),
    # State
    (
        "idempotency_mismatch",
        422,
        "Idempotency-Key was used for another request",
        "Use a new Idempotency-Key for a different body.",
    ),
    (
        "invalid_idempotency_key",
        400,
        "Idempotency-Key is not valid",
        "Use 1 to {limit} visible ASCII characters.",
    ),
    ("not_ready", 409, "Not finished yet", "The post is {status}; try again when it is published."),
    (
        "too_long_to_render",
        422,
        "Too long for this format",
        "It takes texts of up to {limit} characters; take the post as markdown or json.",
    ),
    (
        "not_retryable",
        409,
        "Nothing to try again",
        "The post is {status}; only a failed or a cancelled one can be tried again.",
    ),
    (
        "not_approvable",
        409,
        "Nothing to approve",
        "The post is {status}; only one that waits for its author can be approved.",
    ),
    (
        "approved_otherwise",
        409,
        "Another outline was approved",
        "The post goes on with that one; yours was not used.",
    ),
    # Documents
    (
        "unknown_document",
        422,
        "No such document",
        "You mention @{mention}, and have no document of that number or name. Upload it first, or leave it out; "
        "code stands between `backticks`.",
    ),
    ("too_many_documents", 422, "Too many documents", "Mention at most {limit} documents in one request."),
    ("document_limit", 409, "No room for more documents", "Delete one of your {limit} documents first."),
    ("document_too_large", 413, "The document is too large", "Upload at most {limit_bytes}."),
    (
        "document_too_long",
        422,
        "The document is too long",
        "It has more than {limit} {unit}; upload it in parts.",
    ),
    (
        "document_unreadable",
        422,
        "The document cannot be read",
        "{detail} Save it anew, or upload its text as Markdown.",
    ),
    ("document_empty", 422, "The document has no text", "There is no text in it; a scan needs text recognition first."),
    (
        "unsupported_document",
        415,
        "Unsupported kind of document",
        "Upload text, Markdown, HTML, PDF or DOCX.",
    ),
    (
        "malformed_upload",
        400,
        "The upload is not valid",
        "Send multipart/form-data with one part named file, or the file itself and its name in the query.",
    ),
    ("upload_too_slow", 408, "The upload took too long", "Send the file again, or in parts."),
    # Conversations
    ("not_a_member", 403, "Not a member", "Ask the conversation's owner to add you."),
    ("owner_only", 403, "Not allowed", "Only the owner of the conversation may do that."),
    ("author_only", 403, "Not allowed", "Only who wrote the message may change it."),
    ("unknown_message", 404, "No such message", "The conversation has no such message, or it was replaced."),
    ("not_a_reply", 409, "Not an answer", "Only an answer of the assistant can be written once more."),
    ("conversation_full", 409, "The conversation is full", "Go on in a new one; this one stays readable."),
    ("too_many_members", 409, "Too many members", "A conversation has at most {limit} members."),
    (
        "owner_stays",
        409,
        "The owner stays",
        "The owner's own place in the conversation cannot be changed; the whole conversation can be deleted.",
    ),
    ("too_many_reactions", 409, "Too many reactions", "A message has at most {limit} different ones."),
    ("conversation_gone", 410, "Deleted", "This conversation was deleted."),
    ("not_replayable", 409, "This cannot be replayed", "{detail}"),
    ("too_many_posts", 429, "Too many unfinished posts", "Wait until one of your {limit} posts has ended."),
    ("rate_limited", 429, "Too many requests", "Try again in {retry_after_s} s."),
    (
        "broker_unavailable",
        503,
        "Not available at the moment",
        "Nothing is promised yet. Try again in a few seconds; with the same Idempotency-Key it is done only once.",
    ),
    (
        "still_stopping",
        503,
        "The post is still being stopped",
        "It is deleted once its writer has let go of it. Try again in a few seconds.",
    ),
    (
        "api_unavailable",
        503,
        "Not available at the moment",
        "Nothing is promised, and nothing else was changed. Send the frame again in a few seconds; twice does no harm.",
    ),
    ("store_unavailable", 503, "Not available at the moment", "Try again in a few seconds."),
    ("log_full", 503, "No room for new posts", "Nothing was accepted. Try again in {retry_after_s} s."),
    ("internal", 500, "Something went wrong", "It was logged. Try again; if it stays, tell the operator."),
    # Frames of the WebSocket
    ("invalid_frame", 400, "The frame is not valid", "{detail}"),
    (
        "invalid_channel",
        400,
        "No such channel",
        "Name post:<id>, user:<owner>, conversation:<id>, presence:<id> or reply:<conversation>:<post>.",
    ),
    ("too_many_channels", 429, "Too many channels", "Follow at most {limit} channels on one connection."),
    ("already_subscribed", 409, "Already subscribed", "Unsubscribe before subscribing to the channel again."),
    ("not_subscribed", 409, "Not subscribed", "This connection does not follow that channel."),
    # Ends of a run
    (
        "provider_auth",
        502,
        "The model provider refused the key",
        "Ask the operator to check the provider's key.",
    ),
    (
        "provider_quota",
        502,
        "The model provider's quota is used up",
        "Ask the operator to check the provider's plan.",
    ),
    (
        "provider_rate_limited",
        502,
        "The model provider is rate limiting",
        "It was asked several times. Try again later.",
    ),
    (
        "provider_unavailable",
        502,
        "The model provider is not available",
        "It was asked several times. Try again later; if it stays, ask the operator to check its address.",
    ),
    ("provider_timeout", 504, "The model provider is silent", "It was asked several times. Try again later."),
    (
        "provider_cut",
        502,
        "The model provider's answer was cut off",
        "It was asked several times. Try again later.",
    ),
    (
        "provider_rejected",
        502,
        "The model provider rejected the request",
        "Ask the operator to check the model's name.",
    ),
    (
        "provider_truncated",
        502,
        "The model stopped at its length limit",
        "Choose a shorter text or a larger limit.",
    ),
    ("provider_content_filter", 422, "The model's content filter stopped the text", "Choose another title."),
    (
        "provider_invalid_output",
        502,
        "The model's answer could not be used",
        "It was asked several times. Try again, or ask the operator for another model.",
    ),
    ("section_too_long", 422, "A section grew too long", "Choose a shorter text."),
    (
        "budget_exceeded",
        422,
        "The post has used up what one run may cost",
        "Its finished sections stay. Try again to go on from them, or ask the operator to raise the limit.",
    ),
    ("deadline_exceeded", 504, "The post took too long", "Try again later, or choose a shorter text."),
    (
        "corrupt",
        500,
        "The text is not proven",
        "Its log and its digest do not agree; nothing was deleted. Tell the operator.",
    ),
    ("poison", 500, "The post could not be written", "It failed {deliveries} times without coming forward."),
)

# Progress and notices: no errors, but told to people in the same way.
MESSAGES: Mapping[str, str] = {
    "waiting": "Waiting for a writer...",
    "planning": "Planning the outline...",
    "step": "Working on: {title}",
    "planned": "Outline ready: {sections} sections",
    "writing_section": "Writing section {n} of {total}: {title}",
    "finishing": "Finishing...",
    "published": "Published",
    "retrying": "Retrying in {delay_s} s ({reason})",
    "waiting_for_provider": "The model provider is asked in {delay_s} s (rate limited)",
}

REASONS: Mapping[str, str] = {
    "provider_auth": "key refused",
    "provider_quota": "quota used up",
    "provider_rate_limited": "rate limited",
    "provider_unavailable": "provider unavailable",
    "provider_timeout": "provider silent",
    "provider_cut": "connection cut",
    "provider_invalid_output": "unusable answer",
}
"""Short reasons for the ``retrying`` message."""


class _Tolerant(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def render(code: str, params: Mapping[str, Any] | None = None) -> str:
    """English for a code of either table. Unknown codes render as themselves; missing parameters as ``?``."""
    error = ERROR_CODES.get(code)
    if error is not None:
        template = error.template if error.template == "{detail}" else f"{error.title}. {error.template}"
    elif code in MESSAGES:
        template = MESSAGES[code]
    else:
        return code
    values = _Tolerant(params or {})
    if isinstance(limit := values.get("limit_bytes"), int):
        values["limit_bytes"] = _size(limit)
    return template.format_map(values)


def _size(count: int) -> str:
    """Bytes in the largest unit that says them exactly: 20971520 is "20 MiB"."""
    for unit, of in (("MiB", 1024**2), ("KiB", 1024)):
        if count >= of and count % of == 0:
            return f"{count // of:,} {unit}"
    return f"{count:,} bytes"


class InkwireError(Exception):
    """An error with a stable code, for any edge to render.

    Args:
        code: a key of :data:`ERROR_CODES`.
        params: what the template and machines need to know.
    """

    def __init__(self, code: str, **params: Any) -> None:
        self.code = code
        self.params = params
        super().__init__(render(code, params))

    @property
    def spec(self) -> ErrorCode:
        """The code's row in the table."""
        return ERROR_CODES.get(self.code, ERROR_CODES["internal"])
