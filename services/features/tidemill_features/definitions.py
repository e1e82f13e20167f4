"""The part of a project that a features process works on: its streams with their views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill_common import topics
from tidemill_common.events import event_schema
from tidemill_common.feature_views import StreamSpec, ViewSpec, stream_spec, view_specs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from tidemill.definitions.v1 import project_pb2
    from tidemill_common.project_source import Applied


@dataclass(frozen=True, slots=True)
class StreamWork:
    """One stream and the views that are computed from it."""

    spec: StreamSpec
    views: tuple[ViewSpec, ...]

    @property
    def name(self) -> str:
        """Return the stream's name."""
        return self.spec.name

    @property
    def topic(self) -> str:
        """Return the name of the raw topic."""
        return self.spec.topic.name

    @property
    def schema(self) -> pa.Schema:
        """Return the columns every record of the raw topic has."""
        return event_schema(self.spec.columns)

    def topics(self) -> Iterator[topics.Topic]:
        """Give every topic that the work on this stream needs."""
        yield self.spec.topic
        yield topics.dead_letters(self.topic)
        yield topics.late(self.topic)
        for view in self.views:
            yield view.log(self.name)


@dataclass(frozen=True, slots=True)
class Work:
    """All streams of one generation of the project."""

    project: project_pb2.Project
    generation: str
    streams: Mapping[str, StreamWork]

    @property
    def versions(self) -> dict[str, str]:
        """Return the version of every view."""
        return {view.name: view.version for one in self.streams.values() for view in one.views}

    def beside(self, present: Mapping[str, str]) -> Work:
        """Return only what is not at work in these versions of views."""
        streams = {
            name: StreamWork(
                one.spec,
                tuple(view for view in one.views if present.get(view.name) != view.version),
            )
            for name, one in self.streams.items()
        }
        kept = {name: one for name, one in streams.items() if one.views}
        return Work(self.project, self.generation, kept)

    def of_topic(self, topic: str) -> StreamWork:
        """Return the stream whose raw topic this is."""
        return self.streams[topic.removeprefix("events.")]


def generation_text(applied: Applied) -> str:
    """Name a generation so that later ones are greater: an older owner must see that it is."""
    return f"{applied.number:08d}-{applied.generation[:12]}"


def work_of(project: project_pb2.Project, generation: str) -> Work:
    """Sort the views of a normalised project by their streams."""
    views = view_specs(project).values()
    return Work(
        project,
        generation,
        {
            stream.name: StreamWork(
                stream_spec(project, stream.name),
                tuple(view for view in views if stream.name in view.streams),
            )
            for stream in project.streams
        },
    )
