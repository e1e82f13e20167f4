"""The Open Inference Protocol over gRPC, `inference.GRPCInferenceService`.

Only the methods that mean something here exist; Triton's others (model control, shared memory,
statistics) are refused by the server wrapper.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import grpc
from tritonclient.grpc import service_pb2

from tidemill.errors import FailedPrecondition
from tidemill_common import rpc
from tidemill_common.ids import new_id
from tidemill_serving import tensors
from tidemill_serving.handlers import Question

if TYPE_CHECKING:
    from tidemill_common.rpc import Health
    from tidemill_serving.fleet import Fleet, Live
    from tidemill_serving.handlers import Answer, Predictions

NAME: Final = "tidemill"
VERSION: Final = "0.1.0"
PLATFORM: Final = "tidemill_hydrated"
SERVICE: Final = "inference.GRPCInferenceService"
_READ: Final = rpc.Rule("serving.read")
METHODS: Final = rpc.rules(
    SERVICE,
    {
        "ServerLive": _READ,
        "ServerReady": _READ,
        "ServerMetadata": _READ,
        "ModelReady": _READ,
        "ModelMetadata": _READ,
        "ModelInfer": rpc.Rule("serving.predict", hot=True),
    },
)
MAX_ID: Final = 256


class InferenceServicer:
    """Answers by the fleet; every inference goes through `Predictions`."""

    def __init__(self, fleet: Fleet, predictions: Predictions, health: Health) -> None:
        """Serve the models of `fleet`."""
        self._fleet = fleet
        self._predictions = predictions
        self._health = health

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Say that the process answers."""
        del request, context
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Say whether it may get traffic."""
        del request, context
        return service_pb2.ServerReadyResponse(ready=self._health.ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Name the server."""
        del request, context
        return service_pb2.ServerMetadataResponse(name=NAME, version=VERSION)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Say whether a model (or one version that takes traffic) can answer."""
        del context
        try:
            live = self._fleet.live(request.name)
        except FailedPrecondition:
            return service_pb2.ModelReadyResponse(ready=False)
        lanes = live.lanes.values()
        wanted = [one for one in lanes if request.version in {"", str(one.held.number)}]
        ready = bool(wanted) and all(one.held.ready.is_set() for one in wanted)
        return service_pb2.ModelReadyResponse(ready=ready)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Name a model's inputs and outputs, and the versions that take traffic."""
        del context
        live = self._fleet.live(request.name)
        reply = service_pb2.ModelMetadataResponse(name=request.name, platform=PLATFORM)
        reply.versions.extend(str(number) for number in sorted(live.lanes))
        for field in live.spec.fields.fields:
            datatype = tensors.DATATYPES[field.type]
            reply.inputs.add(name=field.name, datatype=datatype, shape=[-1, 1])
        reply.outputs.add(name=output_of(live), datatype="FP32", shape=[-1, 1])
        reply.outputs.add(name="prediction_id", datatype="BYTES", shape=[-1])
        return reply

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Predict; see the service's README for inputs, parameters and outputs."""
        del context
        live = self._fleet.live(request.model_name)
        output = output_of(live)
        tensors.check_outputs(request, output)
        ask = tensors.ask_of(request, live.spec.fields)
        await self._predictions.wait_for(live, ask.token)
        began = time.monotonic()  # how long a caller chose to wait for a token is not latency
        request_id = request.id[:MAX_ID] or new_id()
        if ask.key and len(ask.rows) == 1:
            keys = [ask.key]
        else:
            keys = [live.spec.fields.key_text(row) for row in ask.rows]
            keys[0] = keys[0] or ask.key
        question = Question(ask.rows, keys, ask.at_us, request_id, began)
        answer = await self._predictions.together(live, question, request.model_version)
        return tensors.response(
            request, output, answer.scored.scores, answer.ids, answer.route.number, _facts(answer)
        )


def output_of(live: Live) -> str:
    """Name the output of a model: probability, or value for a regression."""
    champion = live.table.champion
    if champion is None:
        raise FailedPrecondition(f"model {live.spec.name!r} has no version yet")
    return live.lanes[champion.number].held.package.preprocessing.output


def add_to_server(servicer: InferenceServicer, server: Any) -> None:
    """Register the methods that exist here, and none of Triton's others."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, name),
            request_deserializer=getattr(service_pb2, f"{name}Request").FromString,
            response_serializer=_serialize,
        )
        for name in (method.rsplit("/", 1)[1] for method in METHODS)
    }
    server.add_registered_method_handlers(SERVICE, handlers)


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _facts(answer: Answer) -> list[tuple[str, str | float | bool]]:
    """Return the reply parameters that say where an answer comes from."""
    facts: list[tuple[str, str | float | bool]] = [
        ("version", str(answer.route.number)),
        ("variant", str(answer.route.variant)),
        ("freshness_ms", answer.scored.freshness_us / 1000),
        ("digest", answer.digest),
    ]
    if answer.scored.newer:
        facts.append(("state_newer", True))
    return facts
