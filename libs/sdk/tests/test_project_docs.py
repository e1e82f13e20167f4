"""The examples of docs/project-file.md are projects without a mistake."""

from __future__ import annotations

import re
from pathlib import Path

from tidemill.project import loads, read

PAGE = Path("docs/project-file.md")
MORE_FIELDS = "      home_city: string\n"
MORE_STREAMS = """\
  tip_paid:
    key: [rider]
    fields:
      rider: {type: string, required: true}
      tip: {type: float64, resolution: 0.01}
"""


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_yaml_of_the_page_is_one_good_project() -> None:
    streams, source, *rest = examples("yaml")[1:]
    whole = [streams, MORE_FIELDS, source, MORE_STREAMS, *rest]
    assert loads(f"project: rides\n{''.join(whole)}").problems == []


def test_the_python_of_the_page_is_a_good_project(tmp_path: Path) -> None:
    file = tmp_path / "project.py"
    file.write_text(examples("python")[0])
    assert read(file).problems == []
