"""Extraction in its own process: what people upload, what attackers upload, and what becomes of the process."""

import asyncio
import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inkwire_contracts.errors import InkwireError
from inkwire_documents.extracting import Extractor, WorkerError
from inkwire_documents.kinds import Kind
from inkwire_documents.limits import DEFAULT_LIMITS, MIB, Limits
from tests.support.documents import (
    ACCESS_CONTROL,
    REMOTE_WORK,
    blank_pdf,
    docx_of,
    pdf,
    raw_pdf,
    with_members,
)
from tests.support.wait import eventually

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this limit")


async def _refused(data: bytes, name: str, limits: Limits = DEFAULT_LIMITS) -> tuple[str, str]:
    with pytest.raises(InkwireError) as caught:
        await Extractor().extract(data, name, None, limits)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("data", "name", "kind", "pages"),
    [
        (f"{REMOTE_WORK}\r\n\r\n{ACCESS_CONTROL}".encode("utf-16"), "policy.txt", Kind.TEXT, None),
        (f"# Access\n\n{REMOTE_WORK}\n\n{ACCESS_CONTROL}".encode(), "policy.md", Kind.MARKDOWN, None),
        (f"<p>{REMOTE_WORK}<script>alert()</script><p>{ACCESS_CONTROL}".encode(), "policy.html", Kind.HTML, None),
        (pdf([REMOTE_WORK, ACCESS_CONTROL]), "policy.pdf", Kind.PDF, 2),
        (docx_of(REMOTE_WORK, ACCESS_CONTROL), "policy.docx", Kind.DOCX, None),
        (f"{REMOTE_WORK}\n\n{ACCESS_CONTROL} é".encode("latin-1"), "policy.txt", Kind.TEXT, None),
    ],
)
async def test_every_supported_kind_is_read(data: bytes, name: str, kind: Kind, pages: int | None) -> None:
    """Whatever the format, the words of the text are there, in order, and counted."""
    extracted = await Extractor().extract(data, name, None)
    words = " ".join(" ".join(passage.text for passage in extracted.passages).split())
    assert REMOTE_WORK in words
    assert ACCESS_CONTROL in words
    assert "alert" not in words
    assert (extracted.media_type, extracted.pages) == (kind.value, pages)
    assert extracted.chars == sum(len(passage.text) for passage in extracted.passages)


async def test_text_that_stores_cannot_hold_is_cleaned() -> None:
    """Control characters, marks and unseen characters are gone, and what came out can be written anywhere."""
    extracted = await Extractor().extract("a\x01b\ufeffc\U000e0041d".encode(), "a.txt")
    assert extracted.passages[0].text == "abcd"


async def test_two_million_characters_come_through() -> None:
    """The longest text that is allowed is, in any script and with all that JSON must escape; one more is too long."""
    text = ('"\\\n語😀' * 400_000)[:1_999_999] + "x"
    extracted = await Extractor().extract(text.encode(), "a.md")
    assert "".join(p.text for p in extracted.passages).count("語") == 400_000
    code, message = await _refused(b"word " * 500_000, "a.txt")
    assert code == "document_too_long"
    assert "2000000 characters" in message


async def test_progress_is_told_while_pages_are_read() -> None:
    """The count rises to the number of pages."""
    told: list[tuple[int, int]] = []
    await Extractor().extract(pdf(["page"] * 40), "a.pdf", on_progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (40, 40)


# --- hostile files ----------------------------------------------------------------------------------------------------
NESTED = b"".join(b"<!ENTITY x%d '%s'>" % (n, b"&x%d;" % (n - 1) * 10) for n in range(1, 10))
LAUGHS = b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY x0 'ha'>" + NESTED + b"]><x>&x9;</x>"
LOOP = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9>>"]


def _crumbs() -> bytes:
    return b"".join(b"# Part %d\n\nb\n\n" % number for number in range(101))


def _lying_archive() -> bytes:
    packed = with_members(docx_of("x"), {"word/media/zeros.xml": bytes(30 * MIB)})
    return packed.replace((30 * MIB).to_bytes(4, "little"), (500).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("make", "name", "code", "part"),
    [
        (lambda: b"   \n\t ", "blank.txt", "document_empty", "no text"),
        (lambda: b"\0" * 10, "zeros.txt", "unsupported_document", "Upload text"),
        (lambda: blank_pdf(3), "scan.pdf", "document_empty", "text recognition"),
        (lambda: blank_pdf(10_000), "long.pdf", "document_too_long", "2000 pages"),
        (lambda: pdf([REMOTE_WORK], password="secret"), "locked.pdf", "document_unreadable", "password"),
        (lambda: pdf([REMOTE_WORK] * 9)[:-3_000], "cut.pdf", "document_unreadable", "end is missing"),
        (lambda: raw_pdf(LOOP), "loop.pdf", "document_unreadable", ""),
        (lambda: b"no pdf at all", "wrong.pdf", "document_unreadable", "says PDF"),
        (lambda: docx_of(REMOTE_WORK)[:9_000], "cut.docx", "document_unreadable", "damaged"),
        (
            lambda: with_members(docx_of("x"), {"word/document.xml": LAUGHS}),
            "l.docx",
            "document_unreadable",
            "entities",
        ),
        (
            lambda: with_members(docx_of("x"), {"word/a": bytes(220 * MIB)}),
            "bomb.docx",
            "document_unreadable",
            "20 MiB",
        ),
        (_lying_archive, "liar.docx", "document_unreadable", "damaged"),
        (_crumbs, "crumbs.md", "document_too_long", "100 separate sections"),
    ],
)
async def test_hostile_files_end_in_an_error_that_people_understand(
    make: Callable[[], bytes], name: str, code: str, part: str
) -> None:
    """Bombs, locks, lies and loops: a code and a sentence, never a trace of a parser."""
    limits = replace(DEFAULT_LIMITS, max_unpacked_bytes=20 * MIB, max_passages_count=100)
    told, message = await _refused(make(), name, limits)
    assert told == code
    assert part in message
    assert "Traceback" not in message


