"""MongoDB's collections and their indexes, made by the writer before its first write."""

from typing import Final

from pymongo import ASCENDING, DESCENDING, IndexModel

from inkwire_stores.mongo_post import INDEXED

POSTS: Final = "posts"

POST_INDEXES: Final = (
    IndexModel(
        [("owner", ASCENDING), ("status", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
        name="posts_of_owner_by_status",
    ),
    IndexModel(
        [
            ("owner", ASCENDING),
            ("created_at", DESCENDING),
            ("_id", DESCENDING),
            ("status", ASCENDING),
            *((field, ASCENDING) for field in INDEXED),
        ],
        name="posts_usage",
    ),
    IndexModel(
        [
            ("owner", ASCENDING),
            ("reply", ASCENDING),
            ("created_at", DESCENDING),
            ("_id", DESCENDING),
            ("status", ASCENDING),
        ],
        name="posts_listed",
    ),
    IndexModel([("purged", ASCENDING), ("updated_at", ASCENDING), ("_id", ASCENDING)], name="posts_to_purge"),
)
"""One for an owner's posts in a status (and for counting the active ones); one for the newest, replies included, which
holds all that totals need, so that they read no document; one for lists without replies; and the janitor's."""

CONVERSATIONS: Final = "conversations"

CONVERSATION_INDEXES: Final = (
    IndexModel(
        [("members", ASCENDING), ("updated_at", DESCENDING), ("_id", DESCENDING)], name="conversations_of_member"
    ),
    IndexModel([("epoch", ASCENDING), ("cut_at", ASCENDING), ("_id", ASCENDING)], name="conversations_to_cut"),
)
"""A member's newest conversations; and the janitor's."""

DOCUMENTS: Final = "documents"
COUNTERS: Final = "counters"

DOCUMENT_INDEXES: Final = (
    IndexModel([("owner", ASCENDING), ("number", DESCENDING)], name="documents_of_owner", unique=True),
    IndexModel([("owner", ASCENDING), ("name_key", ASCENDING), ("number", DESCENDING)], name="documents_by_name"),
)
"""One for an owner's list and mentions by number, one for mentions by name."""
