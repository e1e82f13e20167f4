"""What versions looked like when they were trained: from the registry and the artefact store."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tidemill.errors import NotFound, Rejected, Transient
from tidemill.registry.v1 import registry_service_pb2 as pb
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill_common import rpc
from tidemill_common.app import until
from tidemill_common.model_package import manifest_from_json
from tidemill_common.reference import NumericBins, from_json
from tidemill_monitoring.driftcount import Layout, layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpc.aio import Channel

    from tidemill_common.artifacts import Artifacts

REFERENCE = "reference.json"
CHAMPION = "champion"
RECONCILE_SECONDS = 5.0
logger = logging.getLogger(__name__)


class References:
    """Reference bins by model and version, and the champion's profile of raw fields."""

    def __init__(self, channel: Channel, artifacts: Artifacts) -> None:
        """Ask the registry over `channel`, read packages from `artifacts`."""
        self._registry = RegistryServiceStub(channel)
        self._artifacts = artifacts
        self._layouts: dict[tuple[str, int], Layout | None] = {}
        self._champions: dict[str, int] = {}

    def known(self, model: str, version: int) -> Layout | None:
        """Give a version's layout if it was loaded and there is one."""
        return self._layouts.get((model, version))

    async def load(self, model: str, version: int) -> None:
        """Load a version's reference once; a package without a good one is not judged.

        Transient when the registry is away: nothing may be counted meanwhile.
        """
        if (model, version) in self._layouts:
            return
        try:
            request = pb.GetVersionRequest(model=model, number=version)
            reply = await rpc.call(self._registry.GetVersion, request)
            found = await asyncio.to_thread(self._read, reply.version.digest)
        except Rejected as error:
            facts = {"model": model, "version": version, "error": str(error)}
            logger.error("reference.missing", extra=facts)  # noqa: TRY400 (expected, no trace)
            found = None
        self._layouts[model, version] = found

    def _read(self, digest: str) -> Layout:
        manifest = manifest_from_json(self._artifacts.get(digest))
        return layout(from_json(self._artifacts.get(manifest.digest_of(REFERENCE))))

    def profiles(self, model: str) -> Mapping[str, NumericBins]:
        """Give the champion's profile of raw fields, by stream.field; empty without a champion."""
        number = self._champions.get(model)
        found = self.known(model, number) if number else None
        if found is None:
            return {}
        fields = found.reference.fields
        return {bins.name: bins for bins in fields if isinstance(bins, NumericBins)}

    async def follow_champions(self, models: list[str], stop: asyncio.Event) -> None:
        """Keep up with which version is champion."""
        while not stop.is_set():
            for model in models:
                try:
                    request = pb.GetVersionRequest(model=model, alias=CHAMPION)
                    reply = await rpc.call(self._registry.GetVersion, request)
                    await self.load(model, reply.version.number)
                    self._champions[model] = reply.version.number
                except NotFound:
                    self._champions.pop(model, None)
                except Transient as error:
                    logger.warning("registry.away", extra={"error": str(error)})
            await until(stop, RECONCILE_SECONDS)
