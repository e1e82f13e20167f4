"""A registry that knows one project: what tests and benchmarks of features alone need of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc

from tidemill.errors import NotFound
from tidemill.project import generation, normalise
from tidemill.registry.v1 import registry_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tidemill.definitions.v1 import project_pb2


class OneProject:
    """Answers GetProject, and only that, with the project it was given last."""

    def __init__(self, project: project_pb2.Project) -> None:
        self._numbers: dict[str, int] = {}
        self._projects: dict[str, project_pb2.Project] = {}
        self.apply(project)

    def apply(self, project: project_pb2.Project) -> str:
        """Make a project the current one; return its generation."""
        self.project = normalise(project)
        self.current = generation(self.project)
        self._projects[self.current] = self.project
        self._numbers.setdefault(self.current, len(self._numbers) + 1)
        return self.current

    async def GetProject(  # noqa: N802 (gRPC's name)
        self, request: pb.GetProjectRequest, _: object
    ) -> pb.GetProjectResponse:
        """Return the current project, or one of the generations."""
        wanted = request.generation or self.current
        if wanted not in self._projects:
            raise NotFound(f"no generation {wanted}")
        return pb.GetProjectResponse(
            project=self._projects[wanted], generation=wanted, number=self._numbers[wanted]
        )


@contextlib.asynccontextmanager
async def one_project(project: project_pb2.Project) -> AsyncIterator[tuple[str, OneProject]]:
    """Serve a project as the registry does; gives the address and the servicer."""
    servicer = OneProject(project)
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(
        servicer.GetProject,
        request_deserializer=pb.GetProjectRequest.FromString,
        response_serializer=pb.GetProjectResponse.SerializeToString,
    )
    service = pb.DESCRIPTOR.services_by_name["RegistryService"].full_name
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"GetProject": method}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", servicer
    finally:
        await server.stop(0)
