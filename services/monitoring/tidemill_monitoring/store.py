"""PostgreSQL: what a step reads and writes, in one transaction with the consumed offsets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from tidemill.errors import Fenced, NotFound
from tidemill_common.erasures import Erased
from tidemill_common.kafka import TopicPartition
from tidemill_common.postgres import Connection, Pool, announce, queries
from tidemill_monitoring import codec
from tidemill_monitoring.alerts import Alert
from tidemill_monitoring.definitions import Watch
from tidemill_monitoring.driftcount import WindowCounts
from tidemill_monitoring.erasing import Removed, erase
from tidemill_monitoring.fieldstate import CLOCK, FieldState, Watched
from tidemill_monitoring.quality import Cohort

SQL = queries("tidemill_monitoring.sql.queries")
DriftKey = tuple[str, int, int]


class Step:
    """The writes of one step; all of them or none."""

    def __init__(self, connection: Connection) -> None:
        """Write through `connection`, inside its transaction."""
        self._connection = connection

    async def hold(self, fence: int, stream_us: int) -> None:
        """Make sure that this process is still the writer; Fenced when it is not."""
        if await self._connection.fetchrow(SQL["hold"], fence, stream_us) is None:
            raise Fenced("a newer monitoring process has taken over")

    async def consumed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Move the consumed offsets."""
        await self._connection.execute(
            SQL["consume"],
            [tp.topic for tp in offsets],
            [tp.partition for tp in offsets],
            list(offsets.values()),
        )

    async def add_spine(self, model: str, rows: pa.Table) -> set[str]:
        """Add spine rows; gives the keys of new ones."""
        return await self._add("add_spine", model, rows, ("source", "id", "key", "t"))

    async def add_labels(self, model: str, rows: pa.Table) -> set[str]:
        """Add labels; gives the keys of new ones."""
        names = ("source", "id", "key", "time", "available", "value")
        return await self._add("add_labels", model, rows, names)

    async def add_predictions(self, model: str, rows: pa.Table) -> set[str]:
        """Add predictions; gives the keys of new ones that are no shadow's."""
        names = ("id", "key", "t", "version", "variant", "score")
        return await self._add("add_predictions", model, rows, names)

    async def _add(self, query: str, model: str, rows: pa.Table, names: Sequence[str]) -> set[str]:
        if not rows.num_rows:
            return set()
        columns = [rows[name].to_pylist() for name in names]
        found = await self._connection.fetch(SQL[query], model, *columns)
        return {row["spine_key"] for row in found}

    async def joined(self, model: str, keys: Iterable[str], max_delay_us: int) -> list[Any]:
        """Give the labelled spine rows of these keys, in the order of their time."""
        rows = await self._connection.fetch(SQL["joined"], model, sorted(keys), max_delay_us)
        return [tuple(row) for row in rows]

    async def cohort_rows(
        self, model: str, from_us: int, to_us: int, max_delay_us: int
    ) -> pl.DataFrame:
        """Give version, score and label (or null) of the predictions of a span."""
        rows = await self._connection.fetch(SQL["cohort_rows"], model, from_us, to_us, max_delay_us)
        types = {"version": pl.Int64, "score": pl.Float64, "value": pl.Float64}
        return pl.DataFrame([tuple(row) for row in rows], schema=types, orient="row")

    async def forget(self, model: str, before_us: int, samples_before_us: int) -> None:
        """Drop rows that nothing can join any more."""
        await self._connection.execute(SQL["forget"], model, before_us, samples_before_us)

    async def save_drift_count(self, key: DriftKey, window: WindowCounts, *, judged: bool) -> None:
        """Write the counts of a window as they are now."""
        data = codec.pack(window.counts)
        await self._connection.execute(
            SQL["save_drift_count"],
            *key,
            window.predictions,
            window.vectors,
            window.first_us,
            window.last_us,
            data,
            judged,
        )

    async def save_drift_windows(
        self, key: DriftKey, end_us: int, rows: Sequence[tuple[str, int, float, float, bool]]
    ) -> None:
        """Write what was judged of every subject of a window."""
        model, version, start = key
        columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 5
        await self._connection.execute(
            SQL["save_drift_windows"], model, version, start, end_us, *columns
        )

    async def save_cohort(self, cohort: Cohort, stream_us: int) -> None:
        """Add a revision of a cohort."""
        await self._connection.execute(
            SQL["save_cohort"],
            cohort.model,
            cohort.version,
            cohort.from_us,
            cohort.to_us,
            cohort.revision,
            cohort.predictions,
            cohort.labelled,
            dict(cohort.metrics),
            cohort.error,
            cohort.mature,
            cohort.final,
            stream_us,
        )

    async def save_alert(self, alert: Alert, report: str) -> Alert:
        """Write an alert; gives it with report and acknowledgement as others have set them."""
        row = await self._connection.fetchrow(
            SQL["save_alert"], *codec.alert_columns(alert), report
        )
        assert row is not None  # noqa: S101 (an upsert without a condition returns its row)
        return codec.with_others(alert, row["report_path"], row["acknowledged_by"])

    async def announce(self, topic: str, key: str, value: bytes) -> None:
        """Let a message leave if this step commits."""
        await announce(self._connection, topic, key, value)

    async def add_field_rows(self, stream: str, rows: pl.DataFrame) -> None:
        """Keep the newest raw rows of a stream."""
        if rows.height:
            newest = rows[CLOCK].max()
            await self._connection.execute(
                SQL["add_field_rows"], stream, newest, codec.frame_to_bytes(rows)
            )

    async def save_field_state(self, stream: str, state: FieldState) -> None:
        """Write what the watch over a stream remembers, and drop rows that it has let go."""
        first = state.rows[CLOCK][0] if state.rows.height else state.learnt_us
        document, pasts = codec.field_state(state)
        await self._connection.execute(SQL["save_field_state"], stream, document, pasts, first)

    async def add_report_rows(
        self, alert_id: str, reference: pl.DataFrame, current: pl.DataFrame
    ) -> None:
        """Keep what the report of an alert will compare; the first call counts."""
        frames = [codec.frame_to_bytes(frame) for frame in (reference, current)]
        await self._connection.execute(SQL["add_report_rows"], alert_id, *frames)

    async def add_sample(self, model: str, rows: pl.DataFrame) -> None:
        """Keep sampled predictions with their inputs."""
        await self._connection.execute(
            SQL["add_sample"],
            model,
            rows["t"].min(),
            rows["t"].max(),
            rows.height,
            codec.frame_to_bytes(rows),
        )


