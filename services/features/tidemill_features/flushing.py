"""One partition's state and what a flush changes: pure, apart from the tables that it owns.

    1 decode the gathered records once          3 apply the rows to every view
    2 give every row its verdict                4 encode each view's log records

The caller writes the result: as one transaction, or record by record if it is `separable`. If
that fails the state is ahead of the log: drop it and open the partition again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from tidemill_common.erasures import NOTHING_ERASED, Erased
from tidemill_features import erasing
from tidemill_features.decoding import Dead, Events, decode
from tidemill_tiles.columns import event_batch
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.verdict import PartitionVerdict, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from tidemill_common.feature_views import ViewSpec
    from tidemill_common.kafka import Record
    from tidemill_features.definitions import StreamWork
    from tidemill_features.erasing import Search
    from tidemill_features.ledger import LogPast
    from tidemill_tiles.owner import Owner


class Gap(RuntimeError):
    """An offset was skipped: what lies between would be lost, so the process must end."""


@dataclass(frozen=True, slots=True)
class LateRow:
    """A row beyond the lateness bound, as a record of its own, and where it came from."""

    record: Record
    row: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of a flush."""

    applied: int = 0
    duplicate: int = 0
    late: int = 0
    dead: int = 0
    erased: int = 0


@dataclass(frozen=True, slots=True)
class Flush:
    """Everything one flush writes. `log` holds (view, record) in the order to write them."""

    position: int
    log: tuple[tuple[ViewSpec, bytes], ...]
    late: tuple[LateRow, ...] = ()
    dead: tuple[Dead, ...] = ()
    counts: Counts = field(default_factory=Counts)

    @property
    def separable(self) -> bool:
        """Say whether the records need not become visible together.

        Each view's part is then whole in one record of its log, which has its own position: a view
        that did not get its part catches up from the source. Late and dead rows have no position
        of their own.
        """
        keys = {view.key for view, _ in self.log}
        return not (self.late or self.dead) and len(keys) == len(self.log)


class PartitionState:
    """The views, the ids and the watermark of one input partition at `position`.

    `held` is the same of what a held generation adds: it takes the same records in the same
    flushes, gives its own verdicts, and sets nothing aside. `pasts` is what the views' logs, held
    ones too, held when the partition was opened.
    """

    def __init__(
        self,
        work: StreamWork,
        partition: int,
        owners: Mapping[str, Owner],
        verdict: PartitionVerdict,
        position: int,
        held: PartitionState | None = None,
    ) -> None:
        self.work = work
        self.held = held
        self.partition = partition
        self.owners = dict(owners)
        self.verdict = verdict
        self.position = position
        self.newest_available_us = max(
            (owner.newest_available_us for owner in owners.values()), default=NO_TIME
        )
        self.erased: Erased = NOTHING_ERASED
        self.pasts: Mapping[str, LogPast] = {}
        self._schema = work.schema

    @property
    def all_owners(self) -> dict[str, Owner]:
        """Return the owner of every view, held ones too, by its key."""
        return self.owners | (self.held.all_owners if self.held is not None else {})

    @property
    def parts(self) -> tuple[StreamWork, ...]:
        """Return the work, then what is held."""
        return (self.work, *(self.held.parts if self.held is not None else ()))

    @property
    def _erased_here(self) -> Erased:
        return self.erased.of_stream(self.work.name)

    def refuse(self, erased: Erased) -> Search:
        """Leave these entities' rows out from now on; return what to look for in the state."""
        fresh = erasing.news(self.erased, erased)
        self.erased = erased
        search = erasing.search(self.work.views, self.owners, erased.only(fresh))
        if self.held is None:
            return search
        return replace(search, keys=search.keys + self.held.refuse(erased).keys)

    def erase(self, found: Mapping[str, Sequence[bytes]]) -> dict[str, int]:
        """Drop what a search has found; return how many entities that were, by view."""
        owners = self.all_owners
        return {
            view: owners[view].erase(hash_keys(keys)) if keys else 0 for view, keys in found.items()
        }

    def new_records(self, records: Sequence[Record]) -> list[Record]:
        """Drop what is decided already; Gap if an offset is missing."""
        fresh = [record for record in records if record.offset >= self.position]
        for expected, record in enumerate(fresh, start=self.position):
            if record.offset != expected:
                raise Gap(f"{self.work.topic}/{self.partition}: {record.offset}, not {expected}")
        return fresh

    def flush(self, records: Sequence[Record]) -> Flush:
        """Decide records (none: only say that we are alive) and encode what changed."""
        fresh = self.new_records(records)
        events = decode(self.work.spec, self._schema, fresh)
        verdicts = self._decide(events)
        applied = verdicts == Verdict.APPLIED
        for spec, owner in self._views():
            apply_to(spec, self.work.name, owner, events, applied)
        if fresh:
            self.position = fresh[-1].offset + 1
        counts = _counts(verdicts, events)
        log = (*self._log(), *(self.held.flush(records).log if self.held is not None else ()))
        return Flush(
            position=self.position,
            log=log,
            late=tuple(_late_rows(events, verdicts, fresh)) if counts.late else (),
            dead=erasing.without_erased(events.dead, self._erased_here),
            counts=counts,
        )

    def _views(self) -> Iterator[tuple[ViewSpec, Owner]]:
        for spec in self.work.views:
            yield spec, self.owners[spec.key]

    def _decide(self, events: Events) -> npt.NDArray[np.uint8]:
        verdicts = erasing.decide(self.verdict, events, self._erased_here)
        applied = verdicts == Verdict.APPLIED
        if applied.any():
            newest = int(events.available_us[applied].max())
            self.newest_available_us = max(self.newest_available_us, newest)
        return verdicts

    def _log(self) -> Iterator[tuple[ViewSpec, bytes]]:
        for spec, owner in self._views():
            for record in owner.flush(
                position=self.position,
                watermark_us=self.verdict.watermark_us,
                newest_available_us=self.newest_available_us,
            ):
                yield spec, record


def apply_to(
    spec: ViewSpec, stream: str, owner: Owner, events: Events, applied: npt.NDArray[np.bool_]
) -> None:
    """Bring the applied rows of a stream into one view."""
    if len(events) == 0:
        return
    batch = event_batch(
        spec.plan, events.table, time_us=events.time_us, tie=events.ids, stream=stream
    )
    owner.apply(batch, applied)


def _late_rows(
    events: Events, verdicts: npt.NDArray[np.uint8], records: Sequence[Record]
) -> Iterator[LateRow]:
    for index in np.flatnonzero(verdicts == Verdict.LATE):
        one = int(index)
        record = records[int(events.offset[one]) - records[0].offset]
        yield LateRow(record, int(events.row[one]), events.one_row(one))


def _counts(verdicts: npt.NDArray[np.uint8], events: Events) -> Counts:
    of = np.bincount(verdicts, minlength=len(Verdict))
    return Counts(
        applied=int(of[Verdict.APPLIED]),
        duplicate=int(of[Verdict.DUPLICATE]),
        late=int(of[Verdict.LATE]),
        dead=len(events.dead),
        erased=int(of[Verdict.ERASED]),
    )
