"""The only table between the platform's errors and gRPC's codes, in both directions.

The reason, the facts and the hint of an error travel as google.rpc.ErrorInfo, violations as
BadRequest, the pause before a retry as RetryInfo. The text of an unexpected exception never leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from tidemill import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

DOMAIN: Final = "tidemill"
HINT: Final = "hint"
_DETAILS_KEY: Final = "grpc-status-details-bin"
_RESERVED: Final = frozenset({HINT, "message", "violations", "retry_after"})
_MAX_MESSAGE: Final = 2048
_MAX_VIOLATIONS: Final = 50

CODES: Final[dict[type[errors.TidemillError], int]] = {
    errors.Misconfigured: code_pb2.FAILED_PRECONDITION,
    errors.Transient: code_pb2.UNAVAILABLE,
    errors.Unavailable: code_pb2.UNAVAILABLE,
    errors.Conflict: code_pb2.ABORTED,
    errors.Exhausted: code_pb2.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    errors.OutcomeUnknown: code_pb2.UNAVAILABLE,
    errors.Rejected: code_pb2.INVALID_ARGUMENT,
    errors.Invalid: code_pb2.INVALID_ARGUMENT,
    errors.TooLarge: code_pb2.INVALID_ARGUMENT,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.AlreadyExists: code_pb2.ALREADY_EXISTS,
    errors.FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    errors.IllegalTransition: code_pb2.FAILED_PRECONDITION,
    errors.Fenced: code_pb2.FAILED_PRECONDITION,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.Forbidden: code_pb2.PERMISSION_DENIED,
    errors.Unsupported: code_pb2.UNIMPLEMENTED,
    errors.Corrupt: code_pb2.DATA_LOSS,
}
_BY_REASON: Final = {kind.reason: kind for kind in CODES}
_BY_CODE: Final[dict[int, type[errors.TidemillError]]] = {
    code_pb2.CANCELLED: errors.Transient,
    code_pb2.UNKNOWN: errors.OutcomeUnknown,
    code_pb2.INVALID_ARGUMENT: errors.Invalid,
    code_pb2.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    code_pb2.NOT_FOUND: errors.NotFound,
    code_pb2.ALREADY_EXISTS: errors.AlreadyExists,
    code_pb2.PERMISSION_DENIED: errors.Forbidden,
    code_pb2.RESOURCE_EXHAUSTED: errors.Exhausted,
    code_pb2.FAILED_PRECONDITION: errors.FailedPrecondition,
    code_pb2.ABORTED: errors.Conflict,
    code_pb2.OUT_OF_RANGE: errors.Invalid,
    code_pb2.UNIMPLEMENTED: errors.Unsupported,
    code_pb2.INTERNAL: errors.OutcomeUnknown,
    code_pb2.UNAVAILABLE: errors.Unavailable,
    code_pb2.DATA_LOSS: errors.Corrupt,
    code_pb2.UNAUTHENTICATED: errors.Unauthenticated,
}


def to_status(error: errors.TidemillError) -> status_pb2.Status:
    """Return the rich status of an error; a subclass of ours unknown here counts as its parent."""
    kind = next((base for base in type(error).__mro__ if base in CODES), errors.TidemillError)
    status = status_pb2.Status(
        code=CODES.get(kind, code_pb2.INTERNAL), message=error.message[:_MAX_MESSAGE]
    )
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _details(error: errors.TidemillError) -> Iterator[Message]:
    """Give what a program may want to know beside the code."""
    metadata = {key: value[:_MAX_MESSAGE] for key, value in error.facts.items()}
    if error.hint:
        metadata[HINT] = error.hint
    yield error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    if isinstance(error, errors.Invalid) and error.violations:
        yield error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=violation.field, description=violation.description
                )
                for violation in error.violations[:_MAX_VIOLATIONS]
            ]
        )
    if isinstance(error, errors.Transient) and error.retry_after is not None:
        pause = duration_pb2.Duration()
        pause.FromNanoseconds(int(error.retry_after * 1e9))
        yield error_details_pb2.RetryInfo(retry_delay=pause)


def to_grpc(error: errors.TidemillError) -> grpc.Status:
    """Return the status in the form a servicer context aborts with."""
    return rpc_status.to_status(to_status(error))


def from_status(status: status_pb2.Status) -> errors.TidemillError:
    """Return the error that a rich status was made from, as exactly as it can be known."""
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            detail.Unpack(request)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) and detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    kind = _BY_REASON.get(info.reason) if info.domain == DOMAIN else None
    kind = kind or _BY_CODE.get(status.code, errors.OutcomeUnknown)
    facts = {key: value for key, value in info.metadata.items() if key not in _RESERVED}
    hint = info.metadata.get(HINT, "")
    if issubclass(kind, errors.Invalid):
        violations = [errors.Violation(v.field, v.description) for v in request.field_violations]
        return kind(status.message, violations=violations, hint=hint, **facts)
    if issubclass(kind, errors.Transient):
        return kind(status.message, retry_after=retry_after, hint=hint, **facts)
    return kind(status.message, hint=hint, **facts)


def to_error(error: grpc.RpcError) -> errors.TidemillError:
    """Return what a failed call means to the platform."""
    if not isinstance(error, grpc.aio.AioRpcError | grpc.Call):
        return errors.OutcomeUnknown(f"the call failed: {type(error).__name__}")
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return from_status(status_pb2.Status.FromString(value))
    code: tuple[int, str] = error.code().value
    return from_status(status_pb2.Status(code=code[0], message=error.details() or code[1]))
