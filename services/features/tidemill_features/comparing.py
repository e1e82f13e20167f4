"""Compare the version of a view that is built beside with the one that is served."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.errors import FailedPrecondition, Invalid, Violation
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_features.convert import to_entities
from tidemill_features.diffing import Differences, Sample, smallest
from tidemill_tiles.canonical import SEPARATOR, canonical_key
from tidemill_tiles.keys import hash_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_common.clock import Clock
    from tidemill_common.feature_replica import FeatureReplica
    from tidemill_common.followed_view import FollowedView
    from tidemill_features.diffing import EntityDifference

SAMPLE: Final = 1_000
MAX_SAMPLE: Final = 10_000
WORST: Final = 10
MAX_WORST: Final = 100
AT_ONCE: Final = 250
"""Entities that are read without letting other reads in between."""
PATIENCE_SECONDS: Final = 0.25
"""How long to wait, for so many entities, for both versions to stand at the same positions."""


async def compare(
    replica: FeatureReplica, clock: Clock, request: pb.DiffFeaturesRequest
) -> pb.DiffFeaturesResponse:
    """Read both versions at one time, where it can be had from the same positions, and compare."""
    limits = {"sample": MAX_SAMPLE, "worst": MAX_WORST}
    wrong = {name: most for name, most in limits.items() if not 0 <= getattr(request, name) <= most}
    if wrong:
        raise Invalid(
            violations=[
                Violation(name, f"is not within 0 to {most}") for name, most in wrong.items()
            ]
        )
    served, coming = _both(replica, request.view)
    sample = await _sample(served, coming, request)
    at_us = max(clock.now_us(), served.newest_available_us, coming.newest_available_us)
    if request.HasField("at"):
        at_us = request.at.ToMicroseconds()
    found = Differences(served.spec.features, coming.spec.features, request.worst or WORST)
    apart = 0
    for start in range(0, len(sample.keys), AT_ONCE):
        keys = sample.keys[start : start + AT_ONCE]
        hashes, known = hash_keys(keys), np.ones(len(keys), dtype=np.bool_)
        apart = max(apart, await replica.records_apart(served, coming, PATIENCE_SECONDS))
        now = clock.now_us()
        found.add(
            keys, served.read(hashes, known, at_us, now), coming.read(hashes, known, at_us, now)
        )
    response = _response(found, served, coming)
    response.entities_total, response.records_apart = sample.total, apart
    response.at.FromMicroseconds(at_us)
    return response


def _both(replica: FeatureReplica, view: str) -> tuple[FollowedView, FollowedView]:
    """Return the served version and the one that is built beside, both complete."""
    there = replica.versions(view)
    if len(there) < 2:
        replica.view(view)
        raise FailedPrecondition(
            f"no other version of {view!r} is built beside the served one",
            hint="tidemill apply --hold-switch with the changed project file builds one",
        )
    served, coming = (replica.readable(view, version) for version in there)
    if served.spec.entity != coming.spec.entity:
        old, new = (", ".join(one.spec.entity) for one in (served, coming))
        raise FailedPrecondition(
            f"{view!r} is by {old}, its next version by {new}: they have no entity in common"
        )
    return served, coming


async def _sample(
    served: FollowedView, coming: FollowedView, request: pb.DiffFeaturesRequest
) -> Sample:
    """Return the entities that were named, or the smallest hashes of all that are held."""
    tables = [(table.hashes_now(), table.keys_now()) for table in (*served.tables, *coming.tables)]
    chosen = await asyncio.to_thread(smallest, tables, request.sample or SAMPLE)
    if not request.entities:
        return chosen
    named = to_entities(served.spec, request.entities)
    return Sample(tuple(dict.fromkeys(map(canonical_key, named))), chosen.total)


def _response(
    found: Differences, served: FollowedView, coming: FollowedView
) -> pb.DiffFeaturesResponse:
    means, most = found.means, found.most
    return pb.DiffFeaturesResponse(
        served_version=served.spec.version,
        next_version=coming.spec.version,
        entities=found.entities,
        entities_different=found.different,
        features=[
            pb.FeatureDiff(
                feature=name,
                equal=int(found.equal[place]),
                changed=int(found.changed[place]),
                appeared=int(found.appeared[place]),
                gone=int(found.gone[place]),
                mean_difference=float(means[0, place]),
                max_difference=float(most[0, place]),
                mean_relative=float(means[1, place]),
                max_relative=float(most[1, place]),
            )
            for place, name in enumerate(found.features)
        ],
        added_features=found.added,
        removed_features=found.removed,
        worst=[_entity(one, served.spec.entity) for one in found.worst],
    )


def _entity(one: EntityDifference, names: Sequence[str]) -> pb.EntityDiff:
    texts = one.key.decode().split(SEPARATOR)
    return pb.EntityDiff(
        entity=pb.EntityKey(fields=dict(zip(names, texts, strict=True))),
        values=[
            pb.ValueDiff(feature=name, served=served, next=coming)
            for name, served, coming in one.values
        ],
    )
