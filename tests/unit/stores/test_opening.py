"""From a URL to a store."""

from pathlib import Path

import pytest

from inkwire_stores import StoreUnavailable, StoreUrlError, check_store_url, open_document_store, open_store


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgres://ana:pass-word@db/x", "unknown scheme 'postgres'"),
        ("sqlite://posts.db", "unknown scheme 'sqlite'"),
        ("sqlite:///", "names no file"),
        ("posts.sqlite3", "no scheme"),
        ("", "no scheme"),
        ("ana:pass-word@host://x", "no scheme"),
    ],
)
async def test_an_unknown_url_is_one_clear_line(url: str, why: str) -> None:
    """The error says what is wrong and what to use, on one line, and never repeats the URL."""
    with pytest.raises(StoreUrlError, match=why) as caught:
        async with open_store(url):
            pass
    text = str(caught.value)
    assert "use sqlite:///PATH or mongodb://HOST:PORT/DATABASE" in text
    assert "\n" not in text and "pass-word" not in text


@pytest.mark.parametrize("url", ["sqlite:///data/x", "sqlite:////var/x", "mongodb://h/d", "mongodb+srv://h/d"])
def test_known_urls_pass(url: str) -> None:
    """Relative and absolute files and both schemes of MongoDB are known."""
    assert check_store_url(url) == url


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file's folder that cannot be made is an error that names the file."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match=r"posts\.sqlite3"):
        async with open_store(f"sqlite:///{tmp_path}/file/posts.sqlite3"):
            pass


async def test_a_mongodb_that_is_away_can_be_opened() -> None:
    """Opening needs no server, so that any start order works."""
    async with open_store("mongodb://127.0.0.1:9/inkwire") as store:
        assert store is not None


async def test_documents_lie_in_a_file_beside_the_posts(tmp_path: Path) -> None:
    """The api writes a file of its own, named after the store's, so that two stores in one folder share nothing."""
    async with open_document_store(f"sqlite:///{tmp_path}/a%20b/inkwire.sqlite3") as store:
        await store.ping()
    assert (tmp_path / "a b" / "inkwire-documents.sqlite3").exists()
    assert not (tmp_path / "a b" / "inkwire.sqlite3").exists()


async def test_documents_of_a_url_that_is_none_are_refused() -> None:
    """The same words as for the posts' store."""
    with pytest.raises(StoreUrlError, match="no scheme"):
        async with open_document_store("nonsense"):
            pass
