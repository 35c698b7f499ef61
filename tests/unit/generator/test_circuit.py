"""The circuit breaker of one provider key."""

from inkwire_generator.circuit import MAX_TOLD_S, Circuit, CircuitPolicy

POLICY = CircuitPolicy(failures_count=3, first_open_s=5.0, max_open_s=12.0)


def opened() -> Circuit:
    """A circuit that three failures have opened at 0."""
    circuit = Circuit(POLICY)
    for _ in range(3):
        circuit.failed(circuit.ask(), 0.0, "provider_timeout")
    return circuit


def test_failures_in_a_row_open_it() -> None:
    """The third failure in a row, of whichever posts, holds everybody back for five seconds, and says why."""
    circuit = Circuit(POLICY)
    permits = [circuit.ask() for _ in range(3)]
    circuit.failed(permits[0], 1.0, "provider_cut")
    circuit.failed(permits[1], 1.0, "provider_cut")
    assert circuit.refusal_s(1.0) == 0.0
    circuit.failed(permits[2], 1.0, "provider_timeout")
    assert (circuit.refusal_s(1.0), circuit.refusal_s(4.0), circuit.code) == (5.0, 2.0, "provider_timeout")


def test_a_whole_answer_forgets_failures() -> None:
    """Only failures in a row count."""
    circuit = Circuit(POLICY)
    for _ in range(5):
        circuit.failed(circuit.ask(), 0.0, "provider_cut")
        circuit.failed(circuit.ask(), 0.0, "provider_cut")
        circuit.finished(circuit.ask())
    assert not circuit.is_open


def test_one_call_probes() -> None:
    """After the wait one post may ask; the others wait for what becomes of it."""
    circuit = opened()
    assert circuit.refusal_s(5.0) == 0.0
    probe = circuit.ask()
    assert circuit.refusal_s(5.0) == POLICY.first_open_s
    circuit.answered(probe)
    assert circuit.refusal_s(5.0) == 0.0


def test_a_failed_probe_doubles_the_wait() -> None:
    """Up to a bound."""
    circuit, now_s, waits = opened(), 0.0, []
    for _ in range(3):
        now_s += circuit.refusal_s(now_s)
        circuit.failed(circuit.ask(), now_s, "provider_timeout")
        waits.append(circuit.refusal_s(now_s))
    assert waits == [10.0, 12.0, 12.0]


def test_a_first_text_is_trusted_only_half() -> None:
    """It lets the others in at once, but until one answer is whole the next failure opens the circuit again."""
    circuit = opened()
    probe = circuit.ask()
    circuit.answered(probe)
    circuit.failed(probe, 6.0, "provider_cut")
    assert circuit.refusal_s(6.0) == 10.0
    probe = circuit.ask()
    circuit.answered(probe)
    circuit.finished(probe)
    circuit.failed(circuit.ask(), 20.0, "provider_cut")
    assert not circuit.is_open


def test_a_probe_without_a_verdict_makes_room() -> None:
    """A post that was cancelled while it probed leaves the next one the chance."""
    circuit = opened()
    circuit.left(circuit.ask())
    assert circuit.refusal_s(5.0) == 0.0


def test_old_news_are_ignored() -> None:
    """Calls that began before the circuit opened neither close it nor open it for longer."""
    circuit = Circuit(POLICY)
    old = circuit.ask()
    for _ in range(3):
        circuit.failed(circuit.ask(), 0.0, "provider_cut")
    circuit.failed(old, 4.0, "provider_cut")
    circuit.finished(old)
    circuit.answered(old)
    circuit.left(old)
    circuit.tripped(old, 4.0, "provider_auth")
    assert circuit.refusal_s(4.0) == 1.0


def test_a_provider_that_says_how_long_is_out_for_that_long() -> None:
    """Longer than its failures could make it, but not for ever; after that one call probes."""
    circuit = Circuit(POLICY)
    circuit.tripped(circuit.ask(), 0.0, "provider_rate_limited", 600.0)
    assert (circuit.refusal_s(0.0), circuit.code) == (600.0, "provider_rate_limited")
    assert circuit.refusal_s(600.0) == 0.0
    circuit.tripped(circuit.ask(), 600.0, "provider_rate_limited", 1e9)
    assert circuit.refusal_s(600.0) == MAX_TOLD_S
    assert circuit.refusal_s(600.0 + MAX_TOLD_S) == 0.0
    circuit.failed(circuit.ask(), 600.0 + MAX_TOLD_S, "provider_unavailable")
    assert circuit.refusal_s(600.0 + MAX_TOLD_S) <= POLICY.max_open_s


def test_a_refused_key_trips_it() -> None:
    """One refusal of the key is enough, for the longest time."""
    circuit = Circuit(POLICY)
    circuit.tripped(circuit.ask(), 0.0, "provider_quota")
    assert (circuit.refusal_s(0.0), circuit.code) == (12.0, "provider_quota")
