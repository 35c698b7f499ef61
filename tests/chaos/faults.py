"""Which process is hit when, and how: drawn from a seed before anything starts. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["kill", "freeze", "cut", "lock", "term"]

SERVICES: Final = ("persister", "api", "generator-1", "generator-2", "gateway-1", "gateway-2")
NATS: Final = "nats"
NODES: Final = ("nats-1", "nats-2", "nats-3")
LEADER: Final = "nats-leader"
"""Of three nodes that which leads the stream of events at that moment."""

TWO_NODES: Final = "nats-two"
"""The leader and another: none of the streams has a quorum until they are back. One kill in the count."""

STORE: Final = "store"

KILLS: Final[Mapping[tuple[Kind, str], float]] = {
    ("kill", "generator-1"): 2,
    ("kill", "generator-2"): 2,
    ("kill", "gateway-1"): 1.5,
    ("kill", "gateway-2"): 1.5,
    ("kill", "api"): 1.5,
    ("kill", "persister"): 2,
    ("kill", NATS): 1.5,
}
"""Weights of the processes that SIGKILL hits."""

OTHERS: Final[Mapping[tuple[Kind, str], float]] = {
    ("freeze", "generator-1"): 2,
    ("freeze", "generator-2"): 2,
    ("cut", "generator-1"): 0.5,
    ("cut", "generator-2"): 0.5,
    ("cut", "gateway-1"): 1,
    ("cut", "gateway-2"): 1,
    ("cut", "persister"): 0.5,
    ("lock", STORE): 2,
}
"""Weights of what else goes wrong beside the kills: frozen for longer than the lease, off the broker, store locked."""

THREE_NODES_KILLS: Final[Mapping[tuple[Kind, str], float]] = {
    ("kill", LEADER): 1.0,
    ("kill", NODES[0]): 0.25,
    ("kill", NODES[1]): 0.25,
    ("kill", NODES[2]): 0.25,
    ("kill", TWO_NODES): 0.25,
}
"""In place of the one server, where there are three."""

THREE_NODES_OTHERS: Final[Mapping[tuple[Kind, str], float]] = {
    ("freeze", LEADER): 0.5,
    ("freeze", NODES[0]): 0.5,
    ("freeze", NODES[1]): 0.5,
    ("freeze", NODES[2]): 0.5,
    ("term", LEADER): 0.5,
}
"""A leader that wakes up when there is another, replicas that lag behind, and a restart as it should be."""

OTHERS_PER_KILL: Final = 0.5


@dataclass(frozen=True, slots=True)
class Aim:
    """Faults of one kind, for what only they bring to light."""

    others: Mapping[tuple[Kind, str], float]
    others_per_kill: float = 1.0
    kills: Mapping[tuple[Kind, str], float] = field(default_factory=lambda: KILLS)
    hold_s: tuple[float, float] | None = None
    steady_readers_only: bool = False
    """Others come and go, and each that comes back further than its gateway makes that gateway look into the log."""


AIMS: Final[Mapping[str, Aim]] = {
    "fence": Aim({("freeze", "generator-1"): 1, ("freeze", "generator-2"): 1}),
    "take-over": Aim({}, others_per_kill=0.0, kills={("kill", "generator-1"): 1, ("kill", "generator-2"): 1}),
    "tail-check": Aim(
        {("cut", "gateway-1"): 1, ("cut", "gateway-2"): 1},
        others_per_kill=4,
        hold_s=(1.5, 3.5),
        steady_readers_only=True,
    ),
    "prev-check": Aim({("lock", STORE): 1}, others_per_kill=4, hold_s=(0.5, 0.9)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`gap_s` after the fault before: `target` is killed and stays down for `hold_s`, or suffers for `hold_s`."""

    kind: Kind
    target: str
    gap_s: float
    hold_s: float

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


def draw(seed: int, kills: int, *, gap_s: float, lease_s: float, aim: str | None = None, nodes: int = 1) -> list[Fault]:
    """A plan with exactly `kills` SIGKILLs and, between them, about half as many other faults.

    Args:
        seed: the same seed, the same plan.
        kills: SIGKILLs in all.
        gap_s: mean time between two faults.
        lease_s: of a worker on its job; a frozen worker sleeps through it.
        nodes: servers of the broker, 1 or 3; with an aim there is one.
        aim: a rule; then the other faults are those that this rule is there for. Or ``take-over``: workers die only.
    """
    rng = random.Random(seed)
    aimed = _usual(nodes) if aim is None else AIMS[aim]
    plan: list[Fault] = []
    left = kills
    while left:
        is_kill = rng.random() < 1 / (1 + aimed.others_per_kill)
        table = aimed.kills if is_kill else aimed.others
        left -= is_kill
        (kind, target) = rng.choices(list(table), weights=list(table.values()))[0]
        hold_s = _hold_s(rng, kind, target, lease_s) if is_kill or aimed.hold_s is None else rng.uniform(*aimed.hold_s)
        plan.append(Fault(kind, target, rng.uniform(0.2, 2 * gap_s - 0.2), hold_s))
    return plan


def _usual(nodes: int) -> Aim:
    if nodes == 1:
        return Aim(OTHERS, OTHERS_PER_KILL)
    kills = {target: weight for target, weight in KILLS.items() if target != ("kill", NATS)}
    return Aim({**OTHERS, **THREE_NODES_OTHERS}, OTHERS_PER_KILL, {**kills, **THREE_NODES_KILLS})


def _hold_s(rng: random.Random, kind: Kind, target: str, lease_s: float) -> float:
    if kind == "freeze" and target.startswith(NATS):
        return rng.uniform(0.5, 6.0)  # a leader that is silent for more than some 4 s is replaced
    if kind in ("kill", "term"):
        return rng.choice((0.0, 0.0, rng.uniform(0.1, 1.5)))
    if kind == "freeze" or (kind == "cut" and target.startswith("generator")):
        return lease_s * rng.uniform(1.3, 2.5)
    if kind == "lock":
        return rng.choice((rng.uniform(0.5, 1.5), rng.uniform(1.5, 7.0)))
    return rng.uniform(0.3, 3.0)
