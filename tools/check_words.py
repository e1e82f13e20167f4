"""Refuse what the project does not do: unfinished words, swallowed errors, unsafe calls.

Ruff knows most rules; these are ours. Each rule says which files it reads and which it spares.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = (
    ".py",
    ".pyi",
    ".proto",
    ".sql",
    ".toml",
    ".yaml",
    ".yml",
    ".sh",
    "Makefile",
    "Dockerfile",
)
LONGEST_MODULE = 400
LONGEST_TEST = 650
THIS = "tools/check_words.py"


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern that may not occur in files with one of `endings`, except in `spared`."""

    pattern: str
    reason: str
    endings: tuple[str, ...] = (".py",)
    spared: tuple[str, ...] = ()


RULES = (
    Rule(r"\b(TODO|FIXME|XXX|HACK)\b", "do it, or write it where users read it", SOURCE),
    Rule(
        r"\bexcept( Exception| BaseException)?\s*:",
        "name the errors: only app.py catches everything",
        spared=("tidemill_common/app.py",),
    ),
    Rule(r"\b(import|from) (pickle|dill|joblib|cloudpickle|marshal|shelve)\b", "no pickle"),
    Rule(r"(?<![\w.])(eval|exec)\(", "no eval"),
    Rule(r"shell=True", "no shell strings"),
    Rule(r"yaml\.(load|unsafe_load|full_load)\(", "yaml.safe_load"),
    Rule(r"/(work|root|home)/\w+", "no path of one machine", SOURCE),
)


def main() -> int:
    """Print every finding; exit 1 if there is one."""
    found = [finding for path in _files() for finding in _findings(path)]
    print("\n".join(found) if found else "words: nothing found")
    return 1 if found else 0


def _files() -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    for name in listed.stdout.splitlines():
        generated = "_pb2" in name
        if name.endswith(SOURCE) and not generated and name != THIS and (ROOT / name).is_file():
            yield Path(name)


def _findings(path: Path) -> Iterator[str]:
    text = (ROOT / path).read_text(errors="replace")
    lines = text.splitlines()
    longest = LONGEST_TEST if path.name.startswith("test_") else LONGEST_MODULE
    if path.suffix == ".py" and len(lines) > longest:
        yield f"{path}: {len(lines)} lines, {longest} at most"
    for rule in RULES:
        name = path.as_posix()
        if not name.endswith(rule.endings) or name.endswith(rule.spared):
            continue
        for number, line in enumerate(lines, start=1):
            if re.search(rule.pattern, line) and not _is_reraised(line, lines, number):
                yield f"{path}:{number}: {rule.reason}: {line.strip()}"


def _is_reraised(line: str, lines: list[str], number: int) -> bool:
    """Whether an `except BaseException:` cleans up and raises again, or ends the process."""
    return "except BaseException" in line and any(
        follows.strip() == "raise" or "os._exit(" in follows
        for follows in lines[number : number + 8]
    )


if __name__ == "__main__":
    sys.exit(main())
