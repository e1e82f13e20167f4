"""Every error the platform raises on purpose.

    TidemillError
    ├── Misconfigured   the process cannot start, or go on, as configured
    ├── Transient       the same call may succeed later
    │   ├── Unavailable       a part is away; nothing has happened
    │   ├── Conflict          someone else was faster; read again, then retry
    │   ├── Exhausted         a limit is reached for now; `retry_after` says how long
    │   ├── DeadlineExceeded  the time ran out
    │   └── OutcomeUnknown    it may have happened; retry with the same id
    └── Rejected        the same call can never succeed
        ├── Invalid           the input breaks a rule; `violations` names every field
        │   └── TooLarge      a size or depth limit is broken
        ├── NotFound
        ├── AlreadyExists
        ├── FailedPrecondition  right in itself, wrong in the present state
        │   ├── IllegalTransition
        │   └── Fenced          the caller's lease or epoch is over: stop working
        ├── Unauthenticated
        ├── Forbidden
        ├── Unsupported       the method or option does not exist
        └── Corrupt           stored bytes are not what their digest says

No error knows a transport. `reason` is stable and made for programs, the message is made for people
and shows the value and the rule it broke, `hint` says what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one field of an input breaks."""

    field: str
    description: str

    def __str__(self) -> str:
        """Read as one line."""
        return f"{self.field}: {self.description}" if self.field else self.description


class TidemillError(Exception):
    """The root: catch it to catch every error of the platform, and no bug."""

    reason: ClassVar[str] = "ERROR"

    def __init__(self, message: str = "", *, hint: str = "", **facts: str) -> None:
        """Say what happened; `facts` travel with the error as machine-readable strings."""
        super().__init__(message or self.reason.lower().replace("_", " "))
        self.hint = hint
        self.facts = facts

    @property
    def message(self) -> str:
        """The text for people, without the hint."""
        return str(self.args[0])


class Misconfigured(TidemillError):
    """The process cannot start, or go on, as configured; a person must act."""

    reason = "MISCONFIGURED"


class Transient(TidemillError):
    """The same call may succeed later."""

    reason = "TRANSIENT"

    def __init__(
        self, message: str = "", *, retry_after: float | None = None, hint: str = "", **facts: str
    ) -> None:
        """Say what happened and, if it is known, after how many seconds to come back."""
        super().__init__(message, hint=hint, **facts)
        self.retry_after = retry_after


class Unavailable(Transient):
    """A part is away; the call had no effect."""

    reason = "UNAVAILABLE"


class Conflict(Transient):
    """Someone else changed the same thing first; read it again, then decide again."""

    reason = "CONFLICT"


class Exhausted(Transient):
    """A quota, queue or disk is full for now."""

    reason = "EXHAUSTED"


class DeadlineExceeded(Transient):
    """The time ran out before the answer was there."""

    reason = "DEADLINE_EXCEEDED"


class OutcomeUnknown(Transient):
    """It may or may not have happened; repeating it with the same id is harmless."""

    reason = "OUTCOME_UNKNOWN"


class Rejected(TidemillError):
    """The same call can never succeed."""

    reason = "REJECTED"


class Invalid(Rejected):
    """The input breaks at least one rule; all broken rules are in `violations`."""

    reason = "INVALID"

    def __init__(
        self,
        message: str = "",
        *,
        violations: Iterable[Violation] = (),
        hint: str = "",
        **facts: str,
    ) -> None:
        """Name every violation; without a message they are the message."""
        self.violations = tuple(violations)
        super().__init__(
            message or "; ".join(str(violation) for violation in self.violations),
            hint=hint,
            **facts,
        )


class TooLarge(Invalid):
    """A limit of size, count or depth is broken."""

    reason = "TOO_LARGE"


class NotFound(Rejected):
    """There is no such thing."""

    reason = "NOT_FOUND"


class AlreadyExists(Rejected):
    """There is such a thing already, and it is different."""

    reason = "ALREADY_EXISTS"


class FailedPrecondition(Rejected):
    """The call is right in itself but wrong in the present state."""

    reason = "FAILED_PRECONDITION"


class IllegalTransition(FailedPrecondition):
    """A state cannot be reached from where the thing is."""

    reason = "ILLEGAL_TRANSITION"


class Fenced(FailedPrecondition):
    """The caller's lease or epoch is over; it must stop working on this."""

    reason = "FENCED"


class Unauthenticated(Rejected):
    """The caller did not prove who it is."""

    reason = "UNAUTHENTICATED"


class Forbidden(Rejected):
    """The caller may not do this."""

    reason = "FORBIDDEN"


class Unsupported(Rejected):
    """The method, version or option does not exist here."""

    reason = "UNSUPPORTED"


class Corrupt(Rejected):
    """Stored bytes are not what their digest or checksum says."""

    reason = "CORRUPT"
