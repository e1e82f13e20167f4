"""Registry writes/s at 8 clients: register a version and move an alias, audited and announced."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

import psutil

from benchmarks.harness import quantiles, running, write
from tidemill.registry.v1 import registry_service_pb2 as pb
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill_common import rpc
from tidemill_common.artifacts import Artifacts
from tidemill_common.ids import Digest
from tidemill_common.model_package import File, Manifest, manifest_to_json

CLIENTS = 8
WARM_UP = 10
FILES = ("model.onnx", "weights.safetensors", "preprocessing.json", "golden.json")


def package(artifacts: Artifacts, model: str) -> tuple[Digest, list[pb.Artifact]]:
    """Put a small package into the store, as a worker does before it registers."""
    content = {name: f"{name} of {model}".encode() * 100 for name in FILES}
    files = {name: File(artifacts.put(data), len(data)) for name, data in content.items()}
    digest = artifacts.put(manifest_to_json(Manifest(model, files)))
    return digest, [pb.Artifact(name=n, sha256=f.sha256, size=f.size) for n, f in files.items()]


async def client(address: str, artifacts: Artifacts, model: str, writes: int) -> list[float]:
    """Register versions of a model of its own, each taking the alias over; return seconds."""
    digest, files = await asyncio.to_thread(package, artifacts, model)
    took = []
    async with rpc.connected(address) as channel:
        stub = RegistryServiceStub(channel)
        for turn in range(writes):
            begun = time.perf_counter()
            register = pb.RegisterVersionRequest(
                model=model,
                manifest_digest=digest,
                artifacts=files,
                lineage=pb.Lineage(run_id=f"{model}-{turn}"),
                metrics={"auc": 0.7, "log_loss": 0.5},
                fence=1,
            )
            reply = await rpc.call(stub.RegisterVersion, register)
            number = reply.version.number
            move = pb.MoveAliasRequest(
                model=model,
                alias="staging",
                number=number,
                expected_generation=number - 1,
                author="benchmark",
            )
            await rpc.call(stub.MoveAlias, move)
            took.append(time.perf_counter() - begun)
    return took


async def measure(
    address: str, artifacts: Artifacts, phase: str, writes: int
) -> tuple[float, list[float]]:
    """Let all clients write at once; return the whole time and that of each pair of calls."""
    clients = [client(address, artifacts, f"{phase}_{i}", writes) for i in range(CLIENTS)]
    begun = time.perf_counter()
    took: Sequence[list[float]] = await asyncio.gather(*clients)
    return time.perf_counter() - begun, [seconds for each in took for seconds in each]


async def relayed(address: str, entries: int) -> float:
    """Wait until every write is chained in the audit; return how long that took."""
    begun = time.perf_counter()
    async with rpc.connected(address) as channel:
        stub = RegistryServiceStub(channel)
        while True:
            found = await rpc.call(stub.VerifyAudit, pb.VerifyAuditRequest(), timeout=60.0)
            if found.entries >= entries:
                if not found.intact:
                    raise SystemExit(found.problem)
                return time.perf_counter() - begun
            await asyncio.sleep(0.1)


def main() -> None:
    """Start a registry and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=300, help="pairs of calls of each client")
    arguments = parser.parse_args()
    with running(["registry"]) as stack:
        address = stack.environment["TIDEMILL_REGISTRY"]
        artifacts = Artifacts(stack.environment["TIDEMILL_ARTIFACTS"])
        asyncio.run(measure(address, artifacts, "warm", WARM_UP))
        process = psutil.Process(stack.pid("registry"))
        before = process.cpu_times()
        total, took = asyncio.run(measure(address, artifacts, "model", arguments.writes))
        after = process.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        pairs = CLIENTS * arguments.writes
        entries = 2 * (pairs + CLIENTS * WARM_UP)
        caught_up = asyncio.run(relayed(address, entries))
    rate = pairs / total
    write(
        "registry_writes",
        {
            "reach": ">= 300/s at 8 clients",
            "what": f"{2 * rate:.0f} writes/s ({rate:.0f} pairs of register and alias move)",
            "writes_per_second": round(2 * rate, 1),
            "pairs_per_second": round(rate, 1),
            "clients": CLIENTS,
            "pairs": pairs,
            "pair": quantiles(took),
            "registry_cpu_ms_per_write": round(500 * cpu / pairs, 3),
            "audit_caught_up_seconds": round(caught_up, 3),
            "audit_entries": entries,
            "measures": "each write is a call over gRPC and one transaction that holds the change, "
            "its audit entry and its outbox row; register also checks the package in the store",
        },
    )


if __name__ == "__main__":
    main()
