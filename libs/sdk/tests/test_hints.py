"""What an error tells a person to type is a command that exists, whichever service says it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from tidemill.cli.app import app

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ("libs/*/tidemill*", "services/*/tidemill_*", "deploy/local/tidemill_local")
COMMAND = re.compile(r"\btidemill((?: [a-z]+)+)")


def the_hints() -> Iterator[tuple[str, str]]:
    """Give every text that is passed, or kept, as a hint, with the file it stands in."""
    for pattern in SOURCES:
        for path in sorted(one for root in ROOT.glob(pattern) for one in root.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                for value in hinting(node):
                    texts = [
                        one.value
                        for one in ast.walk(value)
                        if isinstance(one, ast.Constant) and isinstance(one.value, str)
                    ]
                    yield path.relative_to(ROOT).as_posix(), "…".join(texts)


def hinting(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.keyword) and node.arg == "hint":
        yield node.value
    if isinstance(node, ast.Assign) and "hint" in [ast.unparse(one) for one in node.targets]:
        yield node.value


COMMANDS = [
    (path, words) for path, text in the_hints() for words in COMMAND.findall(text.replace("`", " "))
]


def test_hints_are_found() -> None:
    assert len({path for path, _ in COMMANDS}) > 5


@pytest.mark.parametrize(("path", "words"), COMMANDS)
def test_a_hint_names_a_command_that_exists(path: str, words: str) -> None:
    command: Any = get_command(app)
    groups = [one for one in command.commands.values() if isinstance(one, TyperGroup)]
    verbs = {name for group in groups for name in group.commands}
    for word in words.split():
        if isinstance(command, TyperGroup):
            assert word in command.commands, f"{path}: no command tidemill{words}"
            command = command.commands[word]
        else:  # prose, unless it was meant as a command of a group
            assert word not in verbs, f"{path}: no command tidemill{words}"
    assert not isinstance(command, TyperGroup), f"{path}: tidemill{words} is a group"
