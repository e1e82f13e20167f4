"""Reads a project file, YAML or Python, into its protobuf message."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import NotFound
from tidemill.project.builders_model import Project as Built
from tidemill.project.check import check
from tidemill.project.decode import decode
from tidemill.project.nodes import MAX_BYTES, Node, parse_yaml
from tidemill.project.problems import Location, Problem, outside, refused

if TYPE_CHECKING:
    import os

# What a user's module raises by mistake; anything else is shown as it is.
MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    SystemExit,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A project as far as it could be read, every mistake, and the line of each path."""

    project: pb.Project
    problems: list[Problem] = field(default_factory=list)
    locations: dict[str, Location] = field(default_factory=dict)


def load(path: str | os.PathLike[str]) -> pb.Project:
    """Return the project of a file as it is written; Invalid names every mistake at once."""
    loaded = read(path)
    if loaded.problems:
        raise refused(loaded.problems, str(path))
    return loaded.project


def read(path: str | os.PathLike[str]) -> Loaded:
    """Read and check a file; mistakes are returned, only a missing file raises."""
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"no project file {str(path)!r}", hint="name one with --file")
    if path.suffix == ".py":
        root, problems = _python(path)
    else:
        root, problems = _yaml(path)
    return loaded_from(root, problems, str(path))


def loads(text: str, file: str = "tidemill.yaml") -> Loaded:
    """Read and check YAML from a text."""
    root, problems = parse_yaml(text, file)
    return loaded_from(root, problems, file)


def loaded_from(root: Node | None, problems: list[Problem], file: str) -> Loaded:
    """Decode and check; what already failed by its form is not reported a second time."""
    if root is None:
        return Loaded(pb.Project(), problems)
    decoded = decode(root)
    checked = check(decoded.project, decoded.locations)
    found = [*problems, *decoded.problems]
    found += [problem for problem in checked if not _follows(problem.path, decoded.broken)]
    found = sorted((_placed(problem, file) for problem in found), key=lambda each: each.line)
    return Loaded(decoded.project, found, decoded.locations)


def _follows(path: str, broken: frozenset[str]) -> bool:
    """Tell whether a mistake is only the consequence of a value that could not be taken."""
    if not broken.isdisjoint((path, *outside(path))):
        return True
    inside = (f"{path}.", f"{path}[")
    return path.count(".") > 1 and any(other.startswith(inside) for other in broken)


def _placed(problem: Problem, file: str) -> Problem:
    if problem.file:
        return problem
    return Problem(problem.path, problem.message, problem.hint, file, problem.line)


def _yaml(path: Path) -> tuple[Node | None, list[Problem]]:
    if path.stat().st_size > MAX_BYTES:
        return None, [Problem("", f"the file is larger than {MAX_BYTES} bytes", "", str(path), 1)]
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        return None, [Problem("", f"the file is not UTF-8: {error.reason}", "", str(path), 1)]
    return parse_yaml(text, str(path))


def _python(path: Path) -> tuple[Node | None, list[Problem]]:
    """Run the module that the user named and take its `project`."""
    spec = importlib.util.spec_from_file_location("tidemill_project_file", path)
    if spec is None or spec.loader is None:
        raise NotFound(f"{str(path)!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except MISTAKES as error:
        message = f"{type(error).__name__}: {error}"
        return None, [Problem("", message, "", str(path), _line(error, path))]
    finally:
        sys.dont_write_bytecode = before
    built = getattr(module, "project", None)
    if not isinstance(built, Built):
        hint = "from tidemill.project import Project; project = Project(...)"
        return None, [Problem("", "the module has no `project`", hint, str(path), 1)]
    return built.node(), []


def _line(error: BaseException, path: Path) -> int:
    if isinstance(error, SyntaxError):
        return error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno or 1 for frame in frames if Path(frame.filename) == path]
    return lines[-1] if lines else 1
