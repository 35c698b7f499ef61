"""MongoDB's collection and its indexes, made by the writer before its first write."""

from typing import Final

from pymongo import ASCENDING, DESCENDING, IndexModel

POSTS: Final = "posts"

POST_INDEXES: Final = (
    IndexModel(
        [("owner", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
        name="posts_of_owner",
    ),
    IndexModel(
        [("owner", ASCENDING), ("status", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
        name="posts_of_owner_by_status",
    ),
    IndexModel([("purged", ASCENDING), ("updated_at", ASCENDING), ("_id", ASCENDING)], name="posts_to_purge"),
)
"""One for an owner's newest posts, one for those in a status (and for counting the active ones), and the janitor's."""
