"""What the server asks of its inspector process: a person's question about one entity."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_features.jobs import bytes_of, line_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal["explain", "history"]


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question with the state it is about: what had been read of each stream, and up to when.

    `served` is what the replica answered, all features in order; `request` the question's bytes.
    """

    kind: Kind
    project: project_pb2.Project
    archive: str
    versions: Mapping[str, int]
    cut: Mapping[str, Mapping[int, int]]
    request: bytes
    at_us: int
    watermarks: Mapping[str, Sequence[int]] = field(default_factory=dict)
    served: pb.EntityValues = field(default_factory=pb.EntityValues)

    def to_line(self) -> bytes:
        """Write it as one line."""
        return line_of(
            {
                "kind": self.kind,
                "project": text_of(self.project.SerializeToString()),
                "archive": self.archive,
                "versions": dict(self.versions),
                "cut": {
                    stream: {str(number): offset for number, offset in offsets.items()}
                    for stream, offsets in self.cut.items()
                },
                "request": text_of(self.request),
                "at_us": self.at_us,
                "watermarks": {stream: list(all_) for stream, all_ in self.watermarks.items()},
                "served": text_of(self.served.SerializeToString()),
            }
        )

    @classmethod
    def from_line(cls, line: bytes) -> Inquiry:
        """Read it; the inverse of `to_line`."""
        read = json.loads(line)
        return cls(
            kind=read["kind"],
            project=project_pb2.Project.FromString(bytes_of(read["project"])),
            archive=read["archive"],
            versions=read["versions"],
            cut={
                stream: {int(number): offset for number, offset in offsets.items()}
                for stream, offsets in read["cut"].items()
            },
            request=bytes_of(read["request"]),
            at_us=read["at_us"],
            watermarks=read["watermarks"],
            served=pb.EntityValues.FromString(bytes_of(read["served"])),
        )
