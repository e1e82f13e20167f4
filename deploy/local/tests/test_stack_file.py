"""stack.json and the identity of processes."""

import os
from pathlib import Path

from tidemill_local.identity import Identity, end_leftovers
from tidemill_local.stack_file import (
    ProcessState,
    ProcessView,
    StackState,
    StackView,
    read,
    write,
)


def a_view() -> StackView:
    return StackView(
        state=StackState.READY,
        supervisor=Identity.of(os.getpid()),
        environment={"TIDEMILL_KAFKA": "127.0.0.1:9092"},
        processes=[
            ProcessView("kafka", ProcessState.READY, "kafka.log", Identity(7, 1.5), 2, 3.5, ""),
            ProcessView("triton", ProcessState.FAILED, "triton.log", message="ended"),
            ProcessView("serving", ProcessState.READY, "serving.log", metrics="127.0.0.1:9"),
        ],
        message="triton ended",
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write(a_view(), tmp_path / "stack.json")
    assert read(tmp_path / "stack.json") == a_view()


def test_no_file_or_a_broken_one_is_no_stack(tmp_path: Path) -> None:
    assert read(tmp_path / "stack.json") is None
    (tmp_path / "stack.json").write_text("{")
    assert read(tmp_path / "stack.json") is None


def test_a_number_that_another_process_has_by_now_is_not_ours() -> None:
    ours = Identity.of(os.getpid())
    assert ours.is_alive()
    stranger = Identity(ours.pid, ours.started - 60)
    assert not stranger.is_alive()
    assert end_leftovers([stranger], grace_s=0.1) == 0
