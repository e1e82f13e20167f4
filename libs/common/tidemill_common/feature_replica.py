"""A copy of every feature view in this process: it follows the feature logs and answers reads.

Applying and reading happen in one thread, the event loop's, so that a read sees whole records and
its positions are exactly what it was computed from.

    async with replicating(broker) as replica:
        await replica.adopt(project, generation)     # first generation: follows, does not wait
        await replica.caught_up()                    # logs read to their ends, all views ready
        await replica.wait_for(token.positions, views={"weather"}, timeout=0.2)
        result = replica.read("weather", [("EWR",), ("JFK",)], at_us=None)

`adopt` of a later generation follows the logs of new view versions beside the old ones and swaps
all views at once when the new ones are built; reads never see a mixture, or half of a view.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.errors import DeadlineExceeded, NotFound, Unavailable
from tidemill.project.problems import did_you_mean
from tidemill_common import topics
from tidemill_common.clock import Clock, SystemClock
from tidemill_common.feature_reads import LogState, ReadResult
from tidemill_common.feature_views import ViewSpec, stream_spec, view_specs
from tidemill_common.followed_log import FollowedLog
from tidemill_common.kafka import Broker, Follower, Record, TopicPartition, administering, following
from tidemill_common.snapshots import Snapshots
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.reads import Status, read
from tidemill_tiles.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2
    from tidemill.ingestion.v1.ingestion_service_pb2 import Position
    from tidemill_common.kafka import Admin
    from tidemill_tiles.table import TileTable

    Ends = Mapping[TopicPartition, int]

logger = logging.getLogger(__name__)

SILENT_US: Final = 5_000_000
"""A log that was not written for so long makes its values stale."""


@dataclass(frozen=True, slots=True)
class _View:
    """A view that is read: its logs in the order of its tables."""

    spec: ViewSpec
    logs: tuple[FollowedLog, ...]


class FeatureReplica:
    """The views of one generation, readable by entity; made by `replicating`."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._logs: dict[TopicPartition, FollowedLog] = {}
        self._views: dict[str, _View] = {}
        self._follower: Follower | None = None
        self._adopting = asyncio.Lock()
        self._applied = asyncio.Event()
        self.generation = ""

    @property
    def ready(self) -> bool:
        """Say whether every view of the adopted generation has complete state."""
        return self.generation != "" and all(
            log.replica.ready for view in self._views.values() for log in view.logs
        )

    @property
    def views(self) -> dict[str, ViewSpec]:
        """Return the views that can be read now, by name."""
        return {name: view.spec for name, view in self._views.items()}

    def spec(self, view: str) -> ViewSpec:
        """Return one view; NotFound if this generation has none of that name."""
        return self._view(view).spec

    def tables(self, view: str) -> list[TileTable]:
        """Return the tables of a view, one for each partition of its streams; only to be read."""
        return [log.replica.table for log in self._view(view).logs]

    async def adopt(self, project: project_pb2.Project, generation: str) -> None:
        """Follow the views of a generation; from the second on, swap to them when they are built.

        The first call returns when the logs are being followed (see `caught_up`). Calling it with
        the generation that is already adopted does nothing. Cancelling it leaves the old one.
        """
        async with self._adopting:
            if generation == self.generation:
                return
            specs = view_specs(project)
            async with administering(self._broker) as admin:
                await admin.ensure(log for spec in specs.values() for log in spec.logs())
                ends = await _source_ends(admin, project) if self.generation else {}
            try:
                views = {name: await self._follow(spec) for name, spec in specs.items()}
                if self.generation:
                    await self._until_ready(views)
                    added = self._added(views)
                    await self._until_reached(added, ends)
                    await self._until_abreast(added)
                self._views = views
                self.generation = generation
            finally:
                self._forget_unused()
            logger.info("replica.adopted", extra={"generation": generation, "views": len(views)})

    async def caught_up(self) -> None:
        """Wait until every log was read to the end it had, and every view has complete state."""
        await self._until_ready(self._views)

    async def wait_for(
        self, positions: Iterable[Position], *, views: Collection[str] = (), timeout: float
    ) -> None:
        """Wait until `views` (empty: all) have decided everything below `positions`.

        Positions of streams that feed none of these views are skipped. DeadlineExceeded after
        `timeout` seconds.
        """
        missing = [
            future
            for position in positions
            for log in self._logs_of(position.stream, position.partition, views)
            if (future := log.reaching(position.next_offset)) is not None
        ]
        if not missing:
            return
        try:
            async with asyncio.timeout(timeout):
                await asyncio.gather(*missing)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{len(missing)} feature logs have not reached the token's positions",
                hint="give the call more time, or look at the lag of the features worker",
            ) from error

    def read(
        self,
        view: str,
        entities: Sequence[Sequence[str | int | bool | None]],
        at_us: int | npt.NDArray[np.int64] | None = None,
    ) -> ReadResult:
        """Read entities of a view at `at_us` (one time, one per row, or None: now).

        An entity is the tuple of its key values in the order of `spec(view).entity`; one with a
        None in it is not found. Now is max(clock, newest available time applied). Unavailable while
        the view has no complete state.
        """
        known = np.array([None not in entity for entity in entities], dtype=np.bool_)
        keys = [canonical_key([part for part in entity if part is not None]) for entity in entities]
        return self.read_hashed(view, hash_keys(keys), known, at_us)

    def read_hashed(
        self,
        view: str,
        hashes: npt.NDArray[np.uint64],
        known: npt.NDArray[np.bool_],
        at_us: int | npt.NDArray[np.int64] | None = None,
    ) -> ReadResult:
        """Read like `read`, for hashes [n, 2] made before; rows not `known` are not found."""
        one = self._view(view)
        if not all(log.replica.ready for log in one.logs):
            raise Unavailable(f"the state of {view!r} is being read", retry_after=1.0)
        newest = max((log.replica.newest_available_us for log in one.logs), default=NO_TIME)
        at = self._times(at_us, newest, len(hashes))
        reading = read(one.spec.plan, [log.replica.table for log in one.logs], hashes, at)
        values, status, event_time = reading.values, reading.status, reading.event_time
        if not known.all():
            values[~known] = np.nan
            status[~known] = Status.NOT_FOUND
            event_time[~known] = NO_TIME
        freshness = self._silence(one.logs)
        if freshness > SILENT_US:
            status[status == Status.PRESENT] = Status.STALE
        return ReadResult(
            features=one.spec.features,
            version=one.spec.version,
            values=values,
            status=status,
            event_time=event_time,
            at_us=at,
            newest_available_us=newest,
            state_newer=newest > at,
            freshness_us=freshness,
        )

    def positions(self, views: Collection[str] = ()) -> dict[str, list[int]]:
        """Return the source position of every log of `views` (empty: all), by topic and partition.

        Taken right after `read` it is exactly what that read was computed from.
        """
        found: dict[str, list[int]] = {}
        for name in sorted(views or self._views):
            one = self._view(name)
            for log in one.logs:
                found.setdefault(one.spec.log(log.stream).name, []).append(log.replica.position)
        return found

    def newest_available_us(self) -> int:
        """Return the newest available time that any view has applied; NO_TIME before any event."""
        newest = (log.replica.newest_available_us for log in self._logs.values())
        return max(newest, default=NO_TIME)

    def describe(self) -> list[LogState]:
        """Return the state of every followed partition of the adopted views."""
        now = self._clock.now_us()
        return [
            LogState(
                view=one.spec.name,
                version=one.spec.version,
                stream=log.stream,
                partition=log.partition,
                position=log.replica.position,
                ready=log.replica.ready,
                tiles=log.replica.table.tiles,
                entities=log.replica.table.entities,
                watermark_us=log.replica.watermark_us,
                newest_available_us=log.replica.newest_available_us,
                since_last_record_us=-1 if log.written_us == NO_TIME else now - log.written_us,
                state_bytes=log.replica.table.state_bytes,
                snapshot_us=log.snapshots.ended_us,
                snapshot_took_us=log.snapshots.took_us,
                snapshot_open_us=log.snapshots.open_us(now),
                snapshot_age_us=log.snapshots.age_us(now),
            )
            for one in self._views.values()
            for log in one.logs
        ]

    def _view(self, name: str) -> _View:
        try:
            return self._views[name]
        except KeyError:
            raise NotFound(
                f"there is no feature view {name!r}", hint=did_you_mean(name, self._views)
            ) from None

    def _times(
        self, at_us: int | npt.NDArray[np.int64] | None, newest: int, rows: int
    ) -> npt.NDArray[np.int64]:
        at = max(self._clock.now_us(), newest) if at_us is None else at_us
        return at.astype(np.int64) if isinstance(at, np.ndarray) else np.full(rows, at, np.int64)

    def _silence(self, logs: Sequence[FollowedLog]) -> int:
        now = self._clock.now_us()
        written = min((log.written_us for log in logs), default=NO_TIME)
        return now if written == NO_TIME else max(0, now - written)

    def _logs_of(self, stream: str, partition: int, views: Collection[str]) -> list[FollowedLog]:
        return [
            self._logs[TopicPartition(one.spec.log(stream).name, partition)]
            for name, one in self._views.items()
            if stream in one.spec.streams
            and partition < one.spec.partitions_of(stream)
            and (not views or name in views)
        ]

    async def _follow(self, spec: ViewSpec) -> _View:
        """Follow all partitions of a view's logs; those already followed are kept."""
        logs: list[FollowedLog] = []
        added: dict[TopicPartition, int | None] = {}
        for stream in spec.streams:
            for partition in range(spec.partitions_of(stream)):
                tp = TopicPartition(spec.log(stream).name, partition)
                if tp not in self._logs:
                    self._logs[tp] = FollowedLog(spec, stream, partition, Replica(spec.plan))
                    added[tp] = None
                logs.append(self._logs[tp])
        if added:
            await self._following().add(added)
        return _View(spec, tuple(logs))

    async def _until_ready(self, views: dict[str, _View]) -> None:
        """Wait for complete state; a new log is ready when its owner has written its genesis."""
        await self._following().caught_up()
        while not all(log.replica.ready for view in views.values() for log in view.logs):
            self._applied.clear()
            await self._applied.wait()

    def _added(self, views: dict[str, _View]) -> dict[str, _View]:
        """Return the views that are not read now in this version: only these can say less."""
        present = {name: view.spec.version for name, view in self._views.items()}
        return {
            name: view for name, view in views.items() if present.get(name) != view.spec.version
        }

    async def _until_reached(self, views: dict[str, _View], ends: Ends) -> None:
        """Wait until every log has decided what its stream held up to these offsets."""
        waiting = [
            log.reaching(ends[TopicPartition(topics.events(log.stream).name, log.partition)])
            for view in views.values()
            for log in view.logs
        ]
        await asyncio.gather(*(future for future in waiting if future is not None))

    async def _until_abreast(self, views: dict[str, _View]) -> None:
        """Wait until no view would go back: new logs have decided what the old ones have."""
        while any(self._is_ahead(view) for view in views.values()):
            self._applied.clear()
            await self._applied.wait()

    def _is_ahead(self, view: _View) -> bool:
        """Say whether the version that is read has decided more than this one."""
        present = self._views.get(view.spec.name, view)
        old = {(log.stream, log.partition): log.replica.position for log in present.logs}
        return any(
            log.replica.position < old.get((log.stream, log.partition), -1) for log in view.logs
        )

    def _forget_unused(self) -> None:
        used = {id(log) for view in self._views.values() for log in view.logs}
        gone = [tp for tp, log in self._logs.items() if id(log) not in used]
        if self._follower is not None:
            self._follower.remove(gone)
        for tp in gone:
            del self._logs[tp]

    def _following(self) -> Follower:
        if self._follower is None:
            raise Unavailable("the replica is not running")
        return self._follower

    def _apply(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        log = self._logs.get(tp)
        if log is None:
            return
        for record in records:
            if record.value is not None:
                kind = log.replica.apply(record.value).kind
                log.snapshots.saw(kind, record.timestamp_ms * 1_000)
        log.written_us = max(log.written_us, records[-1].timestamp_ms * 1_000)
        log.wake()
        self._applied.set()

    def _reset(self, tp: TopicPartition) -> None:
        """Forget a log that was trimmed below us; it is read from its start again."""
        log = self._logs.get(tp)
        if log is not None:
            logger.warning(
                "replica.log_reread", extra={"topic": tp.topic, "partition": tp.partition}
            )
            log.replica = Replica(log.spec.plan)
            log.snapshots = Snapshots()

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with following(self._broker, {}, self._apply, on_reset=self._reset) as follower:
            self._follower = follower
            try:
                yield
            finally:
                self._follower = None


async def _source_ends(admin: Admin, project: project_pb2.Project) -> Mapping[TopicPartition, int]:
    """Return where the streams of a project end now; a new one begins empty."""
    streams = [stream_spec(project, stream.name) for stream in project.streams]
    await admin.ensure(stream.topic for stream in streams)
    return await admin.end_offsets(
        TopicPartition(stream.topic.name, number)
        for stream in streams
        for number in range(stream.partitions)
    )


@contextlib.asynccontextmanager
async def replicating(broker: Broker, clock: Clock | None = None) -> AsyncIterator[FeatureReplica]:
    """Run a replica; nothing is followed until `adopt`. An error in a log ends the `async with`."""
    replica = FeatureReplica(broker, clock or SystemClock())
    async with replica._running():  # noqa: SLF001 (of one module)
        yield replica
