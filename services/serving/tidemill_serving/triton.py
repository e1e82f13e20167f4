"""Triton behind the port: tritonclient's stub on loopback, tensors as raw bytes.

Model control is closed to others: the server wants the secret as metadata of those calls.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tidemill.errors import DeadlineExceeded, TidemillError, Unavailable
from tidemill_common import telemetry
from tidemill_serving.predictor import ModelFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from tidemill_serving.predictor import Tensors

SECRET_NAME: Final = "triton-grpc-protocol-tidemill"  # noqa: S105 (the name, not the secret)
CONTROL_SECONDS: Final = 5.0
FLOAT_BYTES: Final = 4
MAX_DETAILS: Final = 300
_OPTIONS: Final = (
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    # After the server was away, the first call may not wait for a long back-off.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_AWAY: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.NOT_FOUND,  # how Triton says that a model is not loaded
        grpc.StatusCode.CANCELLED,
    }
)


class Triton:
    """One channel to one server; safe to use from many tasks of one loop."""

    def __init__(self, channel: grpc.aio.Channel, secret: str) -> None:
        """Call over `channel`; `secret` opens model control."""
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._control = ((SECRET_NAME, secret),)

    async def live(self) -> bool:
        """Say whether the server answers."""
        try:
            request = service_pb2.ServerLiveRequest()
            return bool((await _call(self._stub.ServerLive(request, timeout=1.0))).live)
        except TidemillError:
            return False

    async def load(self, name: str, *, timeout: float) -> None:
        """Load the model that lies in the repository."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        await _call(
            self._stub.RepositoryModelLoad(request, timeout=timeout, metadata=self._control)
        )

    async def unload(self, name: str) -> None:
        """Forget a model; one that is not loaded is no error."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=name)
        await _call(
            self._stub.RepositoryModelUnload(
                request, timeout=CONTROL_SECONDS, metadata=self._control
            )
        )

    async def ready(self, name: str) -> bool:
        """Say whether a model answers."""
        request = service_pb2.ModelReadyRequest(name=name)
        return bool((await _call(self._stub.ModelReady(request, timeout=CONTROL_SECONDS))).ready)

    async def loaded(self) -> frozenset[str]:
        """Return the names of all models that are ready."""
        request = service_pb2.RepositoryIndexRequest(ready=True)
        reply = await _call(
            self._stub.RepositoryIndex(request, timeout=CONTROL_SECONDS, metadata=self._control)
        )
        return frozenset(model.name for model in reply.models)

    async def infer(self, name: str, output: str, tensors: Tensors, *, timeout: float) -> bytes:
        """Return `output` as raw bytes."""
        request = _request(name, output, tensors)
        metadata = telemetry.to_metadata()
        reply = await _call(self._stub.ModelInfer(request, timeout=timeout, metadata=metadata))
        return _output(reply, name, output, tensors.rows)


@asynccontextmanager
async def connected(address: str, secret: str) -> AsyncIterator[Triton]:
    """Open a channel; it connects, and connects again, by itself."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        yield Triton(channel, secret)


def _request(name: str, output: str, tensors: Tensors) -> Any:
    request = service_pb2.ModelInferRequest(model_name=name)
    features = request.inputs.add(name="features", datatype="FP32")
    features.shape.extend((tensors.rows, tensors.width))
    request.raw_input_contents.append(tensors.features)
    if tensors.kinds:
        categories = request.inputs.add(name="categories", datatype="INT64")
        categories.shape.extend((tensors.rows, tensors.kinds))
        request.raw_input_contents.append(tensors.categories)
    request.outputs.add(name=output)
    return request


def _output(reply: Any, name: str, output: str, rows: int) -> bytes:
    """Take the bytes of the output; a server that answers without bytes is broken, not empty."""
    for tensor, raw in zip(reply.outputs, reply.raw_output_contents, strict=False):
        if tensor.name == output and tensor.datatype == "FP32":
            if len(raw) == rows * FLOAT_BYTES:
                return bytes(raw)
            raise ModelFailed(f"{name} gave {len(raw)} bytes of {output!r} for {rows} rows")
    raise ModelFailed(f"{name} gave no FP32 output {output!r}")


async def _call(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise _translated(error) from error


def _translated(error: grpc.aio.AioRpcError) -> TidemillError:
    details = error.details() or ""
    if error.code() in _AWAY:
        return Unavailable(f"the model server is away: {details}")
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("the model server took too long")
    return ModelFailed(f"the model server could not run the model: {details[:MAX_DETAILS]}")
