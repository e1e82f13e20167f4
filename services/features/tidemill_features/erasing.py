"""Erased entities in a partition's rows and state: pure, apart from the tables that it changes.

Rows of an erased entity keep their place among ids and in the watermark, so that no other row's
fate changes; they are applied nowhere, kept nowhere, and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tidemill_common import events as wire
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.verdict import PartitionVerdict, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from tidemill_common.erasures import Erased, ErasedKey
    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.decoding import Dead, Events
    from tidemill_tiles.owner import Owner
    from tidemill_tiles.table import TileTable


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


def held(view: ViewSpec, table: TileTable, erased: Erased) -> list[bytes]:
    """Return the keys of a table that hold an erased entity, whole or as a part."""
    if not erased.may_be_in(view.entity):
        return []
    return [key for key in table.entity_keys() if erased.of_key(view.entity, key)]


def erase(
    views: Iterable[ViewSpec], owners: Mapping[str, Owner], erased: Erased
) -> Iterator[tuple[str, int]]:
    """Remove entities from the state of every view that is by them; give its name and how many.

    Views that only counted their events among others' are left: see docs/erasure.md.
    """
    for view in views:
        if erased.may_be_in(view.entity):
            keys = held(view, owners[view.name].table, erased)
            yield view.name, owners[view.name].erase(hash_keys(keys)) if keys else 0


def news(before: Erased, now: Erased) -> list[ErasedKey]:
    """Return the entries whose entities may be in the state still.

    Those that were looked for are not; one that was called clean and is not any more is.
    """
    known = {one.digest for one in before.keys if not one.state_clean}
    return [one for one in now.keys if not one.state_clean and one.digest not in known]
