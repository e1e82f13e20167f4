"""An erasure is recorded once, by digest, with its audit, and ends when every service is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidemill.errors import Invalid, NotFound
from tidemill.project import loads
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common.artifacts import Artifacts
from tidemill_common.clock import SystemClock
from tidemill_common.erased_entity import entity_of
from tidemill_common.erasures import Erased, from_reply, key_table
from tidemill_common.postgres import Pool, connected, migrate
from tidemill_common.settings import Dsn
from tidemill_registry import erasures
from tidemill_registry.apply import apply
from tidemill_registry.chaining import Anchors, verify_audit
from tidemill_registry.handlers import Registry
from tidemill_registry.holding import abort, hold, switch
from tidemill_registry.renaming import follow_names
from tidemill_registry.store import Store

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

PROJECT = """
project: shop
streams:
  orders:
    key: [customer]
    fields:
      customer: {type: string, required: true}
"""
ADA = {"customer": "ada-lovelace"}


@pytest.fixture
async def pool(postgres: Dsn, schema: str) -> AsyncIterator[Pool]:
    await migrate(postgres, schema=schema, package="tidemill_registry.sql")
    async with connected(postgres, schema=schema) as opened:
        yield opened


@pytest.fixture
async def registry(pool: Pool, tmp_path: Path) -> Registry:
    made = Registry(Store(pool), Artifacts((tmp_path / "blobs").as_uri()), SystemClock())
    await apply(made, loads(PROJECT).project, author="test", expected="", plan_only=False)
    return made


NAMED = (
    PROJECT.replace(
        "\nstreams:",
        "\nstreams:\n  visits: {key: [buyer], fields: {buyer: {type: string, required: true}}}",
    )
    + """
views:
  spending:
    entity: [customer]
    sources:
      - stream: orders
      - {stream: visits, columns: {customer: buyer}}
    aggregations: [{function: count, windows: [1h]}]
