"""What the project no longer names and may hold an entity: nobody can say, so nobody claims.

Topics and archives of streams and models that were taken out of the project stay until a person
removes them. While there are any, no erasure is complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import fsspec
from deltalake import DeltaTable

from tidemill_features.erasure import sightings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill_common.kafka import Admin
    from tidemill_features.definitions import Work

PREFIXES: Final = ("events.", "predictions.", "labels.")
WAITING: Final = "it is not in the project any more: remove it, or put it back"


async def stray_topics(admin: Admin, work: Work) -> list[str]:
    """Return topics with records that no stream and no model of the project has."""
    known = sightings.raw_topics(work) | sightings.side_topics(work)
    stray = [
        name for name in await admin.topics() if name.startswith(PREFIXES) and name not in known
    ]
    found = []
    for name in sorted(stray):
        tps = await admin.partitions(name)
        starts, ends = await admin.start_offsets(tps), await admin.end_offsets(tps)
        if any(starts[tp] < ends[tp] for tp in tps):
            found.append(name)
    return found


def stray_archives(root: str, work: Work) -> Iterator[str]:
    """Give the names of archives that no stream of the project has."""
    filesystem, path = fsspec.core.url_to_fs(root)
    if not filesystem.isdir(path):
        return
    for folder in filesystem.ls(path, detail=False):
        name = str(folder).rstrip("/").rpartition("/")[2]
        if name not in work.streams and DeltaTable.is_deltatable(f"{root.rstrip('/')}/{name}"):
            yield name
