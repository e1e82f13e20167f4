"""A replica of every view of a stream that reads when it is told to, and starts again when it must."""

from __future__ import annotations

from tests.chaos.checkers import Seen, View
from tests.chaos.evidence import ENTITIES, as_view
from tests.chaos.oracle import Expected, values_at
from tests.simulation.broker import MemoryBroker
from tidemill_common.kafka import Record, TopicPartition
from tidemill_features.definitions import StreamWork
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.codec import decode_header
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.reads import read
from tidemill_tiles.replica import Replica


class Reader:
    """Follows the logs of one partition."""

    def __init__(self, broker: MemoryBroker, work: StreamWork) -> None:
        self._broker = broker
        self._views = work.views
        self._logs = {view.name: TopicPartition(view.log(work.name).name, 0) for view in work.views}
        self._replicas = {view.name: Replica(view.plan) for view in work.views}
        self._positions = dict.fromkeys(self._logs, 0)
        self.seen: dict[str, list[Seen]] = {name: [] for name in self._logs}

    @property
    def logs(self) -> list[TopicPartition]:
        """Return what is read."""
        return list(self._logs.values())

    def catch_up(self) -> int:
        """Read every log to its end; return below which source offset all is decided."""
        for name, tp in self._logs.items():
            if self._positions[name] < self._broker.start_of(tp):
                view = next(view for view in self._views if view.name == name)
                self._replicas[name] = Replica(view.plan)
                self._positions[name] = self._broker.start_of(tp)
            records, self._positions[name] = self._broker.read(
                tp, self._positions[name], committed=True
            )
            for record in records:
                self._apply(name, record)
        return min(replica.position for replica in self._replicas.values())

    def _apply(self, name: str, record: Record) -> None:
        if record.value is None:  # a fence
            return
        self._replicas[name].apply(record.value)
        header = decode_header(record.value)
        self.seen[name].append(
            Seen(record.offset, header.position, header.watermark_us, header.generation, 0)
        )

    def views(self, expected: Expected) -> dict[str, tuple[View, View]]:
        """Return what every entity is, beside what it should be."""
        found: dict[str, tuple[View, View]] = {}
        for view in self._views:
            (entity,) = view.entity
            keys = ENTITIES[entity][:50]
            hashes = hash_keys([canonical_key([key]) for key in keys])
            at_us = expected.newest_us
            values = read(view.plan, [self._replicas[view.name].table], hashes, at_us).values
            wanted = {
                key: windows
                for key, windows in values_at(expected, entity, at_us).items()
                if any(count for count, _, _ in windows)
            }
            found[view.name] = (as_view(keys, view.features, values.tolist()), wanted)
        return found
