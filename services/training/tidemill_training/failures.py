"""Why an attempt failed, and whether another one makes sense."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tidemill.errors import Rejected, Transient

if TYPE_CHECKING:
    from collections.abc import Sequence


class Failure(StrEnum):
    """The classes of failures; the first three are the machine's, the others the run's own."""

    INFRASTRUCTURE = "infrastructure"
    PREEMPTED = "preempted"
    MEMORY = "memory"
    DATA = "data"
    CODE = "code"


RETRYABLE: Final = frozenset({Failure.INFRASTRUCTURE, Failure.PREEMPTED, Failure.MEMORY})


def classify(error: BaseException) -> Failure:
    """Say which class an error belongs to; what nobody raised on purpose is a bug."""
    match error:
        case Rejected():
            return Failure.DATA
        case Transient():
            return Failure.INFRASTRUCTURE
        case MemoryError():
            return Failure.MEMORY
        case OSError():
            return Failure.INFRASTRUCTURE
        case _ if type(error).__name__ == "OutOfMemoryError":
            return Failure.MEMORY
        case _:
            return Failure.CODE


def of_exit(code: int) -> Failure:
    """Classify a process that ended without a word: killed from outside, or a bug."""
    return Failure.INFRASTRUCTURE if code < 0 else Failure.CODE


def text(failure: Failure, message: str) -> str:
    """Write what a person reads in the run's `error`."""
    return f"{failure.value}: {message}"


def first_line(parts: Sequence[str]) -> str:
    """Return the first line that says something, cut to what fits a row."""
    lines = [line.strip() for part in parts for line in part.splitlines()]
    return next((line for line in lines if line), "no message")[:1000]


def after_failure(attempt: int, attempts: int, *, retryable: bool) -> str:
    """Return the state of a run whose attempt number `attempt` (the first is 1) has failed."""
    return "queued" if retryable and attempt < attempts else "failed"
