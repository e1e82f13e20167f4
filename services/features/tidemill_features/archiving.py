"""Keep the archive close behind the streams: every minute, and at once when a cut is asked for."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from tidemill.errors import FailedPrecondition, Transient, Unavailable
from tidemill_common import metrics
from tidemill_common.app import until
from tidemill_common.erasures import Refusing
from tidemill_common.kafka import Admin, Broker, TopicPartition
from tidemill_common.kafka.ranges import stretch
from tidemill_features import erasing
from tidemill_features.archive import Archive, Piece
from tidemill_features.decoding import decode
from tidemill_features.erasure import archived as erasure
from tidemill_features.ids import ids_before
from tidemill_tiles.verdict import PartitionVerdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tidemill_common.erasures import Erased
    from tidemill_common.kafka import Record
    from tidemill_features.definitions import StreamWork, Work
    from tidemill_features.erasure.archived import ArchiveLook
    from tidemill_features.settings import Settings

logger = logging.getLogger(__name__)

PIECE_RECORDS: Final = 2_000


class StreamArchiver:
    """Archives one stream; `reach` may be called by anybody, commits come one after the other."""

    def __init__(
        self,
        broker: Broker,
        admin: Admin,
        root: str,
        limit_bytes: int,
        refusing: Refusing | None = None,
    ) -> None:
        self._broker = broker
        self._admin = admin
        self._root = root
        self._limit = limit_bytes
        self._refusing = refusing or Refusing()
        self._lock = asyncio.Lock()
        self._archive: Archive | None = None
        self._work: StreamWork | None = None
        self._verdicts: dict[int, PartitionVerdict] = {}
        self._positions: dict[int, int] = {}

    async def open(self, work: StreamWork) -> None:
        """Work on this definition of the stream; state comes from the archive and the raw topic.

        Cancelling it leaves the definition that was open before.
        """
        async with self._lock:
            if self._work is not None and self._work.spec == work.spec:
                self._work = work
                return
            archive = await asyncio.to_thread(Archive, self._root, work)
            positions: dict[int, int] = {}
            verdicts: dict[int, PartitionVerdict] = {}
            tps = [TopicPartition(work.topic, number) for number in range(work.spec.partitions)]
            starts = await self._admin.start_offsets(tps)
            for tp in tps:
                position = archive.position(tp.partition)
                begin = starts[tp] if position is None else position
                ids = await ids_before(self._broker, work, tp.partition, begin)
                positions[tp.partition] = begin
                verdicts[tp.partition] = PartitionVerdict(
                    ids, work.spec.lateness_us, archive.watermark_us(tp.partition)
                )
            self._archive, self._work = archive, work
            self._positions, self._verdicts = positions, verdicts

    async def ends(self) -> dict[int, int]:
        """Return the present end of every partition of the stream."""
        work = self._known()
        tps = [TopicPartition(work.topic, number) for number in range(work.spec.partitions)]
        return {tp.partition: end for tp, end in (await self._admin.end_offsets(tps)).items()}

    async def reach(self, cut: Mapping[int, int]) -> int:
        """Archive everything below `cut`; return the version of the table that holds it."""
        async with self._lock:
            while any(self._positions[number] < offset for number, offset in cut.items()):
                await self._advance(cut)
            return self._opened().version

    async def look(self, erased: Erased, keep: Sequence[str] = ()) -> ArchiveLook:
        """Say what the archive holds of erased entities; the columns `keep` are returned too."""
        async with self._lock:
            work = self._known()
            here = erased.of_stream(work.name)
            return await asyncio.to_thread(erasure.look, self._opened(), work, here, keep)

    async def erase(self, erased: Erased) -> ArchiveLook:
        """Remove erased entities; return what there was. Nothing of them is appended later."""
        async with self._lock:
            archive, work = self._opened(), self._known()
            here = erased.of_stream(work.name)
            found = await asyncio.to_thread(erasure.look, archive, work, here)
            await asyncio.to_thread(erasure.remove, archive, found.days, here)
            return found

    async def old_files(self) -> list[str]:
        """Return files that no reader of the newest version needs."""
        async with self._lock:
            return await asyncio.to_thread(self._opened().old_files)

    def positions(self) -> dict[int, int]:
        """Return the next offset of every partition that is not archived yet."""
        return dict(self._positions)

    async def _advance(self, cut: Mapping[int, int]) -> None:
        """Commit the next rows of every partition, about `limit_bytes` of them."""
        gathered = {number: await self._gather(number, cut[number]) for number in cut}
        pieces = await asyncio.to_thread(self._decide, gathered)
        if not pieces:
            return
        archive = self._opened()
        rows = await asyncio.to_thread(archive.append, pieces)
        for piece in pieces:
            self._positions[piece.partition] = piece.position
        await asyncio.to_thread(archive.tidy)
        stream = self._known().name
        metrics.counter("tidemill_archived_rows_total", stream=stream).inc(rows)
        logger.info("archive.committed", extra={"stream": stream, "rows": rows})

    async def _gather(self, partition: int, end: int) -> list[Record]:
        """Read raw records of one partition up to its share of the limit."""
        work = self._known()
        records: list[Record] = []
        size = 0
        tp = TopicPartition(work.topic, partition)
        position = self._positions[partition]
        async for some in stretch(self._broker, tp, position, end, piece=PIECE_RECORDS):
            records.extend(some)
            size += sum(len(record.value or b"") for record in some)
            if size >= self._limit // work.spec.partitions:
                break
        return records

    def _decide(self, gathered: Mapping[int, list[Record]]) -> list[Piece]:
        """Decode and judge what was gathered (in a thread; only one at a time)."""
        work = self._known()
        pieces = []
        for partition, records in gathered.items():
            if records:
                events = decode(work.spec, work.schema, records)
                verdict = self._verdicts[partition]
                erased = self._refusing.now.of_stream(work.name)
                found = erasing.decide(verdict, events, erased)
                position = records[-1].offset + 1
                pieces.append(Piece(partition, position, verdict.watermark_us, events, found))
        return pieces

    def _known(self) -> StreamWork:
        if self._work is None:
            message = "the archiver is not open"
            raise RuntimeError(message)
        return self._work

    def _opened(self) -> Archive:
        if self._archive is None:
            message = "the archiver is not open"
            raise RuntimeError(message)
        return self._archive


class Archivers:
    """The archivers of all streams of the current generation."""

    def __init__(
        self,
        broker: Broker,
        admin: Admin,
        root: str,
        limit_bytes: int,
        refusing: Refusing | None = None,
    ) -> None:
        self._broker = broker
        self._admin = admin
        self._root = root
        self._limit = limit_bytes
        self.refusing = refusing or Refusing()
        self._streams: dict[str, StreamArchiver] = {}

    async def adopt(self, work: Work) -> None:
        """Archive the streams of a generation; streams that are gone are archived no more.

        Cancelling it leaves every stream open as it was, or as this generation has it.
        """
        await self._admin.ensure(
            topic for stream in work.streams.values() for topic in stream.topics()
        )
        for name in self._streams.keys() - work.streams.keys():
            del self._streams[name]
        for name, stream in work.streams.items():
            archiver = self._streams.get(name) or StreamArchiver(
                self._broker, self._admin, self._root, self._limit, self.refusing
            )
            await archiver.open(stream)
            self._streams[name] = archiver

    def of(self, stream: str) -> StreamArchiver:
        """Return the archiver of a stream of the current generation; Unavailable without one."""
        if stream not in self._streams:
            raise Unavailable(f"{stream} is not archived now")
        return self._streams[stream]

    def __contains__(self, stream: object) -> bool:
        """Say whether a stream is archived."""
        return stream in self._streams

    async def run(self, stop: asyncio.Event, every: float) -> None:
        """Archive every stream now and then until told to stop; a conflict ends the process."""
        while not await until(stop, every):
            for name, archiver in list(self._streams.items()):
                try:
                    await archiver.reach(await archiver.ends())
                except Transient as error:
                    facts = {"stream": name, "error": error.message}
                    logger.warning("archive.waiting", extra=facts)


def archived_here(settings: Settings, archivers: Archivers, streams: Collection[str]) -> None:
    """Raise FailedPrecondition unless this server archives all of these streams."""
    if not settings.archiver:
        raise FailedPrecondition(
            "this server does not archive", hint="ask the one whose ARCHIVER setting is true"
        )
    unknown = [name for name in streams if name not in archivers]
    if unknown:
        raise FailedPrecondition(
            f"{', '.join(unknown)} is not archived yet", hint="try again in a few seconds"
        )
