"""What the server asks of its builder process, as lines of JSON: no pickle, no shared memory."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tidemill import errors
from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

Kind = Literal["training_set", "verify"]
LINE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """One job: the pinned inputs, by value or by name."""

    kind: Kind
    project: project_pb2.Project
    generation: str
    model: str
    archive: str
    artifacts: str
    versions: Mapping[str, int]
    cut: Mapping[str, Mapping[int, int]]
    request: pb.BuildTrainingSetRequest = field(default_factory=pb.BuildTrainingSetRequest)
    predictions: str = ""

    def to_line(self) -> bytes:
        """Write the job as one line."""
        return line_of(
            {
                "kind": self.kind,
                "project": text_of(self.project.SerializeToString()),
                "generation": self.generation,
                "model": self.model,
                "archive": self.archive,
                "artifacts": self.artifacts,
                "versions": dict(self.versions),
                "cut": {
                    stream: {str(number): offset for number, offset in offsets.items()}
                    for stream, offsets in self.cut.items()
                },
                "request": text_of(self.request.SerializeToString()),
                "predictions": self.predictions,
            }
        )

    @classmethod
    def from_line(cls, line: bytes) -> Job:
        """Read a job; the inverse of `to_line`."""
        read = json.loads(line)
        return cls(
            kind=read["kind"],
            project=project_pb2.Project.FromString(bytes_of(read["project"])),
            generation=read["generation"],
            model=read["model"],
            archive=read["archive"],
            artifacts=read["artifacts"],
            versions=read["versions"],
            cut={
                stream: {int(number): offset for number, offset in offsets.items()}
                for stream, offsets in read["cut"].items()
            },
            request=pb.BuildTrainingSetRequest.FromString(bytes_of(read["request"])),
            predictions=read["predictions"],
        )


def progress_line(stage: str, rows: int, events: int) -> bytes:
    """Say how far a job is."""
    return line_of({"progress": {"stage": stage, "rows": rows, "events": events}})


def result_line(result: Message) -> bytes:
    """Say what came out."""
    return line_of({"result": text_of(result.SerializeToString())})


def error_line(error: errors.TidemillError) -> bytes:
    """Say why nothing came out."""
    return line_of(
        {"error": {"reason": error.reason, "message": error.message, "hint": error.hint}}
    )


def read_reply(line: bytes) -> pb.Progress | bytes:
    """Return the progress or the result's bytes in a reply; raise the error it holds."""
    reply = json.loads(line)
    if "progress" in reply:
        return pb.Progress(**reply["progress"])
    if "error" in reply:
        raise _error(reply["error"])
    return bytes_of(reply["result"])


def _error(said: Mapping[str, str]) -> errors.TidemillError:
    kinds: dict[str, type[errors.TidemillError]] = {
        one.reason: one
        for one in (
            errors.NotFound,
            errors.FailedPrecondition,
            errors.Unavailable,
            errors.Corrupt,
            errors.Misconfigured,
        )
    }
    kind = kinds.get(said["reason"], errors.Invalid)
    return kind(said["message"], hint=said["hint"])


def line_of(value: Mapping[str, Any]) -> bytes:
    """Write plain values as one line."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def text_of(data: bytes) -> str:
    """Write bytes as a text for a line."""
    return base64.b64encode(data).decode()


def bytes_of(text: str) -> bytes:
    """Read bytes; the inverse of `text_of`."""
    return base64.b64decode(text)
