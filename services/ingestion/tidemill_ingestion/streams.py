"""The topics that the events of a project go to."""

from __future__ import annotations

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill_common import topics


def event_topics(project: pb.Project) -> list[topics.Topic]:
    """Return the raw topic of every stream, and its dead letters."""
    raw = [
        topics.events(
            stream.name,
            partitions=stream.partitions,
            retention_ms=stream.retention.ToMilliseconds() or 7 * topics.DAY_MS,
        )
        for stream in project.streams
    ]
    return [*raw, *(topics.dead_letters(topic.name) for topic in raw)]
