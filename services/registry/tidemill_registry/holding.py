"""The commands about the generation that is built beside the current one until somebody decides."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Conflict, FailedPrecondition
from tidemill.registry.v1 import events_pb2
from tidemill_registry.apply import changes_of, checked, current_project
from tidemill_registry.handlers import Registry
from tidemill_registry.plan import Change
from tidemill_registry.projects import HeldProject, StoredProject
from tidemill_registry.renaming import follow_names
from tidemill_registry.store import Transaction


@dataclass(frozen=True, slots=True)
class Held:
    """What a held project will change, and whether this call is what holds it."""

    generation: str
    changes: list[Change]
    held: bool


async def hold(registry: Registry, project: pb.Project, *, author: str, expected: str) -> Held:
    """Check a project and let it be built beside the current one, in place of another.

    Nothing is changed by one that is held already, or current.
    """
    wanted, digest = checked(project)

    async def work(tx: Transaction) -> Held:
        current = await current_project(tx)
        if not current.number:
            raise FailedPrecondition(
                "no project has been applied: there is nothing to hold one beside",
                hint="tidemill apply",
            )
        changes = await changes_of(tx, current, wanted, expected)
        held = await tx.held()
        if digest in {current.generation, held.generation if held is not None else ""}:
            return Held(digest, changes, held=False)
        await tx.hold(wanted, digest, author, current.number)
        await follow_names(tx)
        event = events_pb2.ProjectHeld(generation=digest)
        await registry.tell(tx, f"project/{wanted.name}", event)
        return Held(digest, changes, held=True)

    done = await registry.store.run(work)
    registry.announced.set()
    return done


async def switch(registry: Registry, generation: str, *, author: str) -> StoredProject:
    """Make the held generation current; what is current by this name already stays so."""

    async def work(tx: Transaction) -> StoredProject:
        held = await tx.held()
        current = await current_project(tx)  # afterwards: who was faster has made it this one
        if generation and current.generation == generation:
            return current
        meant = _meant(held, generation)
        if meant is None:
            raise FailedPrecondition("no generation is held", hint="tidemill apply --hold-switch")
        stored = await tx.apply(meant.project, meant.generation, author, current.number)
        await tx.drop_held()
        await follow_names(tx)
        event = events_pb2.ProjectApplied(generation=meant.generation, number=stored.number)
        await registry.tell(tx, f"project/{meant.project.name}", event)
        return stored

    stored = await registry.store.run(work)
    registry.announced.set()
    return stored


async def abort(registry: Registry, generation: str, *, author: str) -> str:
    """Hold nothing any more; return the generation that was held, empty if none was."""

    async def work(tx: Transaction) -> str:
        held = _meant(await tx.held(), generation)
        if held is None:
            return ""
        await tx.drop_held()
        await follow_names(tx)
        subject = f"project/{held.project.name}"
        await tx.note("project.aborted", subject, author, {"generation": held.generation})
        await registry.tell(tx, subject, events_pb2.ProjectAborted(generation=held.generation))
        return held.generation

    dropped = await registry.store.run(work)
    registry.announced.set()
    return dropped


def _meant(held: HeldProject | None, generation: str) -> HeldProject | None:
    """Return what is held; Conflict if the caller means another generation."""
    if held is not None and generation and held.generation != generation:
        raise Conflict(f"generation {held.generation} is held, not {generation}")
    return held
