"""Who is there: a person comes once and goes once, whatever their connections and processes do."""

from hypothesis import given
from hypothesis import strategies as st

from inkwire_contracts.client_frames import PresentMember
from inkwire_gateway import attendance
from inkwire_gateway.attendance import Attendance, Change
from tests.unit.gateway.conversation_fakes import ADA, BOB, EVE

ALL = frozenset({"ada", "bob", "eve"})


def kinds(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.kind, change.member.user) for change in changes]


def fresh(roster: frozenset[str] = ALL) -> Attendance:
    made = Attendance(30.0)
    assert made.admit(roster) == []
    return made


def test_the_last_connection_counts() -> None:
    """Tabs here and elsewhere are one person; only the first and the last one change anything."""
    there = fresh()
    assert kinds(there.hold(ADA, "a1")) == [("joined", "ada")]
    assert there.hold(ADA, "a2") == there.heard(ADA, "a3", 1.0) == []
    assert there.release("ada", "a1") == there.gone("ada", "a3") == []
    assert there.present == [ADA]
    assert kinds(there.release("ada", "a2")) == [("left", "ada")]
    assert there.release("ada", "a2") == [] and there.present == []


def test_silence_ends_others_and_never_ones_own() -> None:
    """A connection elsewhere is gone after its time, one of this process only when it says so."""
    there = fresh()
    there.hold(ADA, "a1")
    there.heard(BOB, "b1", 10.0)
    assert there.expire(40.0) == []
    assert kinds(there.expire(40.1)) == [("left", "bob")]
    assert there.expire(1e9) == [] and there.present == [ADA]


def test_ones_own_is_not_taken_from_hearsay() -> None:
    """Echoes of a beat or a goodbye of a connection of this process change nothing."""
    there = fresh()
    there.hold(ADA, "a1")
    assert there.gone("ada", "a1") == there.heard(ADA, "a1", 5.0) == there.expire(1e9) == []
    assert there.present == [ADA]


def test_time_without_a_broker_does_not_count() -> None:
    """After an outage everybody has the whole time again to be heard."""
    there = fresh()
    there.heard(BOB, "b1", 0.0)
    there.forgive(100.0)
    assert there.expire(130.0) == []
    assert kinds(there.expire(130.1)) == [("left", "bob")]


def test_only_members_are_there() -> None:
    """Who is heard before it is known that they are members comes with the membership, and goes with it."""
    there = fresh(frozenset({"ada"}))
    assert there.heard(BOB, "b1", 0.0) == [] and there.present == []
    assert kinds(there.admit(ALL)) == [("joined", "bob")]
    assert kinds(there.admit(frozenset({"ada"}))) == [("left", "bob")]
    assert there.gone("bob", "b1") == []


def test_connections_are_bounded() -> None:
    """Beyond the bound nobody new is noted, and who is there stays."""
    there = fresh()
    for n in range(attendance.MAX_CONNECTIONS):
        there.heard(ADA, f"a{n}", 0.0)
    assert there.heard(BOB, "b1", 0.0) == []
    assert there.gone("ada", "a0") == []
    assert kinds(there.heard(BOB, "b1", 0.0)) == [("joined", "bob")]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["hold", "release", "heard", "gone", "expire", "admit", "forgive"]),
            st.sampled_from([ADA, BOB, EVE]),
            st.sampled_from(["1", "2"]),
            st.floats(0, 100),
        )
    )
)
def test_changes_alternate_and_agree_with_who_is_there(steps: list[tuple[str, PresentMember, str, float]]) -> None:
    """What is told, added up, is who is there: nobody joins twice, nobody leaves who was not there."""
    there, told, now_s = fresh(), set[str](), 0.0
    for kind, who, connection, later_s in steps:
        now_s += later_s
        connection = f"{who.user}{connection}{'h' if kind in ('hold', 'release') else 'r'}"
        changes: list[Change] = []
        if kind == "hold":
            changes = there.hold(who, connection)
        elif kind == "release":
            changes = there.release(who.user, connection)
        elif kind == "heard":
            changes = there.heard(who, connection, now_s)
        elif kind == "gone":
            changes = there.gone(who.user, connection)
        elif kind == "expire":
            changes = there.expire(now_s)
        elif kind == "admit":
            changes = there.admit(ALL if connection.startswith("ada1") else ALL - {who.user})
        else:
            there.forgive(now_s)
        for change in changes:
            assert (change.member.user in told) == (change.kind == "left")
            told ^= {change.member.user}
        assert {member.user for member in there.present} == told
