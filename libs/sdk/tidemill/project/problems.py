"""What is wrong with a project file, and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tidemill.errors import Invalid, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CLOSE = 0.6


@dataclass(frozen=True, slots=True)
class Location:
    """A line of a file; line 0 means that it is not known."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """Read as file:line, as compilers write it."""
        return f"{self.file}:{self.line}" if self.line else self.file


NOWHERE = Location()


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the field by its path, the rule it breaks, and what to do about it."""

    path: str
    message: str
    hint: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """Read as one line for a terminal."""
        where = str(Location(self.file, self.line))
        text = ": ".join(part for part in (where, self.path, self.message) if part)
        return f"{text} ({self.hint})" if self.hint else text


@dataclass(slots=True)
class Report:
    """Gathers problems; knows from which line each path came."""

    locations: Mapping[str, Location] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: str, message: str, hint: str = "") -> None:
        """Note a mistake, unless the same path has one already."""
        if not any(problem.path == path for problem in self.problems):
            where = locate(path, self.locations)
            self.problems.append(Problem(path, message, hint, where.file, where.line))

    def sorted(self) -> list[Problem]:
        """Return all of them in the order of the file."""
        return sorted(self.problems, key=lambda problem: (problem.file, problem.line))


def outside(path: str) -> Iterable[str]:
    """Yield the paths that contain this one, innermost first, without the sections."""
    while path.count(".") >= 2 or path.endswith("]"):
        path = path[: max(path.rfind("."), path.rfind("["))]
        yield path


def locate(path: str, locations: Mapping[str, Location]) -> Location:
    """Return the line of a path, or of the nearest thing around it that has one."""
    while path and path not in locations:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return locations.get(path, NOWHERE)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the nearest known word, else list what there is."""
    names = sorted(set(known))
    near = get_close_matches(word, names, n=1, cutoff=CLOSE)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else ""


def refused(problems: Sequence[Problem], source: str) -> Invalid:
    """Make the one error that tells of every problem."""
    count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
    lines = "\n".join(f"  {problem}" for problem in problems)
    violations = [
        Violation(problem.path, str(Problem("", *_rest(problem)))) for problem in problems
    ]
    return Invalid(f"{source}: {count}\n{lines}", violations=violations)


def _rest(problem: Problem) -> tuple[str, str, str, int]:
    return problem.message, problem.hint, problem.file, problem.line
