"""An entity that a stream calls otherwise is found in all that holds rows of this stream.

By a column that a source of a view maps, and by an expression that it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.project import loads, model_inputs, normalise
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common import events, prediction_rows
from tidemill_common.artifacts import Artifacts
from tidemill_common.entity_names import names_of
from tidemill_common.erased_entity import entity_of
from tidemill_common.erasures import Erased, ErasedKey
from tidemill_common.kafka import Record
from tidemill_features.archive import Archive, Piece
from tidemill_features.backfill import archived as past
from tidemill_features.decoding import decode
from tidemill_features.definitions import StreamWork, Work, work_of
from tidemill_features.erasing import news
from tidemill_features.erasure import archived, naming, sets, sightings
from tidemill_features.erasure.account import Account
from tidemill_features.erasure.audit import of_erased
from tidemill_features.erasure.finding import set_form
from tidemill_features.flushing import PartitionState
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.owner import Owner
from tidemill_tiles.verdict import PartitionVerdict

PROJECT = """
project: shop
streams:
  clicks:
    key: [user]
    replay: true
    lateness: 1h
    fields:
      user: {type: string, required: true}
      customer: {type: string}
  calls:
    key: [customer]
    replay: true
    lateness: 1h
    fields:
      customer: {type: string, required: true}
      user: {type: string}
views:
  contacts:
    entity: [user]
    sources:
      - stream: clicks
      - {stream: calls, columns: {user: MAPPED}}
    aggregations: [{function: count, windows: [1h, lifetime]}]
models:
  buys:
    spine: {stream: calls, key: [customer]}
    inputs:
      - {view: contacts, entity: {user: customer}}
      - {field: customer, categorical: {max_vocabulary: 8}}
    label: {stream: clicks, key: [user], expression: CAST(customer IS NULL AS DOUBLE), max_delay: 1h, task: binary}
    trainer: {name: tabular, seed: 1}
  asks:
    spine: {stream: clicks, key: [customer]}
    inputs:
      - {view: contacts}
    label: {stream: clicks, expression: CAST(customer IS NULL AS DOUBLE), max_delay: 1h, task: binary}
    trainer: {name: tabular, seed: 1}
