"""Posts in MongoDB, one document each, so that compare-and-set is one atomic write."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo import ASCENDING, DESCENDING

from inkwire_contracts.fold import ACTIVE, FINAL
from inkwire_contracts.views import PostSummary, UsageTotals
from inkwire_stores.indexes import CONVERSATIONS, POST_INDEXES, POSTS
from inkwire_stores.mongo_conversations import MongoConversations
from inkwire_stores.mongo_database import (
    Collection,
    Document,
    Indexes,
    collection_of,
    driver_errors,
    insert_new,
    open_database,
    ping,
)
from inkwire_stores.mongo_post import SUMS, from_document, groups_of, sample_of, summary_of, to_document
from inkwire_stores.ports import MAX_POST_BYTES, EndedPost, PostTooLarge, StoredPost, check_limit
from inkwire_stores.usage import MAX_SAMPLES, totals


@asynccontextmanager
async def open_mongo(url: str) -> AsyncIterator["MongoPostStore"]:
    """The store at a MongoDB URL; returns at once, whether or not a server is there.

    Raises:
        StoreUnavailable: the driver cannot read the URL.
    """
    async with open_database(url) as database:
        yield MongoPostStore(collection_of(database, POSTS), MongoConversations(collection_of(database, CONVERSATIONS)))


class MongoPostStore:
    """See :class:`inkwire_stores.ports.PostStore`."""

    def __init__(self, posts: Collection, conversations: MongoConversations) -> None:
        self.conversations = conversations
        self._posts = posts
        self._indexes = Indexes(posts, POST_INDEXES)

    async def get(self, post: str) -> StoredPost | None:
        """See :class:`inkwire_stores.ports.PostStore`."""
        with driver_errors():
            document = await self._posts.find_one({"_id": post})
        return None if document is None else from_document(document)

    async def put(self, stored: StoredPost, *, expected_seq: int) -> bool:
        """See :class:`inkwire_stores.ports.PostStore`."""
        document = to_document(stored)
        with driver_errors(_too_large):
            await self._indexes.make()
            if expected_seq == 0:
                return await insert_new(self._posts, document)
            # By $set, so that proven_seq, which is not the caller's, stays.
            result = await self._posts.update_one({"_id": document["_id"], "seq": expected_seq}, {"$set": document})
            return result.matched_count == 1

    async def list_posts(
        self,
        owner: str,
        *,
        limit: int,
        before: tuple[str, str] | None = None,
        status: str | None = None,
        replies: bool = False,
    ) -> list[PostSummary]:
        """See :class:`inkwire_stores.ports.PostStore`."""
        check_limit(limit)
        query: Document = {"owner": owner, "status": {"$ne": "deleted"} if status is None else status}
        if not replies:
            query["reply"] = {"$in": [False, None]}  # posts of before there were conversations have no such field
        if before is not None:
            created_at, post = before
            older = {"created_at": {"$lt": created_at}}
            query["$or"] = [older, {"created_at": created_at, "_id": {"$lt": post}}]
        order = [("created_at", DESCENDING), ("_id", DESCENDING)]
        with driver_errors():
            found = await self._posts.find(query, {"summary": 1}).sort(order).limit(limit).to_list(limit)
        return [summary_of(document) for document in found]

    async def count_active(self, owner: str) -> int:
        """See :class:`inkwire_stores.ports.PostStore`."""
        with driver_errors():
            return int(await self._posts.count_documents({"owner": owner, "status": {"$in": sorted(ACTIVE)}}))

    async def active_posts(self, *, limit: int, after: str = "") -> list[str]:
        """See :class:`inkwire_stores.ports.PostStore`."""
        check_limit(limit)
        query: Document = {"status": {"$in": sorted(ACTIVE)}, "_id": {"$gt": after}}
        with driver_errors():
            found = await self._posts.find(query, {"_id": 1}).sort("_id", ASCENDING).limit(limit).to_list(limit)
        return [str(document["_id"]) for document in found]

    async def unpurged_posts(
        self, *, epoch: str, before: str, limit: int, after: tuple[str, str] | None = None
    ) -> list[EndedPost]:
        """See :class:`inkwire_stores.ports.PostStore`."""
        check_limit(limit)
        query: Document = {
            "purged": False,
            "updated_at": {"$lt": before},
            "status": {"$in": sorted(FINAL)},
            "epoch": epoch,
            "corrupt": False,
        }
        if after is not None:
            updated_at, post = after
            query["$or"] = [{"updated_at": {"$gt": updated_at}}, {"updated_at": updated_at, "_id": {"$gt": post}}]
        order = [("updated_at", ASCENDING), ("_id", ASCENDING)]
        fields = {"owner": 1, "status": 1, "updated_at": 1}
        with driver_errors():
            found = await self._posts.find(query, fields).sort(order).limit(limit).to_list(limit)
        return [EndedPost(line["_id"], line["owner"], line["status"], line["updated_at"]) for line in found]

    async def mark_purge(self, post: str, *, seq: int, done: bool) -> bool:
        """See :class:`inkwire_stores.ports.PostStore`."""
        there = {"_id": post, "seq": seq, "corrupt": False}
        with driver_errors():
            result = await self._posts.update_one(there, {"$set": {"proven_seq": seq, "purged": done}})
        return result.matched_count == 1

    async def usage(self, owner: str | None, *, since: str | None = None, until: str | None = None) -> UsageTotals:
        """See :class:`inkwire_stores.ports.PostStore`."""
        # Any text: a condition on owner, so that the index posts_usage answers for all of them too.
        period: Document = {"owner": {"$gt": ""} if owner is None else owner}
        if limits := {sign: at for sign, at in (("$gte", since), ("$lt", until)) if at is not None}:
            period["created_at"] = limits
        times = {"_id": 0, "usage_first_text_ms": 1, "usage_run_ms": 1}
        newest = [("created_at", DESCENDING), ("_id", DESCENDING)]
        with driver_errors():
            sums = {name: await self._sums(period, source) for name, source in SUMS.items()}
            published = self._posts.find({**period, "status": "published"}, times).sort(newest).limit(MAX_SAMPLES)
            samples = [sample_of(found) async for found in published]
        return totals(groups_of(sums), samples)

    async def _sums(self, period: Document, source: int | str) -> dict[str, float]:
        """One sum for each group. Only one, because FerretDB 1.24 answers 0 for each further one in the same stage."""
        stages: list[Document] = [{"$match": period}, {"$group": {"_id": "$usage_group", "sum": {"$sum": source}}}]
        return {str(found["_id"] or ""): found["sum"] async for found in self._posts.aggregate(stages)}

    async def ping(self) -> None:
        """See :class:`inkwire_stores.ports.PostStore`."""
        await ping(self._posts)


def _too_large() -> Exception:
    return PostTooLarge(f"the post takes more than {MAX_POST_BYTES} bytes")
