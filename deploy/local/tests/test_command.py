"""The command line of the local stack says in one line what it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill_local.__main__ import main


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["up", "--detach", f"--data={tmp_path / 'file' / 'data'}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / 'file'}")
    assert "Not a directory" in said
