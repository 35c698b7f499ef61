"""Keeps the garbage collector's pauses short; see :mod:`inkwire_gateway.heap`."""

import asyncio
import gc
import sys

from inkwire_gateway.heap import HeapPolicy, Step

LOOK_INTERVAL_S = 0.05
"""Some 200 connections can come between two looks."""

MIDDLE_GENERATION = 1


async def keep_heap() -> None:
    """Collect and freeze when it is due, until it is cancelled."""
    now_s = asyncio.get_running_loop().time
    policy = HeapPolicy(_middle_collections(), now_s(), sys.getallocatedblocks)
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        step = policy.step(_middle_collections(), now_s())
        if step is Step.NOTHING:
            continue
        if step is Step.THAW:
            gc.unfreeze()
        gc.collect()
        gc.freeze()


def _middle_collections() -> int:
    return int(gc.get_stats()[MIDDLE_GENERATION]["collections"])
