"""Questions to running parts: does it listen, is it ready. Each call ends within two seconds."""

from __future__ import annotations

import http.client
import socket

import grpc
from grpc_health.v1 import health_pb2

from tidemill_local.program import Readiness

PROBE_S = 2.0


def listens(address: str) -> Readiness:
    """Whether something accepts connections on `address`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=PROBE_S):
            return Readiness.READY
    except OSError:
        return Readiness.NO


def http_answers(address: str, path: str) -> Readiness:
    """Whether an HTTP server answers `path` with 200."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PROBE_S)
    try:
        connection.request("GET", path)
        return (
            Readiness.READY
            if connection.getresponse().status == http.HTTPStatus.OK
            else Readiness.UP
        )
    except (OSError, http.client.HTTPException):
        return Readiness.NO
    finally:
        connection.close()


def grpc_health(address: str) -> Readiness:
    """Ask a service of ours for its health."""
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            reply = check(health_pb2.HealthCheckRequest(), timeout=PROBE_S)
        except grpc.RpcError as error:
            answered = error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}
            return Readiness.UP if answered else Readiness.NO
    serving = reply.status == health_pb2.HealthCheckResponse.SERVING
    return Readiness.READY if serving else Readiness.UP