"""
)
"""With a second stream, which calls a customer a buyer."""
COMPUTED = NAMED.replace("customer: buyer}", "customer: lower(buyer)}")
"""A customer is what an expression makes of a buyer."""


def said(service: str, *, done: bool, clean: bool = False, beginning: int = 0) -> pb.ErasureReport:
    place = pb.ErasurePlace(kind="archive", name="orders", removed=3, gone=done)
    return pb.ErasureReport(
        service=service, done=done, state_clean=clean, places=[place], beginning=beginning
    )


async def applied(registry: Registry, text: str) -> None:
    project = loads(text).project
    await apply(registry, project, author="test", expected="", plan_only=False)


async def complete(registry: Registry, erasure_id: str, beginning: int = 0) -> pb.Erasure:
    for service in erasures.SERVICES:
        report = said(service, done=True, clean=service == "features", beginning=beginning)
        ended = await erasures.report(registry, erasure_id, report)
    return ended


async def told(registry: Registry) -> Erased:
    return from_reply(await erasures.keys(registry, -1))


async def test_asking_twice_is_one_erasure_and_the_key_is_stored_nowhere(
    registry: Registry, pool: Pool
) -> None:
    first, created = await erasures.request(registry, ADA, "dpo", "asked by letter")
    again, once_more = await erasures.request(registry, ADA, "someone", "again")
    assert created
    assert not once_more
    assert again == first
    assert await erasures.get(registry, "", ADA) == first
    tables = await pool.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    )
    for row in tables:
        dump = await pool.fetch(f'SELECT t::text AS row FROM "{row["table_name"]}" AS t')  # noqa: S608
        assert not [one for one in dump if "lovelace" in one["row"]], row["table_name"]


async def test_many_who_ask_at_once_for_the_first_time_are_all_recorded_under_one_secret(
    registry: Registry,
) -> None:
    asked = [{"customer": f"customer-{number % 8}"} for number in range(16)]
    found = await asyncio.gather(*(erasures.request(registry, one, "dpo", "") for one in asked))
    assert sum(created for _, created in found) == 8
    for entity, (erasure, _) in zip(asked, found, strict=True):
        assert (await erasures.get(registry, "", entity)).erasure_id == erasure.erasure_id
    assert len(await erasures.listed(registry, 100, open_only=True)) == 8


async def test_pages_of_erasures_hold_each_once_newest_first(registry: Registry) -> None:
    for number in range(5):
        await erasures.request(registry, {"customer": f"c{number}"}, "dpo", "")
    whole = await erasures.listed(registry, 100, open_only=False)
    times = [one.requested_time.ToMicroseconds() for one in whole]
    assert times == sorted(times, reverse=True)
    found: list[pb.Erasure] = []
    for _ in range(3):
        before = found[-1].erasure_id if found else ""
        found += await erasures.listed(registry, 2, open_only=False, before=before)
    assert found == whole
    assert not await erasures.listed(registry, 2, open_only=False, before=whole[-1].erasure_id)


async def test_the_list_lets_services_recognise_the_entity_and_changes_its_revision(
    registry: Registry,
) -> None:
    nothing = await erasures.keys(registry, -1)
    assert not from_reply(nothing)
    made, _ = await erasures.request(registry, ADA, "dpo", "")
    reply = await erasures.keys(registry, nothing.revision)
    assert reply.revision > nothing.revision
    entity = entity_of((await registry.store.run(lambda tx: tx.project())).project, ADA)
    ((hit, _),) = from_reply(reply).found(key_table(["customer"], [entity.key.decode()]))
    assert hit.erasure_id == made.erasure_id
    assert not (await erasures.keys(registry, reply.revision)).keys
    await erasures.report(registry, made.erasure_id, said("features", done=False, clean=True))
    (key,) = (await erasures.keys(registry, reply.revision)).keys
    assert key.state_clean
    assert not key.complete


async def test_an_erasure_is_complete_when_every_service_is_done_and_both_ends_are_audited(
    registry: Registry, tmp_path: Path
) -> None:
    made, _ = await erasures.request(registry, ADA, "dpo", "")
    first, *others = erasures.SERVICES
    for service in others:
        await erasures.report(registry, made.erasure_id, said(service, done=True))
    await erasures.report(registry, made.erasure_id, said(first, done=False))
    assert (await erasures.get(registry, "", ADA)).state == pb.ERASURE_STATE_ERASING
    assert await erasures.listed(registry, 10, open_only=True)
    for _ in range(2):
        ended = await erasures.report(registry, made.erasure_id, said(first, done=True))
        assert ended.state == pb.ERASURE_STATE_COMPLETE
    assert not await erasures.listed(registry, 10, open_only=True)
    await registry.store.run(lambda tx: tx.chain(100))
    entries = await registry.store.run(lambda tx: tx.audit(0, 100, "erasure"))
    actions = [one.entry.action for one in entries if one.entry is not None]
    assert actions == ["erasure.requested", "erasure.completed"]
    assert (await verify_audit(registry.store, Anchors(tmp_path / "anchors"))).intact


async def test_what_cannot_be_erased_is_refused(registry: Registry) -> None:
    with pytest.raises(Invalid, match="no stream"):
        await erasures.request(registry, {"nobody": "x"}, "dpo", "")
    with pytest.raises(Invalid, match="holds the key"):
        await erasures.request(registry, ADA, "dpo", "ada-lovelace wrote to us")
    with pytest.raises(NotFound):
        await erasures.get(registry, "", ADA)
    with pytest.raises(NotFound):
        await erasures.report(registry, "0" * 32, said("features", done=True))
    made, _ = await erasures.request(registry, ADA, "dpo", "")
    with pytest.raises(Invalid, match="none of"):
        await erasures.report(registry, made.erasure_id, said("nobody", done=True))


async def test_a_further_name_opens_what_is_complete_again_until_all_have_looked_anew(
    registry: Registry,
) -> None:
    made, _ = await erasures.request(registry, ADA, "dpo", "")
    other, _ = await erasures.request(registry, {"customer": "bob"}, "dpo", "")
    before = await complete(registry, made.erasure_id)
    assert before.state == pb.ERASURE_STATE_COMPLETE
    first = await told(registry)
    assert not first.of_stream("visits").may_be_in(["buyer"])

    await applied(registry, NAMED)
    again = await erasures.get(registry, made.erasure_id, {})
    assert again.state == pb.ERASURE_STATE_ERASING
    assert again.HasField("reopened_time")
    assert (await erasures.get(registry, other.erasure_id, {})).HasField("reopened_time")
    now = await told(registry)
    assert now.of_stream("visits").may_be_in(["buyer"])
    assert {(one.beginning, one.state_clean, one.complete) for one in now.keys} == {
        (1, False, False)
    }
    assert now.goes_beyond(first)

    late = await complete(registry, made.erasure_id)  # of services that have not heard yet
    assert late.state == pb.ERASURE_STATE_ERASING
    assert not any(one.state_clean for one in (await told(registry)).keys)
    done = await complete(registry, made.erasure_id, beginning=1)
    assert done.state == pb.ERASURE_STATE_COMPLETE
    assert [one.state_clean for one in (await told(registry)).keys] == [True, False]
    await registry.store.run(lambda tx: tx.chain(100))
    subject = f"erasure/{made.erasure_id}"
    entries = await registry.store.run(lambda tx: tx.audit(0, 100, subject))
    found = [one.entry for one in entries if one.entry is not None]
    assert [one.action for one in found] == [
        f"erasure.{what}" for what in ("requested", "completed", "reopened", "completed")
    ]
    assert "customer is buyer in visits" in found[2].details


async def test_names_that_are_known_or_gone_open_nothing_and_are_told(registry: Registry) -> None:
    await applied(registry, NAMED)
    made, _ = await erasures.request(registry, ADA, "dpo", "")
    unaware = await complete(registry, made.erasure_id)  # services that know no names
    assert unaware.state == pb.ERASURE_STATE_ERASING
    assert not unaware.HasField("reopened_time")
    await complete(registry, made.erasure_id, beginning=1)
    await applied(registry, NAMED.replace("[1h]", "[2h]"))
    await registry.store.run(follow_names)
    fewer = NAMED[: NAMED.index("views:")]
    named = await told(registry)
    await applied(registry, fewer)
    assert (await erasures.get(registry, "", ADA)).state == pb.ERASURE_STATE_COMPLETE
    plain = await told(registry)
    assert named.names == {"visits": {"customer": ("buyer",)}}
    assert plain.names == {}


async def test_services_that_know_no_computed_names_complete_nothing_that_has_some(
    registry: Registry,
) -> None:
    await applied(registry, COMPUTED)
    made, _ = await erasures.request(registry, ADA, "dpo", "")
    (key,) = (await erasures.keys(registry, -1)).keys
    assert (key.beginning, key.true_beginning) == (0, 1)
    older = await complete(registry, made.erasure_id, beginning=key.beginning)
    assert older.state == pb.ERASURE_STATE_ERASING
    now = await told(registry)
    assert now.of_stream("visits").columns_in(["buyer"]) == ["buyer"]
    assert [(one.beginning, one.state_clean) for one in now.keys] == [(1, False)]
    done = await complete(registry, made.erasure_id, beginning=1)
    assert done.state == pb.ERASURE_STATE_COMPLETE
    await applied(registry, NAMED)
    (key,) = (await erasures.keys(registry, -1)).keys
    assert (key.beginning, key.true_beginning) == (2, 2)


async def test_an_expression_that_changes_opens_erasures_again_and_one_that_goes_is_forgotten(
    registry: Registry,
) -> None:
    made, _ = await erasures.request(registry, ADA, "dpo", "")
    await complete(registry, made.erasure_id)
    for beginning, text in enumerate([COMPUTED, COMPUTED.replace("lower(", "upper(")], start=1):
        await applied(registry, text)
        await applied(registry, text.replace("[1h]", "[2h]"))
        await registry.store.run(follow_names)
        (key,) = (await told(registry)).keys
        assert (key.beginning, key.complete) == (beginning, False)
        await complete(registry, made.erasure_id, beginning=beginning)
        (key,) = (await told(registry)).keys
        assert key.complete
    await applied(registry, PROJECT)
    now = await told(registry)
    assert now.names == {}
    assert [one.complete for one in now.keys] == [True]
    await registry.store.run(lambda tx: tx.chain(100))
    entries = await registry.store.run(lambda tx: tx.audit(0, 100, f"erasure/{made.erasure_id}"))
    opened = [
        one.entry.details
        for one in entries
        if one.entry is not None and one.entry.action == "erasure.reopened"
    ]
    assert ["customer is lower(buyer) in visits" in one for one in opened] == [True, False]
    assert ["customer is upper(buyer) in visits" in one for one in opened] == [False, True]


async def test_names_of_a_held_project_count_while_it_is_held(registry: Registry) -> None:
    made, _ = await erasures.request(registry, ADA, "dpo", "")
    await complete(registry, made.erasure_id)
    await hold(registry, loads(NAMED).project, author="test", expected="")
    assert (await told(registry)).names
    assert (await erasures.get(registry, "", ADA)).state == pb.ERASURE_STATE_ERASING
    await complete(registry, made.erasure_id, beginning=1)
    await switch(registry, "", author="test")
    assert (await told(registry)).names
    assert (await erasures.get(registry, "", ADA)).state == pb.ERASURE_STATE_COMPLETE
    await hold(registry, loads(PROJECT).project, author="test", expected="")
    assert (await told(registry)).names
    await abort(registry, "", author="test")
    assert (await erasures.get(registry, "", ADA)).state == pb.ERASURE_STATE_COMPLETE


async def test_an_erasure_of_before_the_names_were_kept_is_opened_when_the_registry_starts(
    registry: Registry, pool: Pool
) -> None:
    await applied(registry, NAMED)
    made, _ = await erasures.request(registry, ADA, "dpo", "")
    await complete(registry, made.erasure_id, beginning=1)
    await pool.execute("UPDATE erasure_list SET names = '{}'::jsonb")
    for _ in range(2):
        await registry.store.run(follow_names)
    assert [one.beginning for one in (await told(registry)).keys] == [2]
    await complete(registry, made.erasure_id, beginning=2)
    late = await complete(registry, made.erasure_id, beginning=1)  # of a life that is over
    assert late.state == pb.ERASURE_STATE_COMPLETE
    assert {one.beginning for one in late.reports} == {2}


async def test_whoever_asks_while_a_name_comes_is_looked_for_under_it(registry: Registry) -> None:
    asked = [{"customer": f"customer-{number}"} for number in range(8)]
    await asyncio.gather(
        *(erasures.request(registry, one, "dpo", "") for one in asked[:4]),
        applied(registry, NAMED),
        *(erasures.request(registry, one, "dpo", "") for one in asked[4:]),
    )
    now = await told(registry)
    assert now.names
    assert {one.beginning for one in now.keys} == {1}
