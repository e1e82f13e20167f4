"""What the asyncio client says about a project that is held beside the current one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime

import grpc

from tidemill.definitions.v1 import project_pb2
from tidemill.events import to_timestamp
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.features.v1.feature_service_pb2_grpc import FeatureServiceStub
from tidemill.keys import to_key
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill.transport import TIMEOUT, call

CHECK_TIMEOUT = 30.0
"""A project is checked by the engine, an entity is read in two versions."""


class Changing(ABC):
    """The part of the client that holds a project, compares its views, and switches to it."""

    _author: str

    @abstractmethod
    def _channel(self, service: str) -> grpc.aio.Channel:
        """Return the channel to a service."""

    async def hold(self, project: project_pb2.Project) -> registry_pb.HoldProjectResponse:
        """Let a project be built beside the current one, which stays current until `switch`."""
        request = registry_pb.HoldProjectRequest(project=project, author=self._author)
        stub = RegistryServiceStub(self._channel("registry"))
        return await call(stub.HoldProject, request, CHECK_TIMEOUT, "registry")

    async def switch(self, generation: str = "") -> registry_pb.SwitchProjectResponse:
        """Make the held project current; its views take over as soon as they are built."""
        request = registry_pb.SwitchProjectRequest(generation=generation, author=self._author)
        stub = RegistryServiceStub(self._channel("registry"))
        return await call(stub.SwitchProject, request, TIMEOUT, "registry")

    async def abort(self, generation: str = "") -> registry_pb.AbortProjectResponse:
        """Drop the held project."""
        request = registry_pb.AbortProjectRequest(generation=generation, author=self._author)
        stub = RegistryServiceStub(self._channel("registry"))
        return await call(stub.AbortProject, request, TIMEOUT, "registry")

    async def diff_features(
        self,
        view: str,
        entities: Iterable[Mapping[str, str]] = (),
        *,
        sample: int = 0,
        worst: int = 0,
        at: datetime | None = None,
        timeout: float = CHECK_TIMEOUT,
    ) -> features_pb.DiffFeaturesResponse:
        """Say how the next version of a view differs on these entities, or on a sample of all."""
        request = features_pb.DiffFeaturesRequest(
            view=view,
            entities=[to_key(entity) for entity in entities],
            sample=sample,
            worst=worst,
            at=to_timestamp(at) if at else None,
        )
        stub = FeatureServiceStub(self._channel("features"))
        return await call(stub.DiffFeatures, request, timeout, "features")
