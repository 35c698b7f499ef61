"""Read posts: the stored document, folded forward with what is newer in the log."""

import asyncio
import base64
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote

from inkwire_api import pagination
from inkwire_api.articles import Article, article
from inkwire_api.joining import joined, kept
from inkwire_api.pagination import Page
from inkwire_api.ports import BrokerUnavailable, Damaged, Folded, PostLog
from inkwire_chassis.logs import get_logger
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Snapshot, digest, document
from inkwire_contracts.views import PostSummary, UsageTotals
from inkwire_stores.ports import PostStore, StoreUnavailable

MAX_NAME_CHARS = 80


@dataclass(frozen=True, slots=True)
class Markdown:
    """A finished document, the SHA-256 of its bytes, and a title to name a file by."""

    text: str
    sha256: str
    title: str


class Reader:
    """Reads the posts of an owner. A post of somebody else is not found."""

    def __init__(self, *, log: PostLog, store: PostStore, timeout_s: float) -> None:
        self._log = log
        self._store = store
        self._timeout_s = timeout_s

    async def post(self, owner: str, post: str) -> Folded:
        """The post as it stands.

        Raises:
            InkwireError: ``not_found``, ``gone``, ``corrupt``, or what is missing to tell.
        """
        folded = await self._fold(owner, post)
        if folded.snapshot.status == "deleted":
            raise InkwireError("gone")
        return folded

    async def markdown(self, owner: str, post: str) -> Markdown:
        """The document of a run that has ended; a published one only if it matches its digest.

        Raises:
            InkwireError: as :meth:`post`, or ``not_ready``.
        """
        snapshot = await self._ended(owner, post)
        text = document(snapshot)
        return Markdown(text, digest(text), snapshot.title)

    async def article(self, owner: str, post: str) -> Article:
        """The document of a run that has ended, with what is known of it; one that waits for its author has none.

        Raises:
            InkwireError: as :meth:`markdown`.
        """
        snapshot = await self._ended(owner, post)
        if snapshot.status == "paused":
            raise InkwireError("not_ready", status=snapshot.status)
        return article(snapshot)

    async def _ended(self, owner: str, post: str) -> Snapshot:
        folded = await self.post(owner, post)
        snapshot = folded.snapshot
        if not snapshot.is_final:
            raise InkwireError("not_ready", status=snapshot.status)
        if folded.corrupt or (snapshot.status == "published" and digest(document(snapshot)) != snapshot.sha256):
            get_logger().error("text does not match its digest", post=post, seq=snapshot.seq)
            raise InkwireError("corrupt")
        return snapshot

    async def page(
        self, owner: str, *, limit: int, cursor: str | None, status: str | None, replies: bool = False
    ) -> Page[PostSummary]:
        """The owner's posts, newest first; those that are replies in conversations only if asked for.

        Raises:
            InkwireError: ``invalid_cursor``.
            StoreUnavailable: lists come from the store alone.
        """
        filtered = f"{status or 'any'}, replies too" if replies else status
        before = None if cursor is None else pagination.decode_cursor(cursor, filtered)
        found = await self._store.list_posts(owner, limit=limit + 1, before=before, status=status, replies=replies)
        items = found[:limit]
        more = len(found) > limit
        following = pagination.encode_cursor(items[-1].created_at, items[-1].id, filtered) if more else None
        return Page(items, following)

    async def usage(self, owner: str | None, *, since: str | None, until: str | None) -> UsageTotals:
        """What an owner's posts, or (``None``) all, have cost; times in the form of ``created_at``.

        Raises:
            StoreUnavailable: totals come from the store alone.
        """
        return await self._store.usage(owner, since=since, until=until)

    async def _fold(self, owner: str, post: str) -> Folded:
        try:
            async with asyncio.timeout(self._timeout_s):
                folded = await joined(self._log, self._store, owner, post)
        except (BrokerUnavailable, TimeoutError):
            stored = (await kept(self._store, owner, post)).post
            if stored is None:
                raise InkwireError("broker_unavailable") from None
            # The stored document is a true earlier state, and its position says which.
            return Folded(stored.snapshot, stored.epoch, stored.corrupt)
        except StoreUnavailable:
            raise InkwireError("store_unavailable") from None
        except Damaged as error:
            get_logger().error("the post's log does not fold", post=post, error=str(error))
            raise InkwireError("corrupt") from None
        if folded is None:
            raise InkwireError("not_found")
        return folded


def content_disposition(title: str, extension: str = "md") -> str:
    """The header that names the downloaded file after the post (RFC 6266)."""
    kept = "".join(c if unicodedata.category(c)[0] in "LN" or c in "-_" else " " for c in title)
    name = "-".join(kept.lower().split())[:MAX_NAME_CHARS].strip("-") or "post"
    plain = re.sub(r"[^a-z0-9_-]+", "-", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode())
    plain = plain.strip("-") or "post"
    return f"attachment; filename=\"{plain}.{extension}\"; filename*=UTF-8''{quote(name)}.{extension}"


def repr_digest(sha256_hex: str) -> str:
    """A Repr-Digest header (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256_hex)).decode()}:"
