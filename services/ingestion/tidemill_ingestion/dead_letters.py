"""Show dead letters, and put them back, each exactly once.

1. Claim the dead letter in the ledger.
2. Append it to its topic and partition; a row says in `_replay_of` what it replays, which is part
   of its id, so that a repeat of this step within the stream's dedupe window counts once.
3. Confirm it in the ledger.

A record of a foreign topic is read again as its source is declared now, and what it gives is
appended to the stream: the foreign topic itself is never written.

A crash between 1 and 3 leaves a claim: repeated soon it is sent again (2 makes that harmless),
later it is refused, because nothing would recognise the second copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from google.protobuf.timestamp_pb2 import Timestamp

from tidemill.definitions.v1 import project_pb2 as pb_definitions
from tidemill.errors import FailedPrecondition, Invalid, NotFound, Rejected
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill_common import events, topics
from tidemill_common.clock import Clock
from tidemill_common.erasures import NOTHING_ERASED, REASON, Erased
from tidemill_common.kafka import Broker, Producer, TopicPartition, administering
from tidemill_common.kafka import dead_letters as letters
from tidemill_ingestion.foreign.source import compile_source
from tidemill_ingestion.handlers import Streams
from tidemill_ingestion.store import Claim, Ledger

REPEAT_SECONDS = 300.0
"""Half of the default dedupe window: in it a second copy is certainly recognised."""
PAGE = 500
MAX_LIST = 1_000


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Dead letters of every topic of the project."""

    broker: Broker
    producer: Producer
    ledger: Ledger
    streams: Streams
    clock: Clock

    async def newest(
        self, stream: str, start: int | None, limit: int
    ) -> tuple[list[pb.DeadLetter], int]:
        """Return up to `limit` from `start` on (None: the newest), and how many there are."""
        topic = _topic(stream)
        first, end = await self._span(topic)
        limit = min(limit, MAX_LIST)
        begin = max(first, end - limit) if start is None else start
        found = await letters.read(self.broker, topic, start=begin, limit=limit) if end else []
        done = await self.ledger.done(topic)
        return [
            _to_proto(letter, replayed=letter.position in done) for letter in found
        ], end - first

    async def replay(
        self, stream: str, positions: Sequence[int], *, dry_run: bool
    ) -> pb.ReplayDeadLettersResponse:
        """Put the dead letters at `positions` (empty: all) back.

        A dry run says what would become of each, and changes nothing. Unavailable while the
        current project, and with it the list of erased entities, is still to be taken up.
        """
        topic = _topic(stream)
        await self.streams.confirm()
        reply = pb.ReplayDeadLettersResponse()
        done = await self.ledger.done(topic)
        for letter in await self._chosen(topic, positions):
            if letter.position in done:
                reply.already_replayed += 1
            else:
                await self._put_back(topic, letter, reply, dry_run=dry_run)
        return reply

    async def _put_back(
        self,
        topic: str,
        letter: letters.DeadLetter,
        reply: pb.ReplayDeadLettersResponse,
        *,
        dry_run: bool,
    ) -> None:
        try:
            stream = self.streams.sources.get(topic.removeprefix("events."))
            erased = self.streams.refusing.now
            partition, value = again(topic, letter, stream, self.clock.now_us(), erased)
        except Rejected as error:
            reply.refused += 1
            reply.reasons.append(f"{topic}.dlq offset {letter.position}: {error.message}")
            return
        ask = self.ledger.look if dry_run else self.ledger.claim
        match await ask(topic, letter.position, REPEAT_SECONDS):
            case Claim.DONE:
                reply.already_replayed += 1
                return
            case Claim.STALE:
                reply.refused += 1
                reply.reasons.append(
                    f"{topic}.dlq offset {letter.position} was claimed earlier, never confirmed; "
                    "look whether its event is in the topic before you publish it again by hand"
                )
                return
        if not dry_run:
            await self._append(topic, letter, partition, value)
        reply.replayed += 1

    async def _append(
        self, topic: str, letter: letters.DeadLetter, partition: int, value: bytes
    ) -> None:
        own = letter.topic == topic
        sent = await self.producer.send(
            topic,
            value,
            key=letter.record.key if own else None,
            partition=partition,
            headers=letter.record.headers if own else await self._headers(topic),
        )
        await self.ledger.confirm(topic, letter.position, sent.offset)

    async def _headers(self, topic: str) -> list[tuple[str, bytes]]:
        schema = await self.streams.find(topic.removeprefix("events."))
        return events.event_headers(schema.fingerprint)

    async def _chosen(self, topic: str, positions: Sequence[int]) -> list[letters.DeadLetter]:
        first, end = await self._span(topic)
        missing = [position for position in positions if not first <= position < end]
        if missing:
            held = f"offsets {first} to {end - 1}" if end > first else "nothing"
            raise NotFound(f"{topic}.dlq holds {held}, not {missing}")
        found: list[letters.DeadLetter] = []
        at = min(positions) if positions else first
        while at < end:
            page = await letters.read(self.broker, topic, start=at, limit=PAGE)
            if not page:
                break
            found += page
            at = page[-1].position + 1
        wanted = set(positions)
        return [letter for letter in found if not wanted or letter.position in wanted]

    async def _span(self, topic: str) -> tuple[int, int]:
        tp = TopicPartition(topics.dead_letters(topic).name, 0)
        async with administering(self.broker) as admin:
            known = await admin.topics()
            if tp.topic not in known:
                if topic not in known:
                    raise NotFound(f"no stream or topic {topic.removeprefix('events.')!r}")
                return 0, 0
            first = (await admin.start_offsets([tp]))[tp]
            return first, (await admin.end_offsets([tp]))[tp]


