"""Kernels are compiled ahead: after `warm_up` nothing compiles, whatever is called."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidemill_tiles.kernels import wide

EVERYTHING = """
    import numpy as np
    from tidemill_tiles import kernels
    kernels.warm_up()
    before = kernels.compiled()
    from tidemill_tiles.dedupe import IdWindow
    from tidemill_tiles.keys import hash_keys
    from tidemill_tiles.owner import Owner
    from tidemill_tiles.plan import plan_of
    from tidemill_tiles.reads import read
    from tidemill_tiles.replay import History, replay
    from tidemill_tiles.replica import Replica
    from tidemill_tiles.testing.builders import Event, a_batch, a_view
    from tidemill_tiles.verdict import PartitionVerdict
    plan = plan_of(a_view(filter="count >= 0"))
    batch = a_batch(plan, [
        Event(f"A{n}", 0, 1 + n, n, 1.5, n, True, "G", 0) for n in range(5000)
    ])
    owner, replica = Owner(plan, "g"), Replica(plan)
    owner.apply(batch)
    owner.begin_snapshot()
    for number in range(3):
        owner.erase(batch.keys.hashes[:2])
        for record in owner.flush(position=number, watermark_us=10**12 * number,
                                  newest_available_us=0):
            replica.apply(record)
    read(plan, [replica.table], batch.keys.hashes[:9], 77)
    replay(plan, [History(batch, batch.time_us)], batch.keys.hashes, batch.time_us)
    ids = np.arange(50_000, dtype=np.uint64)
    PartitionVerdict(IdWindow(5), 5).decide(ids, ids.astype(np.int64), ids.astype(np.int64))
    assert kernels.compiled() == before, kernels.compiled() - before
"""


def test_nothing_compiles_after_warm_up() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EVERYTHING)],
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert done.returncode == 0, done.stderr


WIDE = st.integers(-(2**127), 2**127 - 1)
WORD = st.integers(-(2**63), 2**63 - 1)


def split(number: int) -> tuple[np.int64, np.int64]:
    low, high = number & (2**64 - 1), (number >> 64) & (2**64 - 1)
    return np.uint64(low).astype(np.int64), np.uint64(high).astype(np.int64)


def join(words: tuple[int, int]) -> int:
    low, high = (int(np.int64(word).astype(np.uint64)) for word in words)
    number = low | (high << 64)
    return number - 2**128 if number >= 2**127 else number


def wrapped(number: int) -> int:
    return (number + 2**127) % 2**128 - 2**127


@given(WIDE, WIDE, WORD)
def test_wide_integers_are_exact(a: int, b: int, factor: int) -> None:
    assert join(wide.add(*split(a), *split(b))) == wrapped(a + b)
    assert join(wide.subtract(*split(a), *split(b))) == wrapped(a - b)
    assert join(wide.times(*split(a), np.int64(factor))) == wrapped(a * factor)
    assert join(wide.square(np.int64(factor))) == factor * factor
    got = float(wide.to_float(*split(a)))
    assert abs(got - float(a)) <= abs(float(a)) * 2**-51
    small = np.int64(factor)
    assert float(wide.to_float(small, small >> np.int64(63))) == float(factor)
