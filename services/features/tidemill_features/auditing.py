"""Prove it again and again: what was served is what the archive gives at the same positions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tidemill.errors import Rejected, Transient
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_common import metrics
from tidemill_common.app import until
from tidemill_common.project_source import load_project

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable

    from tidemill_features.handlers import Sets
    from tidemill_features.settings import Settings

    Verify = Callable[[pb.VerifyVectorsRequest], Awaitable[pb.VerifyVectorsResponse]]

logger = logging.getLogger(__name__)
VECTORS: Final = 100_000
"""The newest sampled vectors of a model that one audit recomputes."""
EXAMPLES: Final = 3


async def auditing(sets: Sets, settings: Settings, stop: asyncio.Event) -> None:
    """Audit every model of the current project now and then, until told to stop."""
    while not await until(stop, settings.audit_seconds):
        try:
            applied = await load_project(settings.registry)
        except (Rejected, Transient) as error:
            logger.warning("audit.waiting", extra={"model": "", "error": error.message})
        else:
            await audit((model.name for model in applied.project.models), sets.verify)


async def audit(models: Iterable[str], verify: Verify) -> None:
    """Recompute the newest vectors of each model and report; one that cannot be hinders no other.

    A repeat recomputes them again: gauges say what the last audit found.
    """
    for model in models:
        try:
            found = await verify(pb.VerifyVectorsRequest(model=model, max_vectors=VECTORS))
        except (Rejected, Transient) as error:
            logger.warning("audit.waiting", extra={"model": model, "error": error.message})
        else:
            _report(model, found)


def _report(model: str, found: pb.VerifyVectorsResponse) -> None:
    metrics.gauge("tidemill_audited_vectors_rows", model=model).set(found.vectors)
    for feature, count in sorted(found.by_feature.items()):
        gauge = metrics.gauge("tidemill_audit_mismatches_rows", model=model, feature=feature)
        gauge.set(count)
    facts = {"model": model, "vectors": found.vectors, "values": found.values}
    if found.mismatches:
        wrong = {feature: count for feature, count in found.by_feature.items() if count}
        facts |= {"by_feature": wrong, "examples": list(found.examples[:EXAMPLES])}
        logger.error("vectors.differ", extra=facts)
    else:
        logger.info("vectors.agree", extra=facts)
