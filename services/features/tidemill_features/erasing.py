"""Erased entities in a partition's rows and state: pure.

Rows of an erased entity keep their place among ids and in the watermark, so that no other row's
fate changes; they are applied nowhere, kept nowhere, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill_common import events as wire
from tidemill_common.erasures import key_table
from tidemill_tiles.verdict import PartitionVerdict, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from tidemill_common.erasures import Erased, ErasedKey
    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.decoding import Dead, Events
    from tidemill_tiles.owner import Owner
    from tidemill_tiles.table import EntityKeys

KEYS_AT_ONCE: Final = 65_536


def decide(verdict: PartitionVerdict, events: Events, erased: Erased) -> npt.NDArray[np.uint8]:
    """Give every row its verdict; those of erased entities are ERASED whatever they were."""
    found = verdict.decide(events.ids, events.time_us, events.append_us)
    if erased:
        found[erased.rows(events.table)] = Verdict.ERASED
    return found


def without_erased(dead: Sequence[Dead], erased: Erased) -> tuple[Dead, ...]:
    """Return what is set aside: a row of an erased entity is not."""
    if not erased:
        return tuple(dead)
    return tuple(one for one in dead if one.row is None or not _is_erased(one, erased))


def _is_erased(dead: Dead, erased: Erased) -> bool:
    return bool(erased.rows(wire.decode(dead.value or b"")).any())


def held(view: ViewSpec, keys: Iterable[bytes], erased: Erased) -> list[bytes]:
    """Return the keys of a view's entities that hold an erased one, whole or as a part."""
    if not erased.may_be_in(view.entity):
        return []
    found, left = list[bytes](), iter(keys)
    while some := list(islice(left, KEYS_AT_ONCE)):
        table = key_table(view.entity, [key.decode() for key in some])
        found += (some[at] for at in np.flatnonzero(erased.rows(table)).tolist())
    return found


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for in which state: keys as they were when their rows began to be left out.

    No later row brings an erased entity back, so the search may take its time beside the flushes.
    """

    erased: Erased
    keys: tuple[tuple[ViewSpec, EntityKeys], ...]

    def run(self) -> dict[str, list[bytes]]:
        """Return the keys to erase, by view; a view that is by no erased entity is left out.

        Views that only counted their events among others' are left: see docs/erasure.md.
        """
        return {view.key: held(view, keys, self.erased) for view, keys in self.keys}


def search(views: Iterable[ViewSpec], owners: Mapping[str, Owner], erased: Erased) -> Search:
    """Take the keys of every view that may be by an erased entity."""
    concerned = [view for view in views if erased.may_be_in(view.entity)]
    return Search(erased, tuple((view, owners[view.key].table.keys_now()) for view in concerned))


def news(before: Erased, now: Erased) -> list[ErasedKey]:
    """Return the entries whose entities may be in the state still.

    Those that were looked for are not; one that was called clean and is not any more is, and one
    whose erasure began again.
    """
    known = {(one.digest, one.beginning) for one in before.keys if not one.state_clean}
    return [
        one for one in now.keys if not one.state_clean and (one.digest, one.beginning) not in known
    ]
