"""Commands: load, decide, save, announce, each in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from tidemill.errors import (
    Conflict,
    FailedPrecondition,
    IllegalTransition,
    Invalid,
    NotFound,
    Violation,
)
from tidemill.registry.v1 import events_pb2
from tidemill_common.artifacts import Artifacts
from tidemill_common.clock import Clock
from tidemill_common.ids import new_id
from tidemill_common.model_package import manifest_from_json
from tidemill_registry import manifest, rollouts
from tidemill_registry.convert import Event, to_event, to_rollout, to_version
from tidemill_registry.rollouts import Moved, Rollout
from tidemill_registry.store import AliasMove, Store, Transaction
from tidemill_registry.versions import (
    ROLLOUT_ALIASES,
    GateResult,
    Stage,
    Version,
    check_promotable,
)

MANIFEST_BYTES = 1 << 20
ATTEMPTS = 5
MAX_NAME = 64
GATEKEEPER = "gatekeeper"


@dataclass(frozen=True, slots=True)
class Registry:
    """What every command works with; `candidate` and `audited` wake the loops."""

    store: Store
    artifacts: Artifacts
    clock: Clock
    candidate: asyncio.Event = field(default_factory=asyncio.Event)
    announced: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, tx: Transaction, key: str, event: Event, traceparent: str = "") -> None:
        """Announce what happened in the transaction that did it."""
        value = to_event(event, event_id=new_id(), at=self.clock.now(), traceparent=traceparent)
        await tx.announce(key, value, traceparent)


async def register(registry: Registry, version: Version, fence: int) -> tuple[Version, bool]:
    """Register a version once per run; its package must lie complete in the artefact store."""
    await asyncio.to_thread(_check_package, registry.artifacts, version)

    async def work(tx: Transaction) -> tuple[Version, bool]:
        registered = await tx.register(version, fence)
        if not registered.is_new or registered.created is None:
            return await tx.version(version.model, registered.number), False
        made = replace(version, number=registered.number, created=registered.created)
        event = events_pb2.VersionRegistered(version=to_version(made))
        await registry.tell(tx, made.model, event, made.traceparent)
        return made, True

    made, is_new = await registry.store.run(work)
    registry.candidate.set()
    registry.announced.set()
    return made, is_new


def _check_package(artifacts: Artifacts, version: Version) -> None:
    try:
        data = artifacts.get(version.digest, at_most=MANIFEST_BYTES)
    except NotFound as error:
        violation = Violation("manifest_digest", f"{version.digest} is not in the artefact store")
        raise Invalid("the manifest is missing", violations=[violation]) from error
    sizes: dict[str, int] = {}
    for artifact in version.artifacts:
        with contextlib.suppress(NotFound, Invalid):
            sizes[artifact.sha256] = artifacts.size(artifact.sha256)
    manifest.check(version.model, manifest_from_json(data), version.artifacts, sizes)


async def get_version(registry: Registry, model: str, number: int, alias: str) -> Version:
    """Return a version by number or alias."""

    async def work(tx: Transaction) -> Version:
        return await tx.version(model, await tx.alias(model, alias) if alias else number)

    return await registry.store.run(work)


async def move_alias(
    registry: Registry,
    model: str,
    alias: str,
    number: int,
    expected: int,
    author: str,
    reason: str,
) -> int:
    """Move an alias by compare-and-set; champion and challenger move with the rollout only."""
    if alias in ROLLOUT_ALIASES:
        raise FailedPrecondition(
            f"alias {alias!r} follows the rollout", hint="promote or roll back instead"
        )
    if not alias.isidentifier() or len(alias) > MAX_NAME:
        raise Invalid(violations=[Violation("alias", f"{alias!r} is not a name")])

    async def work(tx: Transaction) -> AliasMove:
        moved = await tx.move_alias(model, alias, number, expected, author, reason)
        await registry.tell(tx, model, _alias_moved(model, alias, number, moved))
        return moved

    moved = await registry.store.run(work)
    registry.announced.set()
    return moved.generation


def _alias_moved(model: str, alias: str, number: int, moved: AliasMove) -> events_pb2.AliasMoved:
    return events_pb2.AliasMoved(
        model=model,
        alias=alias,
        number=number,
        previous=moved.previous,
        generation=moved.generation,
    )


async def record_gate(
    registry: Registry, version: Version, result: GateResult, author: str
) -> GateResult:
    """Store a gate's result; immutable."""
    return await registry.store.run(lambda tx: tx.record_gate(version, result, author))


async def reject(registry: Registry, version: Version, reason: str) -> None:
    """End a candidate's life with a reason; someone else having decided is no error."""

    async def work(tx: Transaction) -> None:
        await _end_gates(registry, tx, version, Stage.REJECTED, reason)

    await _unless_decided(registry, work)


