"""What is known of one erasure, place by place, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tidemill.registry.v1 import erasure_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

SERVICE: Final = "features"


@dataclass(slots=True)
class Account:
    """Places that were looked through, and training sets that are named. Nothing is un-said."""

    erasure_id: str
    places: dict[tuple[str, str], pb.ErasurePlace] = field(default_factory=dict)
    sets: dict[str, pb.ErasedTrainingSet] = field(default_factory=dict)
    state_clean: bool = False
    done: bool = False
    beginning: int = 0

    @classmethod
    def resumed(cls, erasure: pb.Erasure, beginning: int = 0) -> Account:
        """Go on with what an earlier life of this service has said.

        What it found before the erasure began again still counts as removed; clean it is not.
        """
        account = cls(erasure.erasure_id, beginning=beginning)
        for report in erasure.reports:
            if report.service == SERVICE:
                account.places = {(one.kind, one.name): one for one in report.places}
                account.sets = {one.digest: one for one in report.training_sets}
                account.state_clean = report.state_clean and report.beginning == beginning
        return account

    def saw(
        self, kind: str, name: str, found: int, *, waiting: str = "", due_ms: int | None = None
    ) -> pb.ErasurePlace:
        """Note what a look at a place has found; what was there before and is not is removed."""
        before = self.places.get((kind, name), pb.ErasurePlace())
        ever = max(before.found + before.removed, found)
        place = pb.ErasurePlace(
            kind=kind, name=name, found=found, removed=ever - found, gone=not found
        )
        if before.HasField("oldest_time"):
            place.oldest_time.CopyFrom(before.oldest_time)
            place.newest_time.CopyFrom(before.newest_time)
        if found:
            place.waiting = waiting
            if due_ms is not None:
                place.due_time.FromMilliseconds(due_ms)
        self.places[kind, name] = place
        return place

    def keep(self, kinds: Collection[str], names: Collection[str]) -> None:
        """Forget places of these kinds that the project has no more: others look after them."""
        self.places = {
            place: one
            for place, one in self.places.items()
            if place[0] not in kinds or place[1] in names
        }

    def name_set(self, digest: str, rows: int, versions: Iterable[tuple[str, int]]) -> None:
        """Name a training set that held the entity, and the versions that were trained on it."""
        known = [pb.ErasedVersion(model=model, number=number) for model, number in versions]
        self.sets[digest] = pb.ErasedTrainingSet(digest=digest, rows=rows, versions=known)

    def is_gone(self, *kinds: str) -> bool:
        """Say whether nothing was found when places (of these kinds; none: all) were seen last."""
        return all(one.gone for (kind, _), one in self.places.items() if not kinds or kind in kinds)

    def report(self) -> pb.ErasureReport:
        """Return what is said of it."""
        return pb.ErasureReport(
            service=SERVICE,
            places=[self.places[name] for name in sorted(self.places)],
            training_sets=[self.sets[digest] for digest in sorted(self.sets)],
            state_clean=self.state_clean,
            done=self.done,
            beginning=self.beginning,
        )
