"""The examples of docs/project-file.md are projects without a mistake."""

from __future__ import annotations

import re
from pathlib import Path

from tidemill.project import loads, read

PAGE = Path("docs/project-file.md")
MORE = """\
      home_city: string
  tip_paid:
    key: [rider]
    fields: {rider: {type: string, required: true}, tip: float64}
"""


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_yaml_of_the_page_is_one_good_project() -> None:
    streams, *rest = examples("yaml")[1:]
    assert loads(f"project: rides\n{streams}{MORE}{''.join(rest)}").problems == []


def test_the_python_of_the_page_is_a_good_project(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(examples("python")[0])
    assert read(file).problems == []
