"""Promises of which failures are tried again."""

from __future__ import annotations

import pytest
import torch

from tidemill.errors import Corrupt, Invalid, NotFound, Unavailable
from tidemill_training import failures
from tidemill_training.failures import RETRYABLE, Failure, after_failure, classify


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Invalid("one class only"), Failure.DATA),
        (NotFound("no blob"), Failure.DATA),
        (Corrupt("bytes"), Failure.DATA),
        (Unavailable("features"), Failure.INFRASTRUCTURE),
        (OSError("disk full"), Failure.INFRASTRUCTURE),
        (MemoryError(), Failure.MEMORY),
        (torch.OutOfMemoryError("cuda"), Failure.MEMORY),
        (ZeroDivisionError(), Failure.CODE),
    ],
)
def test_an_error_has_one_class(error: BaseException, failure: Failure) -> None:
    assert classify(error) is failure


def test_data_and_code_are_never_tried_again() -> None:
    assert not {Failure.DATA, Failure.CODE} & RETRYABLE


def test_a_process_that_was_killed_is_the_machines_fault_and_one_that_raised_its_own() -> None:
    assert failures.of_exit(-9) is Failure.INFRASTRUCTURE
    assert failures.of_exit(1) is Failure.CODE


def test_a_run_goes_back_to_the_queue_until_its_attempts_are_spent() -> None:
    assert [after_failure(n, 3, retryable=True) for n in (1, 2, 3)] == [
        "queued",
        "queued",
        "failed",
    ]
    assert after_failure(1, 3, retryable=False) == "failed"


def test_an_error_of_many_lines_is_told_by_its_first() -> None:
    assert failures.first_line(["", "\n  first\nsecond"]) == "first"
    assert failures.first_line([""]) == "no message"
