"""The command that makes a project current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import Conflict, FailedPrecondition, Invalid, NotFound, Violation
from tidemill.project import Problem, check, generation, normalise
from tidemill.registry.v1 import events_pb2
from tidemill_registry import engine
from tidemill_registry.handlers import Registry
from tidemill_registry.plan import Change, declares_more, incompatible, plan
from tidemill_registry.projects import StoredProject
from tidemill_registry.renaming import follow_names
from tidemill_registry.store import Transaction


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a project changes, and whether it was done."""

    generation: str
    number: int
    changes: list[Change]
    applied: bool


async def apply(
    registry: Registry, project: pb.Project, *, author: str, expected: str, plan_only: bool
) -> Applied:
    """Check a project, compare it with the current one, and make it current.

    Nothing is changed by a plan, nor by a project that is current already. While another one is
    held, FailedPrecondition: a person decides first what becomes of that.
    """
    wanted, digest = checked(project)

    async def work(tx: Transaction) -> Applied:
        current = await current_project(tx)
        changes = await changes_of(tx, current, wanted, expected)
        if plan_only or current.generation == digest:
            return Applied(digest, current.number, changes, applied=False)
        held, number = await tx.held(), current.number
        if held is not None and held.generation != digest:
            raise FailedPrecondition(
                f"generation {held.generation[:12]} is held beside the current one",
                hint="tidemill features switch makes it current, --abort drops it",
            )
        stored = await tx.apply(wanted, digest, author, number)
        await follow_names(tx)
        event = events_pb2.ProjectApplied(generation=digest, number=stored.number)
        await registry.tell(tx, f"project/{wanted.name}", event)
        return Applied(digest, stored.number, changes, applied=True)

    applied = await registry.store.run(work)
    registry.announced.set()
    return applied


def checked(project: pb.Project) -> tuple[pb.Project, str]:
    """Return a project normalised, and its generation; Invalid names every mistake."""
    problems = check(project)
    if problems:
        violations = [Violation(problem.path, _said(problem)) for problem in problems]
        raise Invalid(f"the project has {len(problems)} mistakes", violations=violations)
    wanted = normalise(project)
    if cannot := engine.violations(wanted):
        raise Invalid(f"the platform cannot run {len(cannot)} definitions", violations=cannot)
    return wanted, generation(wanted)


async def changes_of(
    tx: Transaction, current: StoredProject, wanted: pb.Project, expected: str
) -> list[Change]:
    """Return what a project would change.

    Conflict if the current generation is not the expected one, FailedPrecondition or Invalid if it
    can never become this one.
    """
    if expected and expected != current.generation:
        raise Conflict(f"the current generation is {current.generation or 'none'}, not {expected}")
    history = [current.project]
    if declares_more(current.project, wanted):
        history = await tx.applied_projects()
    _check_compatible(current.project, history, wanted)
    return plan(current.project, wanted)


def _said(problem: Problem) -> str:
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


def _check_compatible(before: pb.Project, history: Sequence[pb.Project], after: pb.Project) -> None:
    if before.name and before.name != after.name:
        raise FailedPrecondition(
            f"this stack holds project {before.name!r}, not {after.name!r}",
            hint="one stack holds one project: start another, or keep the name",
        )
    if violations := incompatible(history, after):
        raise Invalid("streams cannot change like this", violations=violations)


async def current_project(tx: Transaction) -> StoredProject:
    """Return the current project; an empty one with number 0 before the first."""
    try:
        return await tx.project()
    except NotFound:
        return StoredProject(pb.Project(), "", 0, None)
