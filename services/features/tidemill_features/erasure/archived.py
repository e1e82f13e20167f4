"""Remove erased entities from the archive: rewrite the days that hold them, forget the past."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidemill_tiles.fieldtypes import NO_TIME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from tidemill_common.erasures import Erased
    from tidemill_features.archive import Archive
    from tidemill_features.definitions import StreamWork


@dataclass(slots=True)
class ArchiveLook:
    """What the archive of a stream holds of erased entities, by erasure."""

    rows: Counter[str] = field(default_factory=Counter)
    oldest_us: dict[str, int] = field(default_factory=dict)
    newest_us: dict[str, int] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    kept: dict[str, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))


def look(
    archive: Archive, work: StreamWork, erased: Erased, keep: Iterable[str] = ()
) -> ArchiveLook:
    """Look through the archive of the stream that `erased` knows the names of.

    The columns `keep` of what is found are returned too.
    """
    found = ArchiveLook()
    if not erased.may_be_in(work.schema.names):
        return found
    columns = list(dict.fromkeys(["_time", *keep, *erased.columns_in(work.schema.names)]))
    for day, batch in archive.days(columns):
        for one, rows in erased.found(batch):
            mine = batch.filter(pa.array(rows))
            times = np.asarray(mine.column("_time").cast(pa.int64()))
            name = one.erasure_id
            found.rows[name] += mine.num_rows
            found.oldest_us[name] = min(
                found.oldest_us.get(name, int(times.min())), int(times.min())
            )
            found.newest_us[name] = max(found.newest_us.get(name, NO_TIME), int(times.max()))
            found.days.add(day)
            if keep:
                found.kept[name].append(pa.Table.from_batches([mine.select(list(keep))]))
    return found


def remove(archive: Archive, days: Iterable[date], erased: Erased) -> None:
    """Write these days again without the entities, then remove what older versions need."""
    for day in sorted(days):
        archive.rewrite(day, lambda batch: ~erased.rows(batch))
    archive.forget_past()
