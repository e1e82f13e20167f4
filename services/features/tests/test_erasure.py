"""What carries an erasure out: places looked through, removed, counted, and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from tidemill.definitions.v1 import project_pb2
from tidemill.project import model_inputs
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill_common.artifacts import Artifacts
from tidemill_common.erased_entity import entity_of
from tidemill_common.erasures import Erased, ErasedKey
from tidemill_common.kafka import Admin, Broker, Record, TopicPartition
from tidemill_features.archive import DAY, PLACE, Archive, Piece, read, rows_of
from tidemill_features.archiving import Archivers
from tidemill_features.decoding import decode
from tidemill_features.definitions import StreamWork, Work
from tidemill_features.erasure import archived, naming, sets
from tidemill_features.erasure.account import Account
from tidemill_features.erasure.audit import blind_spans, of_erased, seen_again
from tidemill_features.erasure.looking import Last, decide
from tidemill_features.erasure.stored import PACKAGE, Stored
from tidemill_features.erasure.strays import stray_archives
from tidemill_features.spine import join_key

MakeRecord = Callable[..., Record]
SECRET = b"k" * 32
DAY_S = 86_400.0
TP, OTHER = TopicPartition("events.visits", 0), TopicPartition("events.visits", 1)


def erased(project: project_pb2.Project, user: str) -> Erased:
    entity = entity_of(project, {"user": user})
    return Erased(SECRET, [ErasedKey(entity.fields, entity.digest(SECRET))])


def an_archive(
    root: Path, work: StreamWork, make_record: MakeRecord, users: list[list[str]]
) -> Archive:
    """One commit and one day for each list of users; positions go on by one."""
    archive = Archive(str(root), work)
    for number, day in enumerate(users):
        rows = [{"_id": f"{number}-{n}", "user": user} for n, user in enumerate(day)]
        record = make_record(number, rows, appended_s=1_000.0 + number * DAY_S)
        events = decode(work.spec, work.schema, [record])
        verdicts = np.zeros(len(events), dtype=np.uint8)
        archive.append([Piece(0, number + 1, 77, events, verdicts)])
    return archive


def test_the_archive_forgets_the_entity_in_rows_files_and_log_and_keeps_its_position(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project, tmp_path: Path
) -> None:
    wanted = erased(project, "ada-lovelace")
    users = [["ada-lovelace", "bob"], ["eve"], ["ada-lovelace"]]
    archive = an_archive(tmp_path, visits, make_record, users)
    eves = [one for one in DeltaTable(str(tmp_path / "visits")).file_uris() if "1970-01-02" in one]
    found = archived.look(archive, visits, wanted)
    (name,) = found.rows
    assert found.rows[name] == 2
    assert len(found.days) == 2
    archived.remove(archive, found.days, wanted)
    assert not archived.look(archive, visits, wanted).rows
    assert archive.old_files() == []
    kept = read(str(tmp_path), "visits", archive.version, {0: 9})
    assert kept["user"].to_pylist() == ["bob", "eve"]
    assert (archive.position(0), archive.watermark_us(0)) == (3, 77)
    again = DeltaTable(str(tmp_path / "visits"))
    assert set(eves) <= set(again.file_uris())
    for path in (tmp_path / "visits").rglob("*"):
        if path.suffix == ".json":
            assert "ada-lovelace" not in path.read_text()
        elif path.suffix == ".parquet":
            assert "ada-lovelace" not in str(pq.ParquetFile(path).read().to_pydict())
    more = decode(visits.spec, visits.schema, [make_record(3, [{"_id": "x", "user": "eve"}])])
    archive.append([Piece(0, 4, 78, more, np.zeros(1, dtype=np.uint8))])
    assert Archive(str(tmp_path), visits).position(0) == 4


def test_an_archive_written_before_loses_the_values_that_its_log_named(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project, tmp_path: Path
) -> None:
    schema = pa.schema([*PLACE, *visits.schema])
    DeltaTable.create(str(tmp_path / "visits"), schema=schema, partition_by=[DAY])
    older = DeltaTable(str(tmp_path / "visits"))
    events = decode(visits.spec, visits.schema, [make_record(0, [{"user": "ada-lovelace"}])])
    rows = rows_of(Piece(0, 1, 0, events, np.zeros(1, dtype=np.uint8))).cast(schema)
    write_deltalake(older, rows, mode="append", partition_by=[DAY])
    log = tmp_path / "visits" / "_delta_log"
    assert any("ada-lovelace" in one.read_text() for one in log.glob("*.json"))
    archive, wanted = Archive(str(tmp_path), visits), erased(project, "ada-lovelace")
    archived.remove(archive, archived.look(archive, visits, wanted).days, wanted)
    assert not any("ada-lovelace" in one.read_text() for one in log.glob("*.json"))


def test_a_day_that_is_written_again_keeps_the_columns_that_the_stream_has_no_more(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project, tmp_path: Path
) -> None:
    an_archive(tmp_path, visits, make_record, [["ada", "bob"]])
    columns = tuple(one for one in visits.spec.columns if one.name != "amount")
    fewer = StreamWork(replace(visits.spec, columns=columns, fields=()), ())
    archive, wanted = Archive(str(tmp_path), fewer), erased(project, "ada")
    archived.remove(archive, archived.look(archive, fewer, wanted).days, wanted)
    kept = read(str(tmp_path), "visits", archive.version, {0: 9})
    assert (kept["user"].to_pylist(), kept["amount"].to_pylist()) == (["bob"], [1.0])


def a_set(rows: dict[str, list[str]], artifacts: Artifacts, folder: Path) -> str:
    path = folder / "rows.parquet"
    pq.write_table(pa.table(rows), path)
    return artifacts.put_file(path)


def test_training_sets_are_found_by_event_spine_key_or_input(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project, tmp_path: Path
) -> None:
    artifacts, wanted = Artifacts(str(tmp_path / "blobs")), erased(project, "ada")
    archive = an_archive(tmp_path, visits, make_record, [["ada", "bob"]])
    looked = archived.look(archive, visits, wanted, keep=["_id", "user"])
    ((name, (table,)),) = looked.kept.items()
    events = {name: sets.identities(table["_id"], [join_key(table, ["user"])])}
    mine = {"_spine_id": ["0-0", "0-1"], "_spine_key": ["ada", "bob"]}
    by_event = a_set(mine, artifacts, tmp_path)
    by_input = a_set(
        {"_spine_id": ["z"], "_spine_key": ["q"], "user": ["ada"]}, artifacts, tmp_path
    )
    a_set({"_spine_id": ["0-0"], "_spine_key": ["bob"]}, artifacts, tmp_path)
    a_set({"user": ["ada"]}, artifacts, tmp_path)
    artifacts.put(b"PAR? ada")
    found = {one.digest: one.rows for one in sets.look(artifacts, wanted, [], events)}
    assert found == {by_event: {name: 1}, by_input: {name: 1}}
    form = sets.SetForm("visits", ("user",), frozenset())
    by_key = {one.digest for one in sets.look(artifacts, wanted, [form], {})}
    assert by_key == {by_event, by_input}


@pytest.mark.parametrize(
    ("positions", "now_ms", "before", "waits"),
    [
        ({"g": {TP: 6}}, 2_000, {TP: 6}, False),
        ({"g": {TP: 5}}, 2_000, {}, True),
        ({"g": {TP: 6}}, 1_999, {}, True),
        ({"g": {OTHER: 0}}, 2_000, {TP: 6}, False),
        ({"g": {TP: 6}, "h": {TP: 0}}, 2_000, {}, True),
    ],
)
def test_a_topic_is_let_go_when_it_is_old_enough_and_every_reader_has_passed(
    positions: dict[str, dict[TopicPartition, int]],
    now_ms: int,
    before: dict[TopicPartition, int],
    waits: bool,
) -> None:
    trim = decide({TP: Last(5, 1_000)}, positions, now_ms=now_ms, keep_ms=1_000)
    assert trim.before == before
    assert bool(trim.waiting) == waits


def test_an_account_counts_what_is_gone_and_goes_on_after_a_restart() -> None:
    account = Account("id")
    account.saw("stream", "events.visits", 3, waiting="too young", due_ms=5_000)
    assert not account.is_gone()
    account.saw("stream", "events.visits", 1)
    account.name_set("digest", 2, [("buys", 7)])
    resumed = Account.resumed(pb.Erasure(erasure_id="id", reports=[account.report()]))
    place = resumed.saw("stream", "events.visits", 0)
    assert (place.removed, place.found, place.gone) == (3, 0, True)
    assert resumed.is_gone()
    assert resumed.report().training_sets == account.report().training_sets


def test_a_log_of_a_version_that_was_replaced_does_not_hold_an_account_open() -> None:
    account = Account("id")
    account.saw("log", "features.users.old.visits", 3)
    account.saw("archive", "visits", 0)
    account.keep(("log",), {"features.users.new.visits"})
    assert account.is_gone()
    assert list(account.places) == [("archive", "visits")]


def an_erasure(*, oldest_s: float, newest_s: float) -> pb.Erasure:
    place = pb.ErasurePlace(kind="archive", name="visits", gone=True)
    place.oldest_time.FromDatetime(datetime.fromtimestamp(oldest_s, UTC))
    place.newest_time.FromDatetime(datetime.fromtimestamp(newest_s, UTC))
    report = pb.ErasureReport(service="features", places=[place])
    return pb.Erasure(fields=["user"], reports=[report])


def test_vectors_of_others_are_passed_over_until_the_erased_events_left_their_windows(
    project: project_pb2.Project,
) -> None:
    spans = blind_spans(project, [an_erasure(oldest_s=10_000.0, newest_s=20_000.0)])
    hour = timedelta(hours=1).total_seconds()
    times = [9_999.0, 10_000.0, 20_000.0, 20_000.0 + hour, 20_001.0 + 2 * hour]
    seen = seen_again(spans, np.array([round(one * 1e6) for one in times]))
    assert seen.tolist() == [True, False, False, False, True]


def test_while_an_archive_is_not_rewritten_nothing_can_be_compared(
    project: project_pb2.Project,
) -> None:
    spans = blind_spans(project, [pb.Erasure(fields=["user"])])
    assert not seen_again(spans, np.array([0, 10**15])).any()
    assert blind_spans(project, [pb.Erasure(fields=["user", "country"])]) != []


def test_an_entity_whose_events_were_none_leaves_every_vector(
    project: project_pb2.Project,
) -> None:
    place = pb.ErasurePlace(kind="archive", name="visits", gone=True)
    report = pb.ErasureReport(service="features", places=[place])
    assert blind_spans(project, [pb.Erasure(fields=["user"], reports=[report])]) == []


def test_vectors_of_the_erased_entity_are_known_by_the_fields_of_their_request(
    project: project_pb2.Project,
) -> None:
    inputs = model_inputs(project, "buys")
    country = entity_of(project, {"country": "NL"})
    wanted = Erased(SECRET, [ErasedKey(country.fields, country.digest(SECRET))])
    requests = ['{"country":"NL"}', '{"country":"DE","home":"NL"}', '{"country":"DE"}']
    assert of_erased(inputs, "visits", requests, wanted).tolist() == [True, True, False]


def test_a_document_that_names_the_entity_as_a_category_is_found(
    project: project_pb2.Project, tmp_path: Path
) -> None:
    artifacts = Artifacts(str(tmp_path / "blobs"))
    naming_it = [
        artifacts.put(b'{"categories": {"user": ["bob", "ada"]}}'),
        artifacts.put(b'{"ada": 1}'),
    ]
    artifacts.put(b'{"categories": ["adam"], "scale": 1.5}')
    artifacts.put(b"{ no json: ada")
    found = dict(naming.look(artifacts, erased(project, "ada")))
    assert sorted(found) == sorted(naming_it)
    assert not dict(naming.look(artifacts, erased(project, "eve")))


def a_version(digest: str) -> registry_pb.Version:
    file = registry_pb.Artifact(name="preprocessing.json", sha256=digest)
    return registry_pb.Version(model="buys", number=3, artifacts=[file])


async def test_a_package_that_a_version_needs_stays_and_is_waited_for_and_a_profile_goes(
    work: Work, project: project_pb2.Project, tmp_path: Path
) -> None:
    artifacts = Artifacts(str(tmp_path / "blobs"))
    needed, profile = artifacts.put(b'{"a": "ada"}'), artifacts.put(b'{"b": "ada"}')
    wanted = erased(project, "ada")
    admin = Admin(Broker("127.0.0.1:1"), None, None, None)
    archivers = Archivers(Broker("127.0.0.1:1"), admin, str(tmp_path), 1 << 20)
    account = Account(wanted.keys[0].erasure_id)
    stored = Stored(str(tmp_path / "blobs"), archivers, work)
    await stored.look_for_names(wanted, [account], [a_version(needed)])
    assert artifacts.exists(needed)
    assert not artifacts.exists(profile)
    assert not account.is_gone(PACKAGE)
    artifacts.delete(needed)
    await stored.look_for_names(wanted, [account], [a_version(needed)])
    assert account.is_gone(PACKAGE)


def test_an_archive_that_no_stream_has_is_named(
    work: Work, visits: StreamWork, tmp_path: Path
) -> None:
    Archive(str(tmp_path), visits)
    assert list(stray_archives(str(tmp_path), work)) == []
    DeltaTable.create(str(tmp_path / "old"), schema=pa.schema([pa.field("a", pa.int64())]))
    assert list(stray_archives(str(tmp_path), work)) == ["old"]