async def validate(registry: Registry, version: Version, reason: str, canary: float) -> None:
    """Say that every gate passed and open the rollout, in one transaction.

    A version that is older than what takes traffic, or the very same package, is left alone.
    """

    async def work(tx: Transaction) -> None:
        await _end_gates(registry, tx, version, Stage.VALIDATED, reason)
        row = await tx.rollout(version.model)
        same = version.digest in {row.champion_digest, row.challenger_digest}
        if rollouts.supersedes(row, version.number) and not same:
            why = f"version {version.number} passed its gates"
            moved = rollouts.open_rollout(row, version.number, canary, why)
            await _save(registry, tx, moved, "rollout.opened", GATEKEEPER, {})

    for _ in range(ATTEMPTS - 1):
        try:
            return await _unless_decided(registry, work)
        except Conflict:
            continue
    return await _unless_decided(registry, work)


async def _unless_decided(
    registry: Registry, work: Callable[[Transaction], Awaitable[None]]
) -> None:
    try:
        await registry.store.run(work)
    except IllegalTransition:
        return
    registry.announced.set()


async def _end_gates(
    registry: Registry, tx: Transaction, version: Version, stage: Stage, reason: str
) -> None:
    await tx.set_stage(version, stage, reason)
    now = await tx.version(version.model, version.number)
    await tx.note(f"version.{stage}", version.subject, GATEKEEPER, {"reason": reason})
    event = (
        events_pb2.VersionValidated(version=to_version(now))
        if stage is Stage.VALIDATED
        else events_pb2.VersionRejected(version=to_version(now))
    )
    await registry.tell(tx, version.model, event, version.traceparent)


Decide = Callable[[Rollout], Moved]


async def move_rollout(
    registry: Registry,
    model: str,
    move: Decide,
    *,
    action: str,
    author: str,
    expected: int | None = None,
    evidence: dict[str, float] | None = None,
    before: Callable[[Transaction], Awaitable[None]] | None = None,
) -> Rollout:
    """Move a rollout with its aliases, stages, audit and events in one transaction.

    With `expected`, Conflict if the table version is another one. Without it the move is decided
    again on the newest row when someone was faster.
    """

    async def work(tx: Transaction) -> Rollout:
        if before is not None:
            await before(tx)
        row = await tx.rollout(model)
        if expected is not None and row.table_version != expected:
            raise Conflict(f"the rollout of {model!r} is at {row.table_version}, not {expected}")
        return await _save(registry, tx, move(row), action, author, evidence or {})

    for _ in range(ATTEMPTS - 1):
        try:
            result = await registry.store.run(work)
        except Conflict:
            if expected is not None:
                raise
        else:
            registry.announced.set()
            return result
    return await registry.store.run(work)


async def _save(
    registry: Registry,
    tx: Transaction,
    moved: Moved,
    action: str,
    author: str,
    evidence: dict[str, float],
) -> Rollout:
    row = await tx.save_rollout(moved.rollout)
    champion = await tx.version(row.model, row.champion)
    if champion.stage is Stage.ARCHIVED:
        await tx.set_stage(champion, Stage.VALIDATED, row.reason)
    for number in moved.archived:
        version = await tx.version(row.model, number)
        if version.stage is Stage.VALIDATED:
            await tx.set_stage(version, Stage.ARCHIVED, row.reason)
    subject = champion if not row.canary else await tx.version(row.model, row.challenger)
    details = {
        "champion": row.champion,
        "challenger": row.challenger,
        "evidence": evidence,
        "reason": row.reason,
        "share": row.share,
        "table_version": row.table_version,
    }
    await tx.note(action, subject.subject, author, details)
    event = events_pb2.RolloutMoved(rollout=to_rollout(row))
    await registry.tell(tx, row.model, event, subject.traceparent)
    for alias, number, move in await tx.point_aliases(row, author):
        told = _alias_moved(row.model, alias, number, move)
        await registry.tell(tx, row.model, told, subject.traceparent)
    return row


async def promote(registry: Registry, model: str, number: int, author: str, reason: str) -> Rollout:
    """Make a version that passed its gates champion at once."""

    async def before(tx: Transaction) -> None:
        check_promotable(await tx.version(model, number))

    text = reason or f"promoted by {author or 'a person'}"
    return await move_rollout(
        registry,
        model,
        lambda row: rollouts.promote(row, number, text),
        action="rollout.promoted",
        author=author,
        before=before,
    )


async def roll_back(registry: Registry, model: str, author: str, reason: str) -> Rollout:
    """Return to the previous champion."""
    text = reason or f"rolled back by {author or 'a person'}"

    async def before(tx: Transaction) -> None:
        if not await tx.rollouts(model):
            raise NotFound(f"model {model!r} has no rollout")

    return await move_rollout(
        registry,
        model,
        lambda row: rollouts.roll_back(row, text),
        action="rollout.rolled_back",
        author=author,
        before=before,
    )
