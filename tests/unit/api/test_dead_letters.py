"""Dead letters over ports: pages, and a letter that is taken away last."""

import pytest

from inkwire_api.dead_letters import MAX_SCANNED, REPLAY_LEAP, DeadLetters
from inkwire_api.steering import Steering
from inkwire_contracts.errors import InkwireError
from inkwire_contracts.fold import Snapshot
from tests.support.api_fakes import FakeLetters, FakeRuns
from tests.support.clock import ManualClock
from tests.support.log import make_job

JOBS = "dlq.jobs.general.normal.1.ana"
EVENTS = "dlq.events.posts.ana.x.planned"


def dead_letters(box: FakeLetters, runs: FakeRuns | None = None, *, timeout_s: float = 10.0) -> DeadLetters:
    runs = runs or FakeRuns(None)
    steering = Steering(log=runs, jobs=runs.queue, admit=runs.admit, clock=ManualClock(), commit_timeout_s=timeout_s)
    return DeadLetters(box=box, runs=runs, log=runs.queue, steering=steering, timeout_s=timeout_s)


def three_of_a_kind() -> FakeLetters:
    box = FakeLetters()
    for seq in (2, 5, 9):
        box.add(seq, JOBS, reason="poison" if seq != 5 else "reject")
    box.add(7, EVENTS, reason="not_an_event")
    return box


async def test_pages_go_back_in_time() -> None:
    """Newest first, each letter once, and an end."""
    letters = dead_letters(three_of_a_kind())
    first = await letters.page(limit=2, cursor=None, kind=None, reason=None)
    assert [letter.id for letter in first.items] == ["9", "7"]
    second = await letters.page(limit=2, cursor=first.next_cursor, kind=None, reason=None)
    assert [letter.id for letter in second.items] == ["5", "2"]
    last = await letters.page(limit=2, cursor=second.next_cursor, kind=None, reason=None)
    assert (last.items, last.next_cursor) == ([], None)


async def test_filters() -> None:
    """By kind and by reason; a cursor belongs to its filters."""
    letters = dead_letters(three_of_a_kind())
    jobs = await letters.page(limit=2, cursor=None, kind="job", reason=None)
    assert [letter.id for letter in jobs.items] == ["9", "5"]
    poison = await letters.page(limit=9, cursor=None, kind=None, reason="poison")
    assert [letter.id for letter in poison.items] == ["9", "2"]
    with pytest.raises(InkwireError) as caught:
        await letters.page(limit=2, cursor=jobs.next_cursor, kind="event", reason=None)
    assert caught.value.code == "invalid_cursor"


async def test_a_page_looks_at_so_many_and_no_more() -> None:
    """A filter that fits nothing ends early with a cursor that goes on."""
    box = FakeLetters()
    for seq in range(1, MAX_SCANNED + 3):
        box.add(seq, JOBS, reason="poison")
    letters = dead_letters(box)
    page = await letters.page(limit=1, cursor=None, kind=None, reason="reject")
    assert page.items == [] and page.next_cursor is not None
    assert box.asked.count("newest_before") == MAX_SCANNED
    rest = await letters.page(limit=1, cursor=page.next_cursor, kind=None, reason="reject")
    assert (rest.items, rest.next_cursor) == ([], None)


@pytest.mark.parametrize("letter", ["0", "x", "-1", "1" * 30, "", "٣", "3"])
async def test_what_is_no_letter_is_not_found(letter: str) -> None:
    """An id that cannot be one, and one that is not there."""
    letters = dead_letters(three_of_a_kind())
    for ask in (letters.get, letters.discard, letters.replay):
        with pytest.raises(InkwireError) as caught:
            await ask(letter)
        assert caught.value.code == "not_found"


async def test_a_failed_run_is_followed_and_the_letter_goes_last() -> None:
    """The next run's job is stored and in the log before the letter is taken away."""
    job = make_job("ana")
    runs = FakeRuns(Snapshot(post=job.post, owner="ana", seq=3, key_seq=3, run=1, status="failed"))
    box = FakeLetters()
    box.asked = runs.queue.asked
    box.add(4, JOBS, job.model_dump_json().encode(), reason="poison")
    steered = await dead_letters(box, runs).replay("4")
    assert (steered.post, steered.run) == (job.post, 2)
    assert [job.run for job in runs.queue.jobs.values()] == [2]
    assert box.asked[-1] == "remove" and box.letters == {}


async def test_a_letter_stays_where_its_job_was_not_stored() -> None:
    """Whatever stands in the way; once it is gone the same replay begins one run, and so would another letter."""
    job = make_job("ana")
    runs = FakeRuns(Snapshot(post=job.post, owner="ana", seq=3, key_seq=3, run=1, status="failed"))
    box = FakeLetters()
    for seq in (4, 5):
        box.add(seq, JOBS, job.model_dump_json().encode(), reason="poison")
    letters = dead_letters(box, runs)
    runs.queue.full = True
    with pytest.raises(InkwireError) as caught:
        await letters.replay("4")
    assert caught.value.code == "log_full"
    assert set(box.letters) == {4, 5}
    runs.queue.full = False
    assert [(await letters.replay(letter)).run for letter in ("4", "5")] == [2, 2]
    assert len(runs.queue.jobs) == 1 and box.letters == {}


async def test_a_run_that_never_ended_goes_on_with_the_same_job() -> None:
    """Under another Msg-Id than the broker remembers, with the deliveries that the claim knows of; twice is once."""
    job = make_job("ana")
    runs = FakeRuns(
        Snapshot(post=job.post, owner="ana", seq=3, key_seq=3, run=1, status="generating"), delivered={1: 20}
    )
    runs.queue.store_job(job)
    box = FakeLetters()
    letter = box.add(4, JOBS, job.model_dump_json().encode(), reason="broken")
    letters = dead_letters(box, runs)
    steered = await letters.replay("4")
    assert (steered.run, steered.status) == (1, "generating")
    box.letters[4] = letter  # as if we had died before it was taken away
    await letters.replay("4")
    assert [copy.delivered for copy in runs.queue.jobs.values()] == [0, REPLAY_LEAP + 20]


async def test_a_post_that_never_began_begins() -> None:
    """The same job, and its `requested`, so that who was told of the run can read it."""
    job = make_job("ana")
    runs = FakeRuns(None)
    box = FakeLetters()
    box.add(4, JOBS, job.model_dump_json().encode(), reason="broken")
    assert (await dead_letters(box, runs).replay("4")).status == "queued"
    assert list(runs.queue.requested.values()) == [job]


@pytest.mark.parametrize(("subject", "word"), [(JOBS, "made again"), (EVENTS, "the log")])
async def test_what_is_no_job_is_not_replayed(subject: str, word: str) -> None:
    """It says what to do, and stays."""
    box = FakeLetters()
    box.add(4, subject, reason="unreadable")
    with pytest.raises(InkwireError) as caught:
        await dead_letters(box).replay("4")
    assert caught.value.code == "not_replayable" and word in str(caught.value)
    assert set(box.letters) == {4}


async def test_a_silent_broker_is_told() -> None:
    """Nothing is promised."""
    box = three_of_a_kind()
    box.down = True
    with pytest.raises(InkwireError) as caught:
        await dead_letters(box, timeout_s=0.05).get("9")
    assert caught.value.code == "broker_unavailable"
