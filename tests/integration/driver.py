"""The words that tests of the platform speak, and a shop's visitors to speak of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np

from tidemill import Event, merge
from tidemill.addresses import Addresses, variable
from tidemill.client import Client
from tidemill.errors import TidemillError
from tidemill.ingestion.v1 import ingestion_service_pb2 as ingestion_pb
from tidemill.project import load
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.serving.v1 import serving_service_pb2 as serving_pb
from tidemill_local.library import LocalStack

T = TypeVar("T")
MODEL = "purchase"
PROJECT = Path(__file__).parent / "shop.yaml"
START = datetime(2024, 3, 1, tzinfo=UTC)
COUNTRIES = ("NL", "DE", "FR", "BE", "PT")
SERVICES = ("registry", "ingestion", "features", "training", "serving", "monitoring")
BATCH = 500
EVERY_S = 0.2
PATIENCE_S = 120.0


def eventually(ask: Callable[[], T | None], what: str, seconds: float = PATIENCE_S) -> T:
    """Ask until there is an answer; a service that is away is asked again."""
    end, last = time.monotonic() + seconds, "no answer"
    while time.monotonic() < end:
        try:
            found = ask()
        except TidemillError as error:
            found, last = None, f"{type(error).__name__}: {error}"
        if found:
            return found
        time.sleep(EVERY_S)
    raise AssertionError(f"{what}: not within {seconds:.0f} s ({last})")


def addresses(stack: LocalStack) -> Addresses:
    """Where the stack's services are."""
    known = stack.environment
    names = [name for name in SERVICES if variable(name) in known]
    return Addresses({name: known[variable(name)] for name in names}, "the test's stack")


@dataclass(slots=True)
class Visitors:
    """A seeded crowd; who buys depends on country, amount and how often a user came lately."""

    seed: int = 1
    users: int = 200
    names: str = "u"
    at: datetime = START
    every: timedelta = timedelta(minutes=2)
    _count: int = 0
    _random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def come(self, number: int, *, corrupt: bool = False) -> tuple[list[Event], list[Event]]:
        """Return visits and their outcomes, ten minutes later; corrupt: outcomes are turned round."""
        visits, outcomes = [], []
        for _ in range(number):
            self._count += 1
            self.at += self.every
            user = int(self._random.integers(self.users))
            country = int(self._random.integers(len(COUNTRIES)))
            amount = round(float(self._random.gamma(2.0, 20.0)), 2)
            logit = -1.0 + 0.9 * (country - 2) + 0.02 * (amount - 40) + 0.8 * (user % 3 - 1)
            bought = bool(self._random.random() < 1 / (1 + np.exp(-logit)))
            visits.append(self._visit(user, country, amount))
            outcomes.append(self._outcome(bought is not corrupt))
        return visits, outcomes

    def _visit(self, user: int, country: int, amount: float) -> Event:
        data = {
            "visit_id": f"v{self.seed}-{self._count}",
            "user": f"{self.names}{user}",
            "at": self.at,
            "amount": amount,
            "country": COUNTRIES[country],
        }
        return Event("visit", data, source="shop", available=self.at)

    def _outcome(self, bought: bool) -> Event:
        at = self.at + timedelta(minutes=10)
        data = {
            "outcome_id": f"o{self.seed}-{self._count}",
            "visit_id": f"v{self.seed}-{self._count}",
            "at": at,
            "bought": bought,
        }
        return Event("outcome", data, source="shop", available=at)


@dataclass(frozen=True, slots=True)
class Platform:
    """A running stack with the shop applied."""

    stack: LocalStack
    client: Client

    def apply(self) -> None:
        """Apply the shop and wait until its features can be read."""
        eventually(lambda: self.client.apply(load(PROJECT)), "apply")
        self.wait_for_views()

    def wait_for_views(self) -> None:
        """Wait until every partition of every view is ready."""

        def ready() -> bool:
            views = self.client.describe_views().views
            return bool(views) and all(view.ready for view in views)

        eventually(ready, "views ready")

    def publish(self, events: Sequence[Event]) -> ingestion_pb.PositionToken:
        """Publish, and again with the same ids what was not accepted, until all of it is."""
        tokens: list[ingestion_pb.PositionToken] = []
        for start in range(0, len(events), BATCH):
            waiting = list(events[start : start + BATCH])

            def attempt(waiting: list[Event] = waiting) -> bool:
                reply = self.client.publish(waiting)
                tokens.append(reply.token)
                outcomes = [result.outcome for result in reply.results]
                assert ingestion_pb.OUTCOME_REJECTED not in outcomes, reply.results
                accepted = ingestion_pb.OUTCOME_ACCEPTED
                pairs = zip(waiting, outcomes, strict=True)
                waiting[:] = [event for event, outcome in pairs if outcome != accepted]
                return not waiting

            eventually(attempt, "events accepted")
        return merge(tokens)

    def champion(self) -> int:
        """Number of the version that takes traffic, 0 for none."""
        return max((row.champion for row in self.client.rollouts(MODEL)), default=0)

    def wait_for_champion(self, above: int = 0, seconds: float = PATIENCE_S) -> int:
        """Wait until a version newer than `above` is champion."""

        def newer() -> int:
            number = self.champion()
            return number if number > above else 0

        return eventually(newer, f"a champion above {above}", seconds)

    def wait_for_version(self, above: int, seconds: float = PATIENCE_S) -> registry_pb.Version:
        """Wait until a version newer than `above` has passed or failed its gates."""

        def decided() -> registry_pb.Version | None:
            newest = next(iter(self.client.versions(MODEL, limit=1)), None)
            if newest is None or newest.number <= above:
                return None
            return None if newest.stage == registry_pb.STAGE_CANDIDATE else newest

        return eventually(decided, f"a decided version above {above}", seconds)

    def predict(
        self, visits: Iterable[Event], *, token: ingestion_pb.PositionToken | None = None
    ) -> list[serving_pb.Prediction]:
        """Ask for each visit at its own time."""
        answers: list[serving_pb.Prediction] = []
        for visit in visits:
            at = visit.data["at"]
            answers += self.client.predict(MODEL, [dict(visit.data)], at=at, token=token)
        return answers

    def wait_for_answer(self, visit: Event) -> serving_pb.Prediction:
        """Wait until serving answers: the champion is loaded and routed."""
        return eventually(lambda: self.predict([visit])[0], "an answer")
