"""Where a key could live on, looked at with a reader's own eyes and not with the platform's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from tidemill_common.kafka import Broker, TopicPartition, administering
from tidemill_common.kafka.broker import Record
from tidemill_common.kafka.reading import existing, reading
from tidemill_common.postgres import connected
from tidemill_common.settings import Dsn
from tidemill_tiles.codec import body_of

LOGS: Final = "features."
_PIECE: Final = 500


async def records_with(kafka: str, *words: bytes) -> dict[str, int]:
    """Count the records, of every topic, whose bytes hold any of the words; uncommitted ones too.

    Records of feature logs are looked at as they are unpacked.
    """
    broker, found = Broker(kafka, "eyes"), dict[str, int]()
    async with administering(broker) as admin, reading(broker, "read_uncommitted") as client:
        for topic, count in (await admin.topics()).items():
            ends = await admin.end_offsets(TopicPartition(topic, one) for one in range(count))
            for tp, end in ends.items():
                async for records in existing(client, tp, 0, end, piece=_PIECE):
                    hits = sum(any(word in one for word in words) for one in map(_whole, records))
                    if hits:
                        found[topic] = found.get(topic, 0) + hits
    return found


def _whole(record: Record) -> bytes:
    value = record.value or b""
    if record.topic.startswith(LOGS) and value:
        value = bytes(body_of(value))
    return (record.key or b"") + value + b"".join(one for _, one in record.headers)


async def rows_with(dsn: str, words: str) -> dict[str, int]:
    """Count the rows, of every table of every service, whose text holds the words."""
    tables = (
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    async with connected(Dsn(dsn), schema="public", min_size=1) as pool:
        found = {}
        for row in await pool.fetch(tables):
            count = f"SELECT count(*) FROM {row['name']} AS t WHERE strpos(t::text, $1) > 0"  # noqa: S608
            found[row["name"]] = await pool.fetchval(count, words)
    return {name: count for name, count in found.items() if count}


def files_with(folder: Path, words: str) -> list[str]:
    """Name the files below a folder that hold the words, compressed in Parquet or as they are."""
    return sorted(str(path.relative_to(folder)) for path in _files(folder) if _holds(path, words))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _holds(path: Path, words: str) -> bool:
    raw = path.read_bytes()
    if words.encode() in raw:
        return True
    if raw[:4] != b"PAR1":
        return False
    return words in str(pq.ParquetFile(path).read().to_pydict())
