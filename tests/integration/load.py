"""Load beside a test: visits published and predictions asked for, with a ledger of both."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from tests.integration.driver import MODEL, Platform, Visitors
from tidemill import Event
from tidemill.errors import TidemillError

HOP_US = 300_000_000
WINDOW_HOPS = 288
"""A window of a day in hops of five minutes."""


@dataclass(slots=True)
class Load:
    """Publishes ten visits at a time in a thread until stopped; every one is retried until accepted."""

    platform: Platform
    visitors: Visitors
    predicting: bool = False
    pause_s: float = 0.02
    visits: list[Event] = field(default_factory=list)
    answered: int = 0
    errors: list[str] = field(default_factory=list)
    failure: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                visits, _ = self.visitors.come(10)
                self.platform.publish(visits)
                self.visits += visits
                if self.predicting:
                    self._predict(visits[0])
                time.sleep(self.pause_s)
        except AssertionError as error:
            self.failure = error

    def _predict(self, visit: Event) -> None:
        try:
            self.platform.client.predict(
                MODEL, [dict(visit.data)], at=visit.data["at"], timeout=5.0
            )
            self.answered += 1
        except TidemillError as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def wait_for(self, visits: int, seconds: float = 60.0) -> None:
        """Wait until so many more visits have been accepted."""
        goal, end = len(self.visits) + visits, time.monotonic() + seconds
        while len(self.visits) < goal and time.monotonic() < end and self.failure is None:
            time.sleep(0.05)
        assert len(self.visits) >= goal, f"{len(self.visits)} of {goal} visits after {seconds} s"


def tile(at: datetime) -> int:
    """Return k of the tile (k h, (k + 1) h] that holds a time."""
    return -(-int(at.timestamp() * 1_000_000) // HOP_US) - 1


def recomputed(visits: Sequence[Event], at: datetime) -> dict[str, tuple[float, float]]:
    """Count and sum of amounts of each user over the day before `at`, by the definition alone."""
    cents: dict[str, list[int]] = defaultdict(list)
    for visit in {str(one.data["visit_id"]): one for one in visits}.values():
        if tile(at) - WINDOW_HOPS < tile(visit.data["at"]) <= tile(at):
            cents[str(visit.data["user"])].append(round(visit.data["amount"] * 100))
    return {user: (float(len(found)), sum(found) / 100) for user, found in cents.items()}


def served(
    platform: Platform, users: Sequence[str], at: datetime
) -> dict[str, tuple[float, float]]:
    """Return what the feature service says of the same."""
    reply = platform.client.get_features(
        "user_visits", [{"user": user} for user in users], at=at, timeout=20.0
    )
    count, total = (list(reply.features).index(name) for name in ("count_1d", "sum_amount_1d"))
    values = zip(users, reply.entities, strict=True)
    return {user: (found.values[count], round(found.values[total], 2)) for user, found in values}
