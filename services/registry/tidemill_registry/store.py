"""PostgreSQL behind the handlers: every statement stands in sql/queries, one a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

import asyncpg

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import AlreadyExists, Conflict, Fenced, IllegalTransition, NotFound
from tidemill_common import topics
from tidemill_common.ids import canonical_json
from tidemill_common.postgres import Connection, Pool, announce, queries
from tidemill_registry import audit
from tidemill_registry.projects import HeldProject, StoredProject
from tidemill_registry.rollouts import Rollout
from tidemill_registry.versions import (
    CHALLENGER,
    CHAMPION,
    Artifact,
    GateResult,
    Stage,
    Verdict,
    Version,
    sources,
)

QUERIES: Final = queries("tidemill_registry.sql.queries")
TRACEPARENT: Final = "traceparent"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registered:
    """A version, and whether this call made it."""

    number: int
    created: datetime | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class AliasMove:
    """How an alias moved."""

    generation: int
    previous: int


class Transaction:
    """Reads and writes of one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Work on a connection that is in a transaction."""
        self.connection = connection

    async def _row(self, query: str, *args: object) -> Any:
        return await self.connection.fetchrow(QUERIES[query], *args)

    async def _rows(self, query: str, *args: object) -> Sequence[Any]:
        return await self.connection.fetch(QUERIES[query], *args)

    async def announce(self, key: str, value: bytes, traceparent: str = "") -> None:
        """Put an event into the outbox; it carries on the trace that it belongs to."""
        headers = [(TRACEPARENT, traceparent.encode())] if traceparent else []
        await announce(self.connection, topics.REGISTRY_EVENTS.name, key, value, headers)

    async def note(self, action: str, subject: str, author: str, details: object) -> None:
        """Write an audit entry."""
        await self._row("audit", action, subject, author, text_of(details))

    async def register(self, version: Version, fence: int) -> Registered:
        """Store a version; Fenced for an outdated fence, the same one for a repeat of its run."""
        artifacts = [
            {"name": one.name, "sha256": one.sha256, "size": one.size} for one in version.artifacts
        ]
        row = await self._row(
            "register",
            version.model,
            version.run_id,
            fence,
            version.digest,
            artifacts,
            version.lineage,
            dict(version.metrics),
            version.traceparent,
            version.data_time,
            text_of({"digest": version.digest, "fence": fence}),
        )
        if row["fence"] is None:
            held = await self.connection.fetchval(QUERIES["held_fence"], version.run_id)
            raise Fenced(f"run {version.run_id} is held with fence {held}, not {fence}")
        if row["existing_number"] is None:
            return Registered(row["number"], row["created_at"], is_new=True)
        if row["existing_model"] != version.model:
            raise AlreadyExists(f"run {version.run_id} registered {row['existing_model']!r}")
        return Registered(row["existing_number"], None, is_new=False)

    async def versions(
        self, model: str, *, number: int | None = None, digest: str | None = None, limit: int = 1
    ) -> list[Version]:
        """Return versions, newest first, with their gate results."""
        rows = await self._rows("versions", model, number, digest, limit)
        results = await self._rows("gate_results", model, list({row["digest"] for row in rows}))
        by_digest: dict[str, list[GateResult]] = {}
        for row in results:
            by_digest.setdefault(row["digest"], []).append(_gate_result(row))
        return [_version(row, by_digest.get(row["digest"], [])) for row in rows]

    async def version(self, model: str, number: int) -> Version:
        """Return one version or raise NotFound."""
        found = await self.versions(model, number=number)
        if not found:
            raise NotFound(f"no version {model}/{number}")
        return found[0]

    async def alias(self, model: str, alias: str) -> int:
        """Return the number that an alias points to, or raise NotFound."""
        row = await self._row("alias", model, alias)
        if row is None:
            raise NotFound(f"model {model!r} has no alias {alias!r}")
        return int(row["number"])

    async def move_alias(
        self, model: str, alias: str, number: int, expected: int, author: str, reason: str
    ) -> AliasMove:
        """Move an alias if its generation is the expected one; Conflict otherwise."""
        details = text_of({"alias": alias, "number": number, "reason": reason})
        row = await self._row("move_alias", model, alias, number, expected, author, reason, details)
        if not row["known"]:
            raise NotFound(f"no version {model}/{number}")
        if row["generation"] is None:
            held = row["held_generation"]
            raise Conflict(f"alias {alias!r} of {model!r} is at generation {held}, not {expected}")
        return AliasMove(row["generation"], row["previous"])

    async def set_stage(self, version: Version, to: Stage, reason: str) -> None:
        """Move a version to a stage that is reachable from where it is; IllegalTransition else."""
        row = await self._row("set_stage", version.model, version.number, sources(to), to, reason)
        if row is None:
            raise IllegalTransition(f"{version.subject} cannot become {to}")

    async def record_gate(self, version: Version, result: GateResult, author: str) -> GateResult:
        """Store a result once; what was stored first stays, and a different one is refused."""
        details = {"gate": result.gate, "verdict": result.verdict, "reason": result.reason}
        made = await self._row(
            "record_gate",
            version.model,
            version.digest,
            result.gate,
            result.verdict,
            result.value,
            result.ci_low,
            result.ci_high,
            result.threshold,
            result.reason,
            dict(result.evidence),
            version.subject,
            author,
            text_of(details),
        )
        if made is not None:
            return result
        rows = await self._rows("gate_results", version.model, [version.digest])
        first = next(_gate_result(row) for row in rows if row["gate"] == result.gate)
        if not first.says_the_same(result):
            raise AlreadyExists(
                f"gate {result.gate!r} of {version.subject} has said {first.verdict} already"
            )
        return first

    async def candidates(self, limit: int) -> list[tuple[str, int]]:
        """Return what waits for its gates, oldest first."""
        return [(row["model"], row["number"]) for row in await self._rows("candidates", limit)]

    async def rollouts(self, model: str | None = None) -> list[Rollout]:
        """Return the rollout rows."""
        return [_rollout(row) for row in await self._rows("rollouts", model)]

    async def rollout(self, model: str) -> Rollout:
        """Return one rollout row; an empty one if nothing takes traffic yet."""
        found = await self.rollouts(model)
        return found[0] if found else Rollout(model)

    async def save_rollout(self, row: Rollout) -> Rollout:
        """Store a row by compare-and-set on its table version; Conflict if someone was faster."""
        saved = await self._row(
            "save_rollout",
            row.model,
            row.table_version,
            row.champion,
            row.challenger,
            row.previous_champion,
            row.share,
            row.salt,
            row.reason,
        )
        if saved is None:
            raise Conflict(f"the rollout of {row.model!r} is not at {row.table_version} any more")
        return await self.rollout(row.model)

    async def point_aliases(self, row: Rollout, author: str) -> list[tuple[str, int, AliasMove]]:
        """Let champion and challenger follow the rollout; return what moved."""
        moved = []
        for alias, number in ((CHAMPION, row.champion), (CHALLENGER, row.challenger)):
            if number:
                args = (row.model, alias, number, author, row.reason)
                found = await self._row("put_alias", *args)
            else:
                found = await self._row("drop_alias", row.model, alias, author, row.reason)
            if found is not None:
                moved.append((alias, number, AliasMove(found["generation"], found["previous"])))
        return moved

    async def project(self, generation: str = "") -> StoredProject:
        """Return the current project or one generation; NotFound if there is none."""
        row = await (
            self._row("project", generation) if generation else self._row("current_project")
        )
        if row is None:
            which = f"no generation {generation}" if generation else "no project has been applied"
            raise NotFound(which, hint="tidemill apply")
        project = pb.Project.FromString(row["project"])
        return StoredProject(project, row["digest"], row["number"], row["applied_at"])

    async def applied_projects(self) -> list[pb.Project]:
        """Return every project that was ever current, oldest first; the current one is the last."""
        rows = await self._rows("applied_projects")
        return [pb.Project.FromString(row["project"]) for row in rows]

    async def apply(
        self, project: pb.Project, generation: str, author: str, expected: int
    ) -> StoredProject:
        """Make a generation current after number `expected`; Conflict if someone was faster."""
        row = await self._row(
            "apply",
            generation,
            project.SerializeToString(deterministic=True),
            author,
            expected,
            f"project/{project.name}",
            text_of({"generation": generation, "number": expected + 1}),
        )
        if row is None:
            raise Conflict("another project was applied meanwhile")
        return StoredProject(project, generation, row["number"], row["applied_at"])

    async def held(self) -> HeldProject | None:
        """Return what is held beside the current project."""
        row = await self._row("held")
        if row is None:
            return None
        project = pb.Project.FromString(row["project"])
        return HeldProject(project, row["digest"], row["author"], row["held_at"])

    async def hold(self, project: pb.Project, generation: str, author: str, expected: int) -> None:
        """Hold a generation beside number `expected`; Conflict if that is not current any more."""
        row = await self._row(
            "hold",
            generation,
            project.SerializeToString(deterministic=True),
            author,
            expected,
            f"project/{project.name}",
            text_of({"generation": generation, "beside": expected}),
        )
        if row is None:
            raise Conflict("another project was applied meanwhile")

    async def drop_held(self) -> None:
        """Hold nothing any more."""
        await self._row("drop_held")

    async def head(self) -> tuple[audit.Head, str, int]:
        """Return the end of the audit chain, and the transaction and id of its last entry."""
        row = await self._row("audit_head")
        if row is None:
            return audit.Head(), "0", 0
        return audit.Head(row["sequence"], row["hash"]), row["txid"], row["id"]

    async def chain(self, limit: int) -> tuple[audit.Head, int]:
        """Chain the next settled entries in commit order; return the head and their number."""
        head, txid, last = await self.head()
        rows = await self._rows("audit_waiting", txid, last, limit)
        links = audit.chain(head, (_entry(row, row["id"]) for row in rows))
        if not links:
            return head, 0
        await self._row(
            "audit_append",
            [link.sequence for link in links],
            [link.entry_id for link in links],
            [link.previous_hash for link in links],
            [link.hash for link in links],
        )
        return audit.Head(links[-1].sequence, links[-1].hash), len(links)

    async def audit(
        self, after: int, limit: int, subject: str | None = None
    ) -> list[audit.Chained]:
        """Return chained entries in order, of one subject and all below it."""
        return [_chained(row) for row in await self._rows("audit_list", after, limit, subject)]

    async def unchained(self) -> int | None:
        """Return the id of an entry that lies before the head and in no link, if there is one."""
        row = await self._row("audit_unchained")
        return None if row is None else int(row["id"])


class Store:
    """The registry's schema."""

    def __init__(self, pool: Pool) -> None:
        """Use a pool of the schema `registry`."""
        self.pool = pool

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run work in one transaction, the whole of it again where the database asks for that."""

        async def once(connection: Connection) -> T:
            return await work(Transaction(connection))

        try:
            return await self.pool.retrying(once)
        except asyncpg.UniqueViolationError:
            pass  # two made the same thing at once: the second now finds what the first made
        try:
            return await self.pool.retrying(once)
        except asyncpg.UniqueViolationError as error:
            raise Conflict("someone else was faster; read again") from error


def text_of(details: object) -> str:
    """Write details as canonical JSON: the exact text is hashed."""
    return canonical_json(details).decode()


def _version(row: Mapping[str, Any], results: list[GateResult]) -> Version:
    return Version(
        model=row["model"],
        number=row["number"],
        digest=row["digest"],
        run_id=row["run_id"],
        artifacts=tuple(Artifact(**artifact) for artifact in row["artifacts"]),
        lineage=row["lineage"],
        metrics=row["metrics"],
        created=row["created_at"],
        stage=Stage(row["stage"]),
        reason=row["reason"],
        traceparent=row["traceparent"],
        data_time=row["data_time"],
        aliases=tuple(row["aliases"]),
        gate_results=tuple(results),
    )


def _gate_result(row: Mapping[str, Any]) -> GateResult:
    return GateResult(
        gate=row["gate"],
        verdict=Verdict(row["verdict"]),
        value=row["value"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        threshold=row["threshold"],
        reason=row["reason"],
        evidence=row["evidence"],
        time=row["recorded_at"],
    )


def _rollout(row: Mapping[str, Any]) -> Rollout:
    values = dict(row)
    return replace(Rollout(values.pop("model")), changed=values.pop("changed_at"), **values)


def _entry(row: Mapping[str, Any], number: int) -> audit.Entry:
    return audit.Entry(
        number, row["action"], row["subject"], row["author"], row["details"], row["at"]
    )


def _chained(row: Mapping[str, Any]) -> audit.Chained:
    link = audit.Link(row["sequence"], row["entry_id"], row["previous_hash"], row["hash"])
    return audit.Chained(link, None if row["action"] is None else _entry(row, row["entry_id"]))
