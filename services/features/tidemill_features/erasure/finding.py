"""Find the training sets that hold entities, by what the archive says of their events."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tidemill.project import model_inputs
from tidemill_common.artifacts import Artifacts
from tidemill_features.erasure import sets
from tidemill_features.spine import join_key

if TYPE_CHECKING:
    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2
    from tidemill_common.erasures import Erased
    from tidemill_features.archiving import Archivers


@dataclass(frozen=True, slots=True)
class SetFinder:
    """Looks through the artefact store."""

    artifacts: str
    archivers: Archivers

    async def find(self, project: project_pb2.Project, erased: Erased) -> list[sets.HeldSet]:
        """Return the stored sets that hold any of the entities."""
        events = await self._events(project, erased)
        forms = [set_form(project, model) for model in project.models]
        artifacts = Artifacts(self.artifacts)
        return await asyncio.to_thread(lambda: list(sets.look(artifacts, erased, forms, events)))

    async def _events(
        self, project: project_pb2.Project, erased: Erased
    ) -> dict[str, npt.NDArray[np.uint64]]:
        """Return what identifies each entity's events, as spines of the models see them."""
        found: dict[str, list[npt.NDArray[np.uint64]]] = defaultdict(list)
        for model in project.models:
            key = list(model.spine.key)
            archiver = self.archivers.of(model.spine.stream)
            looked = await archiver.look(erased, keep=["_id", *key])
            for name, tables in looked.kept.items():
                found[name].extend(
                    sets.identities(table["_id"], [join_key(table, key)]) for table in tables
                )
        return {name: np.concatenate(parts) for name, parts in found.items()}


def set_form(project: project_pb2.Project, model: project_pb2.Model) -> sets.SetForm:
    """Return what the sets of a model look like."""
    inputs = model_inputs(project, model).inputs
    spine = model.spine
    return sets.SetForm(spine.stream, tuple(spine.key), frozenset(one.name for one in inputs))