"""
MAILED = "lower(customer), way: \"'call'\""
WITH_WAY = (
    "      customer: {type: string}\n",
    "      customer: {type: string}\n      way: {type: string}\n",
)
"""A view by user and way, which clicks say and calls all are."""
SECRET = b"n" * 32
AT_S = 1_000.0


@pytest.fixture(scope="module", params=["customer", "lower(customer)"])
def mapped(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def shop(mapped: str) -> project_pb2.Project:
    loaded = loads(PROJECT.replace("MAPPED", mapped))
    assert not loaded.problems
    return normalise(loaded.project)


@pytest.fixture
def hers(mapped: str) -> str:
    """What the customer of her calls is."""
    return "ada" if mapped == "customer" else "ADA"


@pytest.fixture(scope="module")
def work(shop: project_pb2.Project) -> Work:
    return work_of(shop, "00000001-test")


@pytest.fixture
def ada(shop: project_pb2.Project) -> Erased:
    entity = entity_of(shop, {"user": "ada"})
    return Erased(SECRET, [ErasedKey(entity.fields, entity.digest(SECRET))], names_of(shop))


def rows(*pairs: tuple[str | None, str | None]) -> list[dict[str, Any]]:
    """Rows of a stream, by (customer, user)."""
    return [
        {"_id": f"e{number}", "customer": customer, "user": user}
        for number, (customer, user) in enumerate(pairs)
    ]


def a_record(stream: StreamWork, offset: int, of: Sequence[dict[str, Any]]) -> Record:
    told = {"_source": "test", "_time": round(AT_S * 1e6), "_available": round(AT_S * 1e6)}
    batch = pa.RecordBatch.from_pylist([told | row for row in of], schema=stream.schema)
    return Record(stream.topic, 0, offset, round(AT_S * 1e3), None, events.encode(batch), ())


def a_state(stream: StreamWork) -> PartitionState:
    owners = {view.key: Owner(view.plan, "00000001") for view in stream.views}
    verdict = PartitionVerdict(IdWindow(stream.spec.dedupe_us), stream.spec.lateness_us)
    return PartitionState(stream, 0, owners, verdict, 0)


def keys_of(state: PartitionState) -> set[bytes]:
    (owner,) = state.owners.values()
    return set(owner.table.entity_keys())


@pytest.fixture
def calls_of(hers: str) -> list[dict[str, Any]]:
    """Three calls, of which two are hers: the customer is she, and the clerk is."""
    return rows((hers, "clerk"), ("bob", "ada"), ("eve", "clerk"))


def test_an_owner_leaves_out_rows_under_the_streams_name_and_her_own(
    work: Work, ada: Erased, hers: str, calls_of: list[dict[str, Any]]
) -> None:
    calls, clicks = a_state(work.streams["calls"]), a_state(work.streams["clicks"])
    calls.refuse(ada)
    flush = calls.flush([a_record(calls.work, 0, calls_of)])
    assert (flush.counts.erased, flush.counts.applied) == (2, 1)
    assert keys_of(calls) == {b"eve"}
    clicks.refuse(ada)
    others = rows((hers, "bob"), (None, "eve"))
    assert clicks.flush([a_record(clicks.work, 0, others)]).counts.erased == 0
    assert keys_of(clicks) == {b"bob", b"eve"}


def test_state_under_a_name_that_comes_later_is_looked_for_again(
    work: Work, ada: Erased, calls_of: list[dict[str, Any]]
) -> None:
    (key,) = ada.keys
    before = Erased(SECRET, [ErasedKey(key.fields, key.digest, state_clean=True, complete=True)])
    again = ada.only([ErasedKey(key.fields, key.digest, beginning=1)])
    state = a_state(work.streams["calls"])
    assert state.erase(state.refuse(before).run()) == {}
    state.flush([a_record(state.work, 0, calls_of)])
    assert keys_of(state) == {b"ada", b"eve"}
    assert list(state.erase(state.refuse(again).run()).values()) == [1]
    assert keys_of(state) == {b"eve"}
    assert news(again, again) == []
    assert news(ada, again) == list(again.keys)


def an_archive(root: Path, stream: StreamWork, of: Sequence[dict[str, Any]]) -> Archive:
    archive = Archive(str(root), stream)
    found = decode(stream.spec, stream.schema, [a_record(stream, 0, of)])
    archive.append([Piece(0, 1, 0, found, np.zeros(len(found), dtype=np.uint8))])
    return archive


def test_the_archive_of_the_stream_forgets_her_and_that_of_another_does_not(
    work: Work, ada: Erased, hers: str, calls_of: list[dict[str, Any]], tmp_path: Path
) -> None:
    for name, kept in (("calls", ["eve"]), ("clicks", [hers, "eve"])):
        stream, here = work.streams[name], ada.of_stream(name)
        archive = an_archive(tmp_path, stream, calls_of)
        looked = archived.look(archive, stream, here, keep=["customer"])
        assert sum(looked.rows.values()) == 3 - len(kept)
        archived.remove(archive, looked.days, here)
        assert not archived.look(archive, stream, here).rows
        ((_, left),) = archive.days(["customer"])
        assert left["customer"].to_pylist() == kept


async def test_a_view_is_built_from_the_archive_without_her(
    work: Work, ada: Erased, calls_of: list[dict[str, Any]], tmp_path: Path
) -> None:
    stream = work.streams["calls"]
    an_archive(tmp_path, stream, calls_of)
    (view,) = stream.views
    owner = Owner(view.plan, "00000001")
    found = await past(str(tmp_path), stream, view, 0, ada)
    assert found is not None
    list(found.replay(owner, 1))
    assert set(owner.table.entity_keys()) == {b"eve"}


def test_topics_of_the_stream_hold_her_by_its_name(work: Work, ada: Erased, hers: str) -> None:
    calls, clicks = work.streams["calls"], work.streams["clicks"]
    raw = sightings.raw_topics(work)
    side = sightings.side_topics(work)
    of_her = a_record(calls, 0, rows((hers, None))).value or b""
    theirs = a_record(clicks, 0, rows((hers, "bob"))).value or b""
    for topics_of, calls_topic, clicks_topic in (
        (raw, calls.topic, clicks.topic),
        (side, f"{calls.topic}.late", f"{clicks.topic}.late"),
        (side, f"{calls.topic}.dlq", f"{clicks.topic}.dlq"),
    ):
        assert list(topics_of[calls_topic](ada, of_her)) == list(ada.keys)
        assert not list(topics_of[clicks_topic](ada, theirs))


def predicted(key: str, request: str | None = None) -> bytes:
    row: dict[str, Any] = {
        field.name: {"string": "", "bool": False}.get(str(field.type), 0)
        for field in prediction_rows.SCHEMA
        if not field.nullable
    }
    row |= {"_spine_key": key, "_request": request}
    return events.encode(pa.RecordBatch.from_pylist([row], schema=prediction_rows.SCHEMA))


def labelled(key: str) -> bytes:
    return events.encode(pa.RecordBatch.from_pydict({"_spine_key": [key]}))


def test_predictions_and_labels_hold_her_by_the_names_of_the_streams_of_their_keys(
    work: Work, ada: Erased, hers: str
) -> None:
    sights = sightings.side_topics(work)

    def found(topic: str, value: bytes) -> Iterator[ErasedKey]:
        return iter(list(sights[topic](ada, value)))

    assert any(found("predictions.buys", predicted(hers)))
    assert any(found("predictions.buys", predicted("eve", f'{{"customer":"{hers}"}}')))
    assert not any(found("predictions.buys", predicted("eve", '{"customer":"bob"}')))
    assert not any(
        found("predictions.asks", predicted(hers, f'{{"customer":"{hers}","user":"bob"}}'))
    )
    assert any(found("labels.buys", labelled(hers)))
    assert not any(found("labels.asks", labelled(hers)))


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "blobs"))


def a_set(
    artifacts: Artifacts, folder: Path, keys: list[str], inputs: Sequence[str], values: list[str]
) -> str:
    """Store a set of two rows, whose inputs all have these values."""
    columns = {"_spine_id": ["1", "2"], "_spine_key": keys} | dict.fromkeys(inputs, values)
    path = folder / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    return artifacts.put_file(path)


def test_training_sets_of_models_of_the_stream_hold_her_by_its_name_and_no_others(
    shop: project_pb2.Project, ada: Erased, hers: str, artifacts: Artifacts, tmp_path: Path
) -> None:
    forms = [set_form(shop, model) for model in shop.models]
    buys, asks = (
        [one.name for one in model_inputs(shop, model).inputs] for model in ("buys", "asks")
    )
    by_key = a_set(artifacts, tmp_path, [hers, "bob"], buys, ["x", "y"])
    by_input = a_set(artifacts, tmp_path, ["eve", "bob"], buys, [hers, hers])
    a_set(artifacts, tmp_path, ["eve", "bob"], buys, ["eve", "bob"])
    a_set(artifacts, tmp_path, [hers, "bob"], asks, ["x", "y"])
    (name,) = (one.erasure_id for one in ada.keys)
    found = {one.digest: one.rows for one in sets.look(artifacts, ada, forms, {})}
    assert found == {by_key: {name: 1}, by_input: {name: 2}}


def test_packages_and_profiles_name_her_by_the_words_that_the_stream_has_of_her(
    ada: Erased, hers: str, artifacts: Artifacts
) -> None:
    named = artifacts.put(f'{{"customer": ["bob", "{hers}"]}}'.encode())
    artifacts.put(b'{"customer": ["bob", "eve"]}')
    (key,) = ada.keys
    assert dict(naming.look(artifacts, ada)) == {named: {key.erasure_id}}


def test_a_constant_names_the_whole_stream_and_no_word(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    by_way = PROJECT.replace("entity: [user]", "entity: [user, way]").replace("MAPPED", MAILED)
    loaded = loads(by_way[: by_way.index("models:")].replace(*WITH_WAY))
    assert not loaded.problems
    shop = normalise(loaded.project)
    entity = entity_of(shop, {"way": "call"})
    key = ErasedKey(entity.fields, entity.digest(SECRET))
    erased = Erased(SECRET, [key], names_of(shop))
    for name, gone in (("calls", 3), ("clicks", 0)):
        stream = work_of(shop, "00000001-test").streams[name]
        archive = an_archive(tmp_path, stream, rows(("ada", "bob"), ("bob", "eve"), ("eve", "ada")))
        looked = archived.look(archive, stream, erased.of_stream(name))
        assert looked.rows[key.erasure_id] == gone
        archived.remove(archive, looked.days, erased.of_stream(name))
        assert sum(batch.num_rows for _, batch in archive.days(["_id"])) == 3 - gone
    artifacts.put(b'{"customer": ["ada"]}')
    bob = entity_of(shop, {"user": "bob"})
    keys = [key, ErasedKey(bob.fields, bob.digest(SECRET))]
    assert not dict(naming.look(artifacts, Erased(SECRET, keys, names_of(shop))))


def test_vectors_are_hers_by_the_request_fields_of_the_spine(
    shop: project_pb2.Project, ada: Erased, hers: str
) -> None:
    requests = [f'{{"customer":"{hers}","user":"bob"}}', '{"customer":"bob","user":"eve"}']
    buys, asks = model_inputs(shop, "buys"), model_inputs(shop, "asks")
    assert of_erased(buys, "calls", requests, ada).tolist() == [True, False]
    assert of_erased(asks, "clicks", requests, ada).tolist() == [False, False]


def test_an_account_that_begins_again_keeps_what_was_removed_and_is_not_clean() -> None:
    account = Account("id", state_clean=True, done=True)
    account.saw("archive", "calls", 2)
    account.saw("archive", "calls", 0)
    erasure = pb.Erasure(erasure_id="id", reports=[account.report()])
    same, again = Account.resumed(erasure), Account.resumed(erasure, 1)
    assert same.state_clean
    assert not again.state_clean
    assert not again.done
    assert again.report().beginning == 1
    assert again.saw("archive", "calls", 3).found == 3
    assert again.saw("archive", "calls", 0).removed == 3