def _topic(stream: str) -> str:
    """Accept a stream's name, its topic, or the dead-letter topic itself."""
    if not stream:
        raise Invalid("name a stream, or a topic")
    name = stream.removesuffix(".dlq")
    return name if "." in name else f"events.{name}"


def again(
    topic: str,
    letter: letters.DeadLetter,
    stream: pb_definitions.Stream | None,
    now_us: int,
    erased: Erased = NOTHING_ERASED,
) -> tuple[int, bytes]:
    """Return the partition of `topic` and the value to append; Rejected if it would fail again.

    `stream` is that of the topic, if it has a source.
    """
    if letter.topic == topic:
        return letter.partition, _value(topic, letter, erased)
    if stream is None:
        raise FailedPrecondition(f"nothing reads {letter.topic} any more")
    record = letter.record._replace(timestamp_ms=letter.written_ms)
    found = compile_source(stream).events([record], now_us, erased)
    if found.batch is None:
        reasons = "; ".join(map(str, found.refusals.values()))
        raise Invalid(reasons or "the source leaves this record out")
    row = _replaying(found.batch.rows, topic, letter.position)
    return int(found.batch.partitions[0]), events.encode(row)


def _value(topic: str, letter: letters.DeadLetter, erased: Erased) -> bytes:
    """Original bytes of a record; a single row says that it is a replay.

    A whole record goes back as it is: its readers leave out what was erased.
    """
    value = letter.record.value or b""
    if letter.row is None:
        return value
    row = events.decode(value)
    if erased.of_stream(topic.removeprefix("events.")).rows(row).any():
        raise FailedPrecondition(REASON)
    return events.encode(_replaying(row, topic, letter.position))


def _replaying(rows: pa.RecordBatch, topic: str, position: int) -> pa.RecordBatch:
    """Say of rows which dead letter they are: that is part of their id."""
    origin = pa.array([f"{topic}.dlq:{position}"] * rows.num_rows, pa.string())
    index = rows.schema.get_field_index("_replay_of")
    columns = [origin if i == index else rows.column(i) for i in range(rows.num_columns)]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _to_proto(letter: letters.DeadLetter, *, replayed: bool) -> pb.DeadLetter:
    time = Timestamp()
    time.FromMilliseconds(letter.record.timestamp_ms)
    return pb.DeadLetter(
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.position,
        key=letter.record.key,
        value=letter.record.value,
        headers={
            "origin-offset": str(letter.offset),
            "origin-row": "" if letter.row is None else str(letter.row),
            "group": letter.group,
            "service": letter.service,
            "stage": letter.stage,
            "error": letter.error,
            "message": letter.message,
            "attempt": str(letter.attempt),
        },
        time=time,
        replayed=replayed,
    )
