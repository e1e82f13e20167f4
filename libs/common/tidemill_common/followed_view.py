"""One version of a view that is followed: what it answers, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill_common import topics
from tidemill_common.feature_reads import LogState, ReadResult
from tidemill_common.kafka import TopicPartition
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.reads import Status, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from tidemill_common.feature_views import ViewSpec
    from tidemill_common.followed_log import FollowedLog
    from tidemill_tiles.table import TileTable

SILENT_US: Final = 5_000_000
"""A log that was not written for so long makes its values stale."""


@dataclass(frozen=True, slots=True)
class FollowedView:
    """Its logs stand in the order of its tables."""

    spec: ViewSpec
    logs: tuple[FollowedLog, ...]

    @property
    def ready(self) -> bool:
        """Say whether its state is complete as of its positions."""
        return all(log.replica.ready for log in self.logs)

    @property
    def tables(self) -> list[TileTable]:
        """Return its tables, one for each partition of its streams; only to be read."""
        return [log.replica.table for log in self.logs]

    @property
    def newest_available_us(self) -> int:
        """Return the newest available time that it has applied; NO_TIME before any event."""
        return max((log.replica.newest_available_us for log in self.logs), default=NO_TIME)

    @property
    def places(self) -> dict[tuple[str, int], int]:
        """Return the source position of every partition of its streams."""
        return {(log.stream, log.partition): log.replica.position for log in self.logs}

    def has_decided(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Say whether it is complete, and has decided all below these offsets of its streams."""
        return self.ready and all(
            log.replica.position
            >= ends[TopicPartition(topics.events(log.stream).name, log.partition)]
            for log in self.logs
        )

    def records_apart(self, other: FollowedView) -> int:
        """Count the source records that one of two versions has decided and the other has not."""
        others = other.places
        return sum(abs(mine - others.get(place, mine)) for place, mine in self.places.items())

    def is_behind(self, other: FollowedView) -> bool:
        """Say whether another version has decided more in some partition."""
        others = other.places
        return any(mine < others.get(place, -1) for place, mine in self.places.items())

    def read(
        self,
        hashes: npt.NDArray[np.uint64],
        known: npt.NDArray[np.bool_],
        at_us: int | npt.NDArray[np.int64] | None,
        now_us: int,
    ) -> ReadResult:
        """Read entities by the hashes [n, 2] of their keys; those not `known` are not found."""
        newest = self.newest_available_us
        at = _times(max(now_us, newest) if at_us is None else at_us, len(hashes))
        reading = read(self.spec.plan, self.tables, hashes, at)
        values, status, event_time = reading.values, reading.status, reading.event_time
        if not known.all():
            values[~known] = np.nan
            status[~known] = Status.NOT_FOUND
            event_time[~known] = NO_TIME
        freshness = self._silence(now_us)
        if freshness > SILENT_US:
            status[status == Status.PRESENT] = Status.STALE
        return ReadResult(
            features=self.spec.features,
            version=self.spec.version,
            values=values,
            status=status,
            event_time=event_time,
            at_us=at,
            newest_available_us=newest,
            state_newer=newest > at,
            freshness_us=freshness,
        )

    def describe(self, now_us: int) -> list[LogState]:
        """Return the state of each of its partitions."""
        return [
            LogState(
                view=self.spec.name,
                version=self.spec.version,
                stream=log.stream,
                partition=log.partition,
                position=log.replica.position,
                ready=log.replica.ready,
                tiles=log.replica.table.tiles,
                entities=log.replica.table.entities,
                watermark_us=log.replica.watermark_us,
                newest_available_us=log.replica.newest_available_us,
                since_last_record_us=-1 if log.written_us == NO_TIME else now_us - log.written_us,
                state_bytes=log.replica.table.state_bytes,
                snapshot_us=log.snapshots.ended_us,
                snapshot_took_us=log.snapshots.took_us,
                snapshot_open_us=log.snapshots.open_us(now_us),
                snapshot_age_us=log.snapshots.age_us(now_us),
            )
            for log in self.logs
        ]

    def _silence(self, now_us: int) -> int:
        written = min((log.written_us for log in self.logs), default=NO_TIME)
        return now_us if written == NO_TIME else max(0, now_us - written)


def _times(at_us: int | npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    if isinstance(at_us, np.ndarray):
        return at_us.astype(np.int64)
    return np.full(rows, at_us, np.int64)