class Store:
    """The schema `monitoring`."""

    def __init__(self, pool: Pool) -> None:
        """Use the pool of the service."""
        self._pool = pool

    @asynccontextmanager
    async def step(self) -> AsyncIterator[Step]:
        """Open the transaction of one step."""
        async with self._pool.transaction() as connection:
            yield Step(connection)

    async def erase(self, watch: Watch, erased: Erased) -> Removed:
        """Remove entities from everything that is kept; return what there was."""
        async with self._pool.transaction() as connection:
            return await erase(connection, watch, erased)

    async def take_over(self) -> tuple[int, int]:
        """Become the one writer; gives the fence and the stream time so far."""
        row = await self._pool.fetchrow(SQL["take_over"])
        assert row is not None  # noqa: S101 (the migration made the row)
        return row["fence"], row["stream_time"]

    async def offsets(self) -> dict[TopicPartition, int]:
        """Give the next offset of each partition that was read before."""
        rows = await self._pool.fetch("SELECT topic, partition, next_offset FROM consumed")
        return {TopicPartition(r["topic"], r["partition"]): r["next_offset"] for r in rows}

    async def drift_counts(self) -> dict[DriftKey, WindowCounts]:
        """Give the windows that are not judged yet."""
        rows = await self._pool.fetch(SQL["load_drift_counts"])
        return {
            (r["model"], r["version"], r["window_start"]): WindowCounts(
                codec.unpack(r["counts"]).astype(np.int64),
                r["predictions"],
                r["vectors"],
                r["first_us"],
                r["last_us"],
            )
            for r in rows
        }

    async def windows_judged(self) -> dict[tuple[str, int], int]:
        """Give how many windows of each version were judged."""
        rows = await self._pool.fetch(SQL["drift_history"])
        return {(r["model"], r["version"]): r["windows"] for r in rows}

    async def open_alerts(self) -> list[Alert]:
        """Give the alerts that are not over."""
        return [codec.alert(row) for row in await self._pool.fetch(SQL["load_alerts"])]

    async def alerts(self, model: str, *, open_only: bool, limit: int) -> list[Alert]:
        """List alerts, newest change first."""
        rows = await self._pool.fetch(SQL["list_alerts"], model, open_only, limit)
        return [codec.alert(row) for row in rows]

    async def alert(self, alert_id: str) -> Alert:
        """Give one alert; NotFound when there is none."""
        return _one(await self._pool.fetchrow(SQL["get_alert"], alert_id), alert_id)

    async def acknowledge(self, alert_id: str, author: str) -> Alert:
        """Note who has seen an alert first; NotFound when there is none."""
        return _one(await self._pool.fetchrow(SQL["acknowledge"], alert_id, author), alert_id)

    async def next_report(self) -> Alert | None:
        """Give the worst alert that waits for a report."""
        row = await self._pool.fetchrow(SQL["next_report"])
        return None if row is None else codec.alert(row)

    async def report_done(self, alert_id: str, path: str, state: str) -> Alert:
        """Note what became of a report."""
        row = await self._pool.fetchrow(SQL["save_report"], alert_id, path, state)
        return _one(row, alert_id)

    async def announce(self, topic: str, key: str, value: bytes) -> None:
        """Send a message that belongs to no step."""
        async with self._pool.transaction() as connection:
            await announce(connection, topic, key, value)

    async def cohorts(self, model: str, from_us: int, to_us: int) -> list[Cohort]:
        """Give the newest revision of every cohort that overlaps a span, newest first."""
        rows = await self._pool.fetch(SQL["list_cohorts"], model, from_us, to_us)
        return [codec.cohort(row) for row in rows]

    async def drift(self, model: str, from_us: int, to_us: int) -> Sequence[Any]:
        """Give judged windows that overlap a span, newest first."""
        return await self._pool.fetch(SQL["list_drift"], model, from_us, to_us)

    async def fields(self, watched: Watched) -> FieldState | None:
        """Give the state of the watch over a stream's fields; None when it has none."""
        row = await self._pool.fetchrow(SQL["load_field_state"], watched.stream)
        chunks = await self._pool.fetch(SQL["load_field_rows"], watched.stream)
        if row is None and not chunks:
            return None
        frames = [codec.frame_from_bytes(chunk["batch"]) for chunk in chunks]
        document = row["state"] if row else {}
        return codec.field_state_from(watched, frames, document, row["pasts"] if row else b"")

    async def report_rows(self, alert_id: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Give what an alert's report compares; NotFound when nothing was kept."""
        row = await self._pool.fetchrow(SQL["load_report_rows"], alert_id)
        if row is None:
            raise NotFound(f"no rows are kept for alert {alert_id!r}")
        reference, current = (codec.frame_from_bytes(row[n]) for n in ("reference", "current"))
        return reference, current

    async def samples(self, model: str, from_us: int, to_us: int) -> list[pl.DataFrame]:
        """Give sampled predictions of a span."""
        rows = await self._pool.fetch(SQL["load_samples"], model, from_us, to_us)
        return [codec.frame_from_bytes(row["batch"]) for row in rows]


def _one(row: Any, alert_id: str) -> Alert:
    if row is None:
        raise NotFound(f"no alert {alert_id!r}")
    return codec.alert(row)
