"""Handle what arrives twice once: the mark is written in the transaction of its effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill_common.postgres.pool import Connection


async def first_time(connection: Connection, consumer: str, event_id: str) -> bool:
    """Say whether `consumer` has never handled `event_id`, and remember it; False: do nothing.

    Of two transactions with the same id the second waits for the first.
    """
    marked = await connection.fetchval(
        """
        INSERT INTO inbox (consumer, event_id) VALUES ($1, $2)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        consumer,
        event_id,
    )
    return marked is True


async def advance(
    connection: Connection, consumer: str, topic: str, partition: int, offset: int
) -> bool:
    """Say whether the record at `offset` is new to `consumer`, and move past it; False: seen.

    Takes one row a partition for ever; records must come in order.
    """
    moved = await connection.fetchval(
        """
        INSERT INTO inbox_position AS known (consumer, topic, partition, next_offset)
        VALUES ($1, $2, $3, $4 + 1)
        ON CONFLICT (consumer, topic, partition) DO UPDATE SET next_offset = $4 + 1
        WHERE known.next_offset <= $4
        RETURNING true
        """,
        consumer,
        topic,
        partition,
        offset,
    )
    return moved is True


async def positions(connection: Connection, consumer: str) -> dict[tuple[str, int], int]:
    """Return the next offset of `consumer` in each partition it has seen."""
    rows = await connection.fetch(
        "SELECT topic, partition, next_offset FROM inbox_position WHERE consumer = $1", consumer
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
