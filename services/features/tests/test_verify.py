"""Vectors read at logged positions are recomputed from the archive, bit for bit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill_common.events import TIMESTAMP
from tidemill_common.kafka import Record
from tidemill_features.archive import Piece, rows_of
from tidemill_features.decoding import decode
from tidemill_features.definitions import StreamWork
from tidemill_features.flushing import PartitionState
from tidemill_features.verify import Verified, verify
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.owner import Owner
from tidemill_tiles.reads import read
from tidemill_tiles.verdict import PartitionVerdict

MakeRecord = Callable[..., Record]


class Live:
    """Two partitions as a worker and a serving replica would have them."""

    def __init__(self, work: StreamWork) -> None:
        self.work = work
        self.states = [self._state(number) for number in range(2)]
        self.records: list[list[Record]] = [[], []]

    def _state(self, partition: int) -> PartitionState:
        owners = {view.key: Owner(view.plan, "1") for view in self.work.views}
        verdict = PartitionVerdict(IdWindow(self.work.spec.dedupe_us), self.work.spec.lateness_us)
        return PartitionState(self.work, partition, owners, verdict, 0)

    def publish(self, partition: int, record: Record) -> None:
        self.records[partition].append(record)
        self.states[partition].flush([record])

    def prediction(
        self, number: int, user: str, country: str | None, at_s: float
    ) -> dict[str, Any]:
        """Return what serving logs: the numeric inputs in order, the request, the positions."""
        values = {}
        home = "NL"
        for alias, view, key in (
            ("users", "users", user),
            ("countries", "countries", country),
            ("home", "countries", home),
        ):
            spec = next(one for one in self.work.views if one.name == view)
            tables = [state.owners[spec.key].table for state in self.states]
            found = read(spec.plan, tables, hash_keys([(key or "").encode()]), round(at_s * 1e6))
            values[alias] = (
                found.values[0] if key is not None else np.full(found.values.shape[1], np.nan)
            )
        count_10m, count_1h, amount = values["users"].tolist()
        share = count_10m / count_1h if count_1h else float("nan")
        positions = [state.position for state in self.states]
        return {
            "_prediction_id": f"p{number}",
            "_time": round(at_s * 1e6),
            "_vector": [
                count_10m,
                count_1h,
                amount,
                values["countries"][0],
                values["home"][0],
                share,
                1.5,
            ],
            "_request": json.dumps({"user": user, "country": country, "home": home, "amount": 1.5}),
            "_positions": json.dumps(
                {view.log("visits").name: positions for view in self.work.views}
            ),
        }

    def archive(self) -> pa.Table:
        """Return the archived rows of both partitions."""
        pieces = []
        for number, records in enumerate(self.records):
            events = decode(self.work.spec, self.work.schema, records)
            verdict = self._state(number).verdict
            found = verdict.decide(events.ids, events.time_us, events.append_us)
            pieces.append(rows_of(Piece(number, len(records), verdict.watermark_us, events, found)))
        return pa.concat_tables(pieces).combine_chunks()


def as_table(predictions: Sequence[dict[str, Any]]) -> pa.Table:
    table = pa.Table.from_pylist(list(predictions))
    place = table.schema.get_field_index("_time")
    return table.set_column(place, "_time", table["_time"].cast(TIMESTAMP))


def some_traffic(
    visits: StreamWork, make_record: MakeRecord, seed: int
) -> tuple[Live, list[dict[str, Any]]]:
    chance = random.Random(seed)
    live, predictions = Live(visits), []
    now = 10_000.0
    for number in range(60):
        now += chance.randrange(200)
        partition = chance.randrange(2)
        rows = [
            {
                "_id": str(chance.randrange(80)),
                "user": f"u{chance.randrange(3)}",
                "country": chance.choice(["NL", "DE", None]),
                "amount": chance.randrange(1_000) / 100,
                "at": now - chance.choice([0, 5, 300, 5_000]),
            }
            for _ in range(chance.randrange(1, 4))
        ]
        live.publish(partition, make_record(len(live.records[partition]), rows, appended_s=now))
        user, country = f"u{chance.randrange(4)}", chance.choice(["NL", "DE", "XX", None])
        predictions.append(live.prediction(number, user, country, now))
    return live, predictions


def checked(live: Live, project: project_pb2.Project, rows: Sequence[dict[str, Any]]) -> Verified:
    archived = live.archive()
    return verify(project, "buys", as_table(rows), lambda *_: archived)


@pytest.mark.parametrize("seed", range(4))
def test_what_was_served_is_recomputed_bit_for_bit(
    visits: StreamWork, project: project_pb2.Project, make_record: MakeRecord, seed: int
) -> None:
    live, predictions = some_traffic(visits, make_record, seed)
    found = checked(live, project, predictions)
    assert (found.vectors, found.values) == (60, 420)
    assert (found.mismatches, found.examples) == (0, [])


def test_the_order_in_which_predictions_were_logged_does_not_matter(
    visits: StreamWork, project: project_pb2.Project, make_record: MakeRecord
) -> None:
    live, predictions = some_traffic(visits, make_record, 7)
    random.Random(1).shuffle(predictions)
    assert checked(live, project, predictions).mismatches == 0


def test_one_bit_of_difference_is_found_and_named(
    visits: StreamWork, project: project_pb2.Project, make_record: MakeRecord
) -> None:
    live, predictions = some_traffic(visits, make_record, 3)
    wrong = predictions[10]["_vector"]
    wrong[1] = float(np.nextafter(wrong[1], np.inf)) if wrong[1] == wrong[1] else 1.0
    found = checked(live, project, predictions)
    assert found.mismatches == 1
    assert {name: count for name, count in found.by_feature.items() if count} == {
        "users__count_1h": 1
    }
    assert len(found.by_feature) == found.values // found.vectors
    assert "p10 users__count_1h" in found.examples[0]


def test_vectors_of_other_view_versions_are_skipped(
    visits: StreamWork, project: project_pb2.Project, make_record: MakeRecord
) -> None:
    live, predictions = some_traffic(visits, make_record, 3)
    predictions[0]["_positions"] = json.dumps({"features.users.older.visits": [1, 1]})
    found = checked(live, project, predictions)
    assert (found.vectors, found.skipped, found.mismatches) == (59, 1, 0)
