"""Erasures: recorded with their audit entry, reported on by services, complete when all are done.

What is stored and audited is the keyed digest of the entity, never its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidemill.errors import Invalid, NotFound, Violation
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common.entity_names import computed_fields, to_proto
from tidemill_common.erased_entity import Entity, entity_of
from tidemill_registry.convert import to_timestamp
from tidemill_registry.handlers import Registry
from tidemill_registry.renaming import known_names, secret
from tidemill_registry.store import QUERIES, Transaction, text_of

SERVICES: Final = ("features", "monitoring")
"""Those that keep events of entities; an erasure is complete when each has said so."""
SHORTEST_SAID: Final = 3
"""A value of fewer characters in a reason is taken for a word."""


async def request(
    registry: Registry, values: Mapping[str, str], author: str, reason: str
) -> tuple[pb.Erasure, bool]:
    """Record that an entity is to be erased; a repeat gives the erasure that there is."""
    _check_reason(values, reason)

    async def work(tx: Transaction) -> tuple[pb.Erasure, bool]:
        entity = entity_of((await tx.project()).project, values)
        digest = entity.digest(await secret(tx))
        name = digest.hex()
        details = text_of({"fields": list(entity.fields), "reason": reason})
        made = await tx.connection.fetchrow(
            QUERIES["erasure_request"],
            name,
            list(entity.fields),
            digest,
            author,
            reason,
            _subject(name),
            details,
            await _first_beginning(tx, entity),
        )
        if made is not None:
            await tx.connection.execute(QUERIES["erasure_revise"])
        return await _load(tx, name), made is not None

    return await registry.store.run(work)


async def get(registry: Registry, erasure_id: str, values: Mapping[str, str]) -> pb.Erasure:
    """Return one erasure; NotFound if nobody asked for it."""

    async def work(tx: Transaction) -> pb.Erasure:
        if erasure_id:
            return await _load(tx, erasure_id)
        entity = entity_of((await tx.project()).project, values)
        return await _load(tx, await _id(tx, entity))

    return await registry.store.run(work)


async def listed(
    registry: Registry, limit: int, *, open_only: bool, before: str = ""
) -> list[pb.Erasure]:
    """Return erasures, newest first; `before`: only those that were asked for earlier than it."""
    return await registry.store.run(
        lambda tx: _find(tx, None, limit, open_only=open_only, before=before or None)
    )


async def keys(registry: Registry, known_revision: int) -> pb.ListErasedKeysResponse:
    """Return the keys that are refused, unless the caller has this revision."""

    async def work(tx: Transaction) -> pb.ListErasedKeysResponse:
        head = await tx.connection.fetchrow(QUERIES["erasure_list"])
        if head is None:
            return pb.ListErasedKeysResponse()
        reply = pb.ListErasedKeysResponse(revision=head["revision"], secret=head["secret"])
        if head["revision"] != known_revision:
            rows = await tx.connection.fetch(QUERIES["erasure_keys"])
            names = await known_names(tx)
            reply.keys.extend(_told(row, computed_fields(names)) for row in rows)
            reply.names.extend(to_proto(names))
        return reply

    return await registry.store.run(work)


async def report(registry: Registry, erasure_id: str, said: pb.ErasureReport) -> pb.Erasure:
    """Keep what a service says of its part; the last one to be done completes the erasure.

    What it found before the erasure began again is kept and completes nothing.
    """
    if said.service not in SERVICES:
        known = ", ".join(SERVICES)
        violation = Violation("report.service", f"{said.service!r} is none of {known}")
        raise Invalid(violations=[violation])
    said.time.FromDatetime(registry.clock.now())

    async def work(tx: Transaction) -> pb.Erasure:
        await _load(tx, erasure_id)
        was_clean = await tx.connection.fetchval(
            QUERIES["erasure_report"],
            erasure_id,
            said.service,
            said.SerializeToString(deterministic=True),
            said.state_clean,
            said.done,
            said.beginning,
        )
        details = text_of(_summary((await _load(tx, erasure_id)).reports))
        ended = await tx.connection.fetchrow(
            QUERIES["erasure_complete"],
            erasure_id,
            list(SERVICES),
            _subject(erasure_id),
            said.service,
            details,
        )
        if ended is not None or said.state_clean != was_clean:
            await tx.connection.execute(QUERIES["erasure_revise"])
        return await _load(tx, erasure_id)

    return await registry.store.run(work)


def _summary(reports: Sequence[pb.ErasureReport]) -> dict[str, Any]:
    """Return what the audit says of a finished erasure: nothing of the entity itself."""
    return {
        "places": sum(len(one.places) for one in reports),
        "removed": sum(place.removed for one in reports for place in one.places),
        "training_sets": [held.digest for one in reports for held in one.training_sets],
    }


def _check_reason(values: Mapping[str, str], reason: str) -> None:
    """A reason is kept for ever: it must not say the key."""
    if any(len(value) >= SHORTEST_SAID and value in reason for value in values.values()):
        raise Invalid(violations=[Violation("reason", "holds the key that is to be erased")])


async def _first_beginning(tx: Transaction, entity: Entity) -> int:
    """Return 1 if a stream has another name for a field: no service that knows none is done."""
    names = (await known_names(tx)).values()
    return int(any(field in called for called in names for field in entity.fields))


def _told(row: Any, computed: set[str]) -> pb.ErasedKey:
    """Return a key as services are told it: those that know no computed names complete nothing."""
    key = pb.ErasedKey(**dict(row), true_beginning=row["beginning"])
    if not computed.isdisjoint(key.fields):
        key.beginning = 0
    return key


async def _id(tx: Transaction, entity: Entity) -> str:
    head = await tx.connection.fetchrow(QUERIES["erasure_list"])
    if head is None:
        raise NotFound("nothing has ever been erased")
    return entity.digest(bytes(head["secret"])).hex()


async def _load(tx: Transaction, erasure_id: str) -> pb.Erasure:
    found = await _find(tx, erasure_id, 1, open_only=False)
    if not found:
        raise NotFound("no such erasure", hint="tidemill erasures list")
    return found[0]


async def _find(
    tx: Transaction,
    erasure_id: str | None,
    limit: int,
    *,
    open_only: bool,
    before: str | None = None,
) -> list[pb.Erasure]:
    rows = await tx.connection.fetch(QUERIES["erasures"], erasure_id, open_only, limit, before)
    found = {row["erasure_id"]: _erasure(row) for row in rows}
    for row in await tx.connection.fetch(QUERIES["erasure_reports"], list(found)):
        found[row["erasure_id"]].reports.append(pb.ErasureReport.FromString(row["report"]))
    return list(found.values())


def _erasure(row: Any) -> pb.Erasure:
    done, again = row["completed_at"], row["reopened_at"]
    return pb.Erasure(
        erasure_id=row["erasure_id"],
        fields=row["fields"],
        state=pb.ERASURE_STATE_COMPLETE if done else pb.ERASURE_STATE_ERASING,
        author=row["author"],
        reason=row["reason"],
        requested_time=to_timestamp(row["requested_at"]),
        completed_time=to_timestamp(done) if done else None,
        reopened_time=to_timestamp(again) if again else None,
    )


def _subject(erasure_id: str) -> str:
    return f"erasure/{erasure_id}"
