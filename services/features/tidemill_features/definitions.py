"""The part of a project that a features process works on: its streams with their views."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidemill_common import topics
from tidemill_common.events import event_schema
from tidemill_common.feature_views import StreamSpec, ViewSpec, stream_spec, view_specs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

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

    @property
    def keys(self) -> frozenset[str]:
        """Return the keys of its views."""
        return frozenset(view.key for view in self.views)

    def only(self, keys: AbstractSet[str]) -> StreamWork:
        """Return the same stream with some of its views."""
        return StreamWork(self.spec, tuple(view for view in self.views if view.key in keys))

    def topics(self) -> Iterator[topics.Topic]:
        """Give every topic that the work on this stream needs."""
        yield self.spec.topic
        yield topics.dead_letters(self.topic)
        yield topics.late(self.topic)
        for view in self.views:
            yield view.log(self.name)


@dataclass(frozen=True, slots=True)
class Work:
    """All streams of one generation of the project.

    `held` is what a held generation adds to these streams: it sees the same records, and decides
    them by its own bounds. `left_out` is what builders write, and other workers may have written.
    """

    project: project_pb2.Project
    generation: str
    streams: Mapping[str, StreamWork]
    held: Mapping[str, StreamWork] = field(default_factory=dict)
    left_out: tuple[StreamWork, ...] = ()

    @property
    def parts(self) -> tuple[StreamWork, ...]:
        """Return every stream with its views, then those that are held."""
        return (*self.streams.values(), *self.held.values())

    @property
    def keys(self) -> frozenset[str]:
        """Return the keys of all views."""
        return frozenset().union(*(one.keys for one in self.parts))

    def topics(self) -> Iterator[topics.Topic]:
        """Give every topic that the work needs; how long events are kept is not for a held one."""
        for one in self.streams.values():
            yield from one.topics()
        for one in self.held.values():
            yield from (view.log(one.name) for view in one.views)

    def beside(self, present: AbstractSet[str]) -> Work:
        """Return only what is not at work: views whose keys are not among these."""
        streams = {name: one.only(one.keys - present) for name, one in self.streams.items()}
        kept = {name: one for name, one in streams.items() if one.views}
        return Work(self.project, self.generation, kept)

    def without(self, keys: AbstractSet[str]) -> Work:
        """Return this work less some views; their streams stay, as records are still decided."""
        kept = {name: one.only(one.keys - keys) for name, one in self.streams.items()}
        held = {name: one.only(one.keys - keys) for name, one in self.held.items()}
        return Work(
            self.project,
            self.generation,
            kept,
            {name: one for name, one in held.items() if one.views},
            tuple(one.only(keys) for one in self.parts),
        )

    def with_held(self, held: Work) -> Work:
        """Return this work and what a held generation adds to it; its new streams are whole."""
        added = held.beside(self.keys).streams
        news = {name: one for name, one in held.streams.items() if name not in self.streams}
        known = {name: one for name, one in added.items() if name in self.streams}
        return Work(self.project, self.generation, {**self.streams, **news}, known)

    def of_topic(self, topic: str) -> tuple[StreamWork, ...]:
        """Return the stream whose raw topic this is, then what is held of it."""
        name = topic.removeprefix("events.")
        held = (self.held[name],) if name in self.held else ()
        return (self.streams[name], *held)


def generation_text(applied: Applied) -> str:
    """Name a generation so that later ones are greater: an older owner must see that it is."""
    return f"{applied.number:08d}-{applied.generation[:12]}"


def all_work(applied: Applied) -> Work:
    """Return the work on a generation and on what is held beside it."""
    generation = generation_text(applied)
    current = work_of(applied.project, generation)
    if applied.held is None:
        return current
    return current.with_held(work_of(applied.held.project, generation))


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
