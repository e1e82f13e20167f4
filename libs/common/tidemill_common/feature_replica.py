"""A copy of every feature view in this process: it follows the feature logs and answers reads.

Applying and reading happen in one thread, the event loop's, so that a read sees whole records and
its positions are exactly what it was computed from.

    async with replicating(broker) as replica:
        await replica.adopt(project, generation)     # first generation: follows, does not wait
        await replica.caught_up()                    # logs read to their ends, all views ready
        await replica.wait_for(token.positions, views={"weather"}, timeout=0.2)
        result = replica.read("weather", [("EWR",), ("JFK",)], at_us=None)

`adopt` of a later generation follows the logs of new view versions beside the old ones and swaps
all views at once when the new ones are built; reads never see a mixture, or half of a view. `hold`
follows them too, but swaps nothing: both versions can be read, by their names, until the held
generation is adopted or `release`d.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import numpy as np

from tidemill.errors import DeadlineExceeded, NotFound, Unavailable
from tidemill.project.problems import did_you_mean
from tidemill_common.clock import Clock, SystemClock
from tidemill_common.feature_views import ViewSpec, stream_spec, view_specs
from tidemill_common.followed_log import FollowedLog
from tidemill_common.followed_view import FollowedView
from tidemill_common.kafka import Broker, Follower, Record, TopicPartition, administering, following
from tidemill_common.next_generation import NextGeneration
from tidemill_common.snapshots import Snapshots
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2
    from tidemill.ingestion.v1.ingestion_service_pb2 import Position
    from tidemill_common.feature_reads import LogState, ReadResult
    from tidemill_common.kafka import Admin
    from tidemill_common.project_source import Held

logger = logging.getLogger(__name__)


class FeatureReplica:
    """The views of one generation, readable by entity; made by `replicating`."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._logs: dict[TopicPartition, FollowedLog] = {}
        self._views: dict[str, FollowedView] = {}
        self._follower: Follower | None = None
        self._adopting = asyncio.Lock()
        self._applied = asyncio.Event()
        self.generation = ""
        self.next: NextGeneration | None = None

    @property
    def ready(self) -> bool:
        """Say whether every view of the adopted generation has complete state."""
        return self.generation != "" and all(view.ready for view in self._views.values())

    @property
    def views(self) -> dict[str, ViewSpec]:
        """Return the views that can be read now, by name."""
        return {name: view.spec for name, view in self._views.items()}

    def spec(self, view: str, version: str = "") -> ViewSpec:
        """Return one view; NotFound if there is none such, Unavailable before the first project."""
        return self.view(view, version).spec

    def view(self, name: str, version: str = "") -> FollowedView:
        """Return a view that is read, or (by its version) one that is built beside."""
        found = self.versions(name)
        if not version and name in self._views:
            return self._views[name]
        if version in found:
            return found[version]
        if not found and not self.generation:
            raise Unavailable("no project has been taken up yet", retry_after=0.5)
        if not found:
            hint = did_you_mean(name, self._views)
            raise NotFound(f"there is no feature view {name!r}", hint=hint)
        if not version:
            hint = f"version {', '.join(found)} is built beside: name it to read it"
            if self.next is not None and not self.next.held:  # applied: it comes by itself
                message = f"the feature view {name!r} is being built"
                raise Unavailable(message, hint=hint, retry_after=0.5)
            raise NotFound(f"the feature view {name!r} is not served yet", hint=hint)
        raise NotFound(
            f"{name!r} has no version {version!r}", hint=f"there is {' and '.join(found)}"
        )

    def followed(self) -> list[FollowedView]:
        """Return every view that is followed: those that are read, and what is built beside."""
        return [*self._views.values(), *(self.next.added.values() if self.next else ())]

    def versions(self, name: str) -> dict[str, FollowedView]:
        """Return what there is of a view: the version that is read, then what is built beside."""
        views = [self._views.get(name), self.next.added.get(name) if self.next else None]
        return {view.spec.version: view for view in views if view is not None}

    async def adopt(self, project: project_pb2.Project, generation: str) -> None:
        """Follow the views of a generation; from the second on, swap to them when they are built.

        The first call returns when the logs are being followed (see `caught_up`). Calling it with
        the generation that is already adopted does nothing. Cancelling it leaves the old one.
        """
        async with self._adopting:
            if generation == self.generation:
                return
            before = self.next
            try:
                coming = await self._follow_beside(project, generation, held=False)
                if self.generation:
                    self.next = coming
                    await self._until_ready(coming.views)
                    await self._until_reached(coming)
                    await self._until_abreast(coming.added)
                self._views, self.generation = dict(coming.views), generation
                before = None
            finally:
                self.next = before
                self._forget_unused()
            facts = {"generation": generation, "views": len(self._views)}
            logger.info("replica.adopted", extra=facts)

    async def hold(self, held: Held | None) -> None:
        """Follow what a held generation (None: nothing) adds beside what is read, and nothing else.

        Calling it with what is held already does nothing. Cancelling it leaves that.
        """
        async with self._adopting:
            wanted = held.generation if held is not None else ""
            if wanted == (self.next.generation if self.next is not None else ""):
                return
            try:
                self.next = (
                    await self._follow_beside(held.project, held.generation, held=True)
                    if held is not None
                    else None
                )
            finally:
                self._forget_unused()
            logger.info("replica.holds", extra={"generation": wanted})

    async def caught_up(self) -> None:
        """Wait until every log was read to the end it had, and every view has complete state."""
        await self._until_ready(self._views)

    async def wait_for(
        self,
        positions: Iterable[Position],
        *,
        views: Collection[str] = (),
        version: str = "",
        timeout: float,
    ) -> None:
        """Wait until `views` (empty: all) have decided everything below `positions`.

        With a version: the view of that version. Positions of streams that feed none of these views
        are skipped. DeadlineExceeded after `timeout` seconds.
        """
        missing = [
            future
            for position in positions
            for view in self._named(views, version)
            for log in view.logs
            if (log.stream, log.partition) == (position.stream, position.partition)
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
        version: str = "",
    ) -> ReadResult:
        """Read entities of a view at `at_us` (one time, one per row, or None: now).

        An entity is the tuple of its key values in the order of `spec(view).entity`; one with a
        None in it is not found. Now is max(clock, newest available time applied). Unavailable while
        the view has no complete state, or is being built in that version.
        """
        known = np.array([None not in entity for entity in entities], dtype=np.bool_)
        keys = [canonical_key([part for part in entity if part is not None]) for entity in entities]
        return self.read_hashed(view, hash_keys(keys), known, at_us, version)

    def read_hashed(
        self,
        view: str,
        hashes: npt.NDArray[np.uint64],
        known: npt.NDArray[np.bool_],
        at_us: int | npt.NDArray[np.int64] | None = None,
        version: str = "",
    ) -> ReadResult:
        """Read like `read`, for hashes [n, 2] made before; rows not `known` are not found."""
        one = self.readable(view, version)
        return one.read(hashes, known, at_us, self._clock.now_us())

    def readable(self, view: str, version: str = "") -> FollowedView:
        """Return a view whose state is complete; Unavailable if it is not."""
        one = self.view(view, version)
        if not one.ready:
            raise Unavailable(f"the state of {view!r} is being read", retry_after=1.0)
        coming = self.next
        if coming is not None and coming.added.get(view) is one and not coming.has_built(view):
            raise Unavailable(
                f"version {version} of {view!r} is being built",
                hint=f"tidemill features describe {view} shows how far it is",
                retry_after=1.0,
            )
        return one

    async def records_apart(self, one: FollowedView, other: FollowedView, timeout: float) -> int:
        """Wait a little until two versions have decided the same; return by how much they do not.

        What the caller does before it waits again is still at these positions.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while one.records_apart(other):
                    self._applied.clear()
                    await self._applied.wait()
        return one.records_apart(other)

    def positions(self, views: Collection[str] = ()) -> dict[str, list[int]]:
        """Return the source position of every log of `views` (empty: all), by topic and partition.

        Taken right after `read` it is exactly what that read was computed from.
        """
        found: dict[str, list[int]] = {}
        for name in sorted(views or self._views):
            one = self.view(name)
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
        return [state for view in self._views.values() for state in view.describe(now)]

    def describe_next(self) -> list[LogState]:
        """Return the state of every partition of the views that are built beside."""
        now, added = self._clock.now_us(), self.next.added if self.next else {}
        return [state for view in added.values() for state in view.describe(now)]

    def _named(self, views: Collection[str], version: str) -> list[FollowedView]:
        if version:
            return [self.view(name, version) for name in views]
        return [view for name, view in self._views.items() if not views or name in views]

    async def _follow_beside(
        self, project: project_pb2.Project, generation: str, *, held: bool
    ) -> NextGeneration:
        """Follow a generation's logs, and take what its streams hold now."""
        specs = view_specs(project)
        async with administering(self._broker) as admin:
            await admin.ensure(log for spec in specs.values() for log in spec.logs())
            ends = await _source_ends(admin, project, held=held) if self.generation else {}
        views = {name: await self._follow(spec) for name, spec in specs.items()}
        return NextGeneration(generation, held, views, self._added(views), ends)

    async def _follow(self, spec: ViewSpec) -> FollowedView:
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
        return FollowedView(spec, tuple(logs))

    async def _until_ready(self, views: Mapping[str, FollowedView]) -> None:
        """Wait for complete state; a new log is ready when its owner has written its genesis."""
        await self._following().caught_up()
        while not all(view.ready for view in views.values()):
            self._applied.clear()
            await self._applied.wait()

    def _added(self, views: Mapping[str, FollowedView]) -> dict[str, FollowedView]:
        """Return the views that are not read now in this version: only these can say less."""
        present = {name: view.spec.version for name, view in self._views.items()}
        return {
            name: view for name, view in views.items() if present.get(name) != view.spec.version
        }

    async def _until_reached(self, coming: NextGeneration) -> None:
        """Wait until every new log has decided what its stream held."""
        while not coming.is_built:
            self._applied.clear()
            await self._applied.wait()

    async def _until_abreast(self, views: Mapping[str, FollowedView]) -> None:
        """Wait until no view would go back: new logs have decided what the old ones have."""
        while any(view.is_behind(self._views.get(name, view)) for name, view in views.items()):
            self._applied.clear()
            await self._applied.wait()

    def _forget_unused(self) -> None:
        beside = self.next.views.values() if self.next is not None else ()
        used = {id(log) for view in (*self._views.values(), *beside) for log in view.logs}
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


async def _source_ends(
    admin: Admin, project: project_pb2.Project, *, held: bool
) -> Mapping[TopicPartition, int]:
    """Return where the streams of a project end now; a new one begins empty.

    One that is only held does not say how long the events of others are kept.
    """
    streams = [stream_spec(project, stream.name) for stream in project.streams]
    await admin.ensure((stream.topic for stream in streams), only_missing=held)
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