async def test_an_upload_beyond_the_limit_is_not_looked_at() -> None:
    """The size is checked before anything else is."""
    assert (await _refused(b"x" * 101, "a.bin", Limits(max_bytes=100)))[0] == "document_too_large"


@LINUX
async def test_memory_is_bounded() -> None:
    """A page of a million elements that do not fit into the memory allowed is an error, not an outage."""
    tight = replace(DEFAULT_LIMITS, memory_bytes=160 * MIB)
    code, message = await _refused(b"<p>" * 1_000_000, "wide.html", tight)
    assert code == "document_unreadable"
    assert "memory" in message or "breaks" in message


@LINUX
async def test_a_packed_stream_that_grows_without_end_is_bounded() -> None:
    """A small PDF whose page unpacks to gigabytes is stopped by memory or time."""
    content = zlib.compress(zlib.compress(bytes(64 * MIB), 9), 9)
    twice = raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents[%s]>>" % (b"4 0 R " * 50),
            b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n%s\nendstream" % (len(content), content),
        ]
    )
    tight = replace(DEFAULT_LIMITS, memory_bytes=256 * MIB, cpu_s=2, wall_s=20.0)
    code, _ = await _refused(twice, "growing.pdf", tight)
    assert code in {"document_unreadable", "document_empty"}


@LINUX
async def test_processor_time_is_bounded() -> None:
    """Markup whose nesting takes for ever to read takes a second."""
    code, message = await _refused(b"<div>" * 400_000, "deep.html", replace(DEFAULT_LIMITS, cpu_s=1))
    assert (code, "takes too long" in message) == ("document_unreadable", True)


async def test_wall_time_is_bounded() -> None:
    """What is not done in time is over, however little it did."""
    code, message = await _refused(b"<div>" * 400_000, "deep.html", replace(DEFAULT_LIMITS, wall_s=0.2))
    assert (code, "takes too long" in message) == ("document_unreadable", True)


# --- the process ------------------------------------------------------------------------------------------------------
def _workers() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"\nPPid:\t{os.getpid()}\n" in (process / "status").read_text()
            if ours and b"inkwire_documents.worker" in (process / "cmdline").read_bytes():
                found.add(process.name)
        except OSError:
            continue
    return found


@LINUX
async def test_cancelling_ends_the_process() -> None:
    """Whoever goes away takes the process with them, and the next one is served."""
    extractor = Extractor(at_once=1)
    reading = asyncio.create_task(extractor.extract(b"<div>" * 400_000, "deep.html"))
    await eventually(_workers, what="a worker")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not _workers()
    assert (await extractor.extract(b"next", "a.txt")).chars == 4


@LINUX
async def test_a_few_are_read_at_once_and_a_few_wait() -> None:
    """Beyond the bound of processes uploads wait their turn; beyond the bound of waiting they are told when to come."""
    extractor = Extractor(at_once=1, max_waiting=1)
    endless = [asyncio.create_task(extractor.extract(b"<div>" * 400_000, "deep.html")) for _ in range(2)]
    await eventually(_workers, what="a worker")
    with pytest.raises(InkwireError) as caught:
        await extractor.extract(b"one more", "a.txt")
    assert caught.value.code == "rate_limited"
    assert len(_workers()) == 1
    for task in endless:
        task.cancel()
    await asyncio.gather(*endless, return_exceptions=True)
    assert (await extractor.extract(b"room again", "a.txt")).chars == 10


@LINUX
async def test_the_process_has_no_secrets_and_no_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment holds no key, and once it reads it can open no file, no socket and no process."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-parsers")
    reading = asyncio.create_task(Extractor().extract(b"<div>" * 400_000, "deep.html"))
    await eventually(
        lambda: any(_rows(pid).get("Max file size") == ["0", "0"] for pid in _workers()), what="closed doors"
    )
    (pid,) = _workers()
    rows, environment = _rows(pid), _environment(pid)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert b"sk-not-for-parsers" not in environment
    assert rows["Max processes"] == ["0", "0"]
    assert int(rows["Max open files"][1]) < 10
    assert rows["Max core file size"] == ["0", "0"]
    assert rows["Max address space"] == [str(DEFAULT_LIMITS.memory_bytes)] * 2


def _rows(pid: str) -> dict[str, list[str]]:
    try:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    except OSError:
        return {}
    return {line[:26].strip(): line[26:].split()[:2] for line in lines}


def _environment(pid: str) -> bytes:
    """Of a process that forbids others to look into it: nobody but root can."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return b""


async def test_a_broken_installation_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the worker cannot even start, that is an error of ours, with its exit code for the log."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="ended with 1"):
        await Extractor().extract(b"text", "a.txt")
