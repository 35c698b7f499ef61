"""The text that a monitor reads."""

from inkwire_persister.counters import Counters


def test_every_counter_is_rendered_with_its_type() -> None:
    """Each count has a TYPE line and a value, in Prometheus' text format."""
    counters = Counters()
    counters.corrupt_posts += 2
    lines = counters.render().splitlines()
    assert "# TYPE inkwire_persister_corrupt_posts_total counter" in lines
    assert "inkwire_persister_corrupt_posts_total 2" in lines
    assert "inkwire_persister_events_stored_total 0" in lines
    assert len(lines) == 2 * len(Counters.__dataclass_fields__)
