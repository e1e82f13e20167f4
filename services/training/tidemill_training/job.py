"""What a worker tells its training process and hears from it, as JSON lines."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from tidemill.definitions.v1 import project_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that a candidate is compared with: two blobs of its package."""

    version: int
    onnx: str
    preprocessing: str


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of one run; the training set is already fixed."""

    run_id: str
    definition: bytes
    training_set: Mapping[str, Any]
    """digest, row_hash and profile_digest of the set, and whatever lineage needs."""
    seed: int = 0
    overrides: Mapping[str, float] = field(default_factory=dict)
    bad_labels: tuple[tuple[int, int], ...] = ()
    champion: Champion | None = None
    checkpoint: str = ""
    checkpoint_seconds: float = 1.0
    artifacts: str = ""

    @property
    def model(self) -> project_pb2.Model:
        """The definition of the model."""
        return project_pb2.Model.FromString(self.definition)


@dataclass(frozen=True, slots=True)
class Result:
    """A finished package: its manifest's blob, its files, and how good it is."""

    manifest: str
    files: Mapping[str, tuple[str, int]]
    """name -> (sha256, size)"""
    metrics: Mapping[str, float]
    data_time_us: int
    code_digest: str
    environment_digest: str
    rows: int


def job_to_dict(job: Job) -> dict[str, Any]:
    """Give the JSON form of a job."""
    document = asdict(job)
    document["definition"] = base64.b64encode(job.definition).decode()
    return document


def job_from_dict(document: Mapping[str, Any]) -> Job:
    """Read a job; KeyError, TypeError or ValueError when it is none."""
    champion = document["champion"]
    return Job(
        **{
            **document,
            "definition": base64.b64decode(document["definition"]),
            "bad_labels": tuple((int(a), int(b)) for a, b in document["bad_labels"]),
            "champion": Champion(**champion) if champion else None,
        }
    )


def preparation(definition: bytes) -> dict[str, str]:
    """Ask a training process to get ready for a model before there is a job."""
    return {"prepare": base64.b64encode(definition).decode()}


def prepared_model(document: Mapping[str, Any]) -> project_pb2.Model | None:
    """Return the model to get ready for; None when the message is a job."""
    text = document.get("prepare")
    return None if text is None else project_pb2.Model.FromString(base64.b64decode(text))


def result_from_dict(document: Mapping[str, Any]) -> Result:
    """Read a result."""
    files = {name: (str(sha), int(size)) for name, (sha, size) in document["files"].items()}
    return Result(**{**document, "files": files})


def line(kind: str, **facts: Any) -> bytes:
    """Write one message."""
    return orjson.dumps({"kind": kind, **facts}) + b"\n"
