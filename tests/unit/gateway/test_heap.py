"""When the garbage collector looks at what."""

from inkwire_gateway.heap import FREEZE_COLLECTIONS, GROWTH, MIN_BLOCKS, SIZE_INTERVAL_S, HeapPolicy, Step


class Memory:
    """So many blocks, and how often they were counted."""

    def __init__(self, blocks: int = 300_000) -> None:
        self.blocks = blocks
        self.looks = 0

    def __call__(self) -> int:
        self.looks += 1
        return self.blocks


def test_nothing_is_due_while_little_is_new() -> None:
    """An idle process is left alone."""
    policy = HeapPolicy(40, 0.0, Memory())
    assert {policy.step(40 + n, float(n)) for n in range(FREEZE_COLLECTIONS)} == {Step.NOTHING}


def test_what_is_new_is_frozen_before_it_is_much() -> None:
    """Each time so much has come together, counted from the last time."""
    policy = HeapPolicy(40, 0.0, Memory())
    steps = [policy.step(count, 1.0) for count in range(40, 40 + 3 * FREEZE_COLLECTIONS + 1)]
    assert steps.count(Step.FREEZE) == 3 and Step.THAW not in steps
    assert steps[FREEZE_COLLECTIONS] is Step.FREEZE


def test_all_is_never_looked_at_where_memory_does_not_grow() -> None:
    """However long the process lives and however much comes and goes, within twice of what counts as had."""
    memory = Memory()
    policy = HeapPolicy(0, 0.0, memory)
    steps = set()
    for hour in range(24 * 30):
        memory.blocks = 300_000 if hour % 24 < 12 else GROWTH * MIN_BLOCKS - 1
        steps.add(policy.step(0, 3600.0 * hour))
    assert steps == {Step.NOTHING}


def test_all_is_looked_at_when_memory_has_doubled() -> None:
    """Counted from what was left the last time, so that growth to the tenfold stalls four times and not each hour."""
    memory = Memory(GROWTH * MIN_BLOCKS)
    policy = HeapPolicy(0, 0.0, memory)
    steps = []
    for look in range(1, 200):
        memory.blocks = min(10 * GROWTH * MIN_BLOCKS, GROWTH * MIN_BLOCKS + look * 200_000)
        steps.append(policy.step(0, SIZE_INTERVAL_S * look))
    assert 3 <= steps.count(Step.THAW) <= 4 and Step.THAW not in steps[100:]


def test_cycles_that_leak_are_found_again_and_again() -> None:
    """Where all that grew is freed by the look, the next one is due at the same size: memory is bounded."""
    memory = Memory()
    policy = HeapPolicy(0, 0.0, memory)
    most, thaws = 0, 0
    for look in range(1, 1_000):
        memory.blocks += 50_000
        most = max(most, memory.blocks)
        if policy.step(0, SIZE_INTERVAL_S * look) is Step.THAW:
            memory.blocks = 300_000
            thaws += 1
    assert thaws > 10 and most <= GROWTH * MIN_BLOCKS + 50_000


def test_a_thaw_freezes_as_well() -> None:
    """The next freeze is counted from it."""
    memory = Memory(GROWTH * MIN_BLOCKS)
    policy = HeapPolicy(0, 100.0, memory)
    assert policy.step(FREEZE_COLLECTIONS, 100.0 + SIZE_INTERVAL_S) is Step.THAW
    memory.blocks = MIN_BLOCKS
    assert policy.step(FREEZE_COLLECTIONS, 101.0 + SIZE_INTERVAL_S) is Step.NOTHING
    assert policy.step(2 * FREEZE_COLLECTIONS, 102.0 + SIZE_INTERVAL_S) is Step.FREEZE


def test_memory_is_measured_seldom() -> None:
    """Counting blocks takes time: it is done once in a while, not at each look."""
    memory = Memory()
    policy = HeapPolicy(0, 0.0, memory)
    for look in range(2_000):
        policy.step(0, look * 0.05)
    assert memory.looks <= 100 / SIZE_INTERVAL_S
