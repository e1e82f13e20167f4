"""What erasing an entity would touch: looked up, counted, and forgotten again."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.errors import FailedPrecondition
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_common.entity_names import names_of
from tidemill_common.erased_entity import entity_of
from tidemill_common.erasures import Erased, ErasedKey
from tidemill_common.project_source import load_project
from tidemill_features.definitions import all_work
from tidemill_features.erasing import held
from tidemill_features.erasure import sightings
from tidemill_features.erasure.finding import SetFinder
from tidemill_features.erasure.looking import Look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from tidemill_common.feature_replica import FeatureReplica
    from tidemill_common.kafka import Admin, Broker
    from tidemill_features.archiving import Archivers
    from tidemill_features.definitions import Work
    from tidemill_features.settings import Settings

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Planner:
    """Looks where an entity is; its key is kept nowhere."""

    settings: Settings
    broker: Broker
    admin: Admin
    archivers: Archivers
    replica: FeatureReplica

    async def plan(self, fields: Mapping[str, str]) -> pb.PlanErasureResponse:
        """Look through every place for the entity that these key fields name."""
        applied = await load_project(self.settings.registry)
        work = all_work(applied)
        entity = entity_of(applied.project, fields)
        secret = secrets.token_bytes(SECRET_BYTES)
        key = ErasedKey(entity.fields, entity.digest(secret))
        beside = [applied.held.project] if applied.held is not None else []
        erased = Erased(secret, [key], names_of(applied.project, *beside))
        missing = [name for name in work.streams if name not in self.archivers]
        if missing or not self.settings.archiver:
            raise FailedPrecondition(
                f"the archive of {', '.join(missing) or 'the streams'} is not kept by this server",
                hint="ask the one that archives, or try again in a few seconds",
            )
        places = [one async for one in self._places(work, erased, key)]
        finder = SetFinder(self.settings.artifacts, self.archivers)
        sets = await finder.find(applied.project, erased)
        return pb.PlanErasureResponse(
            places=places,
            kept_views=dict.fromkeys(_kept(work, erased)),
            training_sets=sorted(one.digest for one in sets),
        )

    async def _places(
        self, work: Work, erased: Erased, key: ErasedKey
    ) -> AsyncIterator[pb.PlannedPlace]:
        for view in self.replica.followed():
            keys = {one for t in view.tables for one in held(view.spec, t.keys_now(), erased)}
            served = self.replica.views.get(view.spec.name) == view.spec
            name = view.spec.name if served else view.spec.key
            yield pb.PlannedPlace(kind="view", name=name, found=len(keys))
        for name in work.streams:
            looked = await self.archivers.of(name).look(erased)
            rows = looked.rows[key.erasure_id]
            yield pb.PlannedPlace(kind="archive", name=name, found=rows)
        kinds = {
            "log": sightings.logs(work),
            "stream": sightings.raw_topics(work),
            "topic": sightings.side_topics(work),
        }
        for kind, topics in kinds.items():
            for topic, sight in topics.items():
                look = Look(self.broker, self.admin, topic, sight, erased)
                await look.go_on()
                found = look.found(key.erasure_id)
                yield pb.PlannedPlace(kind=kind, name=topic, found=found)


def _kept(work: Work, erased: Erased) -> Iterator[str]:
    """Give the views that count the entity's events among others'."""
    for stream in work.parts:
        if erased.of_stream(stream.name).may_be_in(stream.schema.names):
            for view in stream.views:
                if not erased.may_be_in(view.entity):
                    yield view.name
