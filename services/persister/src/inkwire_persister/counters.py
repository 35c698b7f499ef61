"""What the persister counts, and the text form in which a monitor reads it: pure."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Counters:
    """Counts since the process started."""

    events_stored: int = 0
    """Key events that are in the store and acknowledged, repeated deliveries included."""
    posts_written: int = 0
    """Writes to the store that succeeded."""
    gap_reads: int = 0
    """Times that missing events were read from the log."""
    refolds: int = 0
    """Times that a post was folded again from the beginning of its log."""
    corrupt_posts: int = 0
    """Posts found corrupt: page, store and log do not prove each other. Anything but 0 is an alarm."""
    dead_letters: int = 0
    """Messages that were no event of the post or conversation they claimed, or whose history is gone."""
    lost_posts: int = 0
    """Posts whose events came when their history was gone. Anything but 0 is an alarm."""
    taken_up_runs: int = 0
    """Unfinished runs that no job stood for and that were given to the workers again."""
    purged_posts: int = 0
    """Posts taken out of the log, which the store holds."""
    purged_messages: int = 0
    """Messages of the log that went with them."""
    purge_refusals: int = 0
    """Times that a post had to stay in the log; its line in this process's own log says why."""
    conversation_events_stored: int = 0
    """Events of conversations that are in the store and acknowledged, repeated deliveries included."""
    conversations_written: int = 0
    """Writes of conversations to the store that succeeded."""
    lost_conversations: int = 0
    """Conversations whose events came when their beginning was gone. Anything but 0 is an alarm."""
    purged_conversation_events: int = 0
    """Events of conversations taken out of the log, which the store holds."""
    retries: int = 0
    """Messages given back to be delivered later, because store or log were away."""

    def render(self) -> str:
        """The counts in Prometheus' text format."""
        lines = []
        for field in fields(self):
            name = f"inkwire_persister_{field.name}_total"
            lines += [f"# TYPE {name} counter", f"{name} {getattr(self, field.name)}"]
        return "\n".join(lines) + "\n"
