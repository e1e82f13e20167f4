"""Publish over gRPC to the new value in a gRPC feature read, at a steady rate.

Each probe publishes one event of an entity of its own and reads that entity's count until it is
there; a process beside it keeps the rate. The time runs from just before the publish call to the
reply that shows the new value.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Sequence

from benchmarks.harness import applied, quantiles, running, wait_for_views, where, write
from benchmarks.load import loading
from benchmarks.publish import wait_for_stream
from tidemill import Event
from tidemill.addresses import Addresses
from tidemill.aio import AsyncClient, connect
from tidemill.errors import Transient

PROJECT = """
project: bench
streams:
  clicks:
    key: [user]
    partitions: 2
    fields:
      user: {type: string, required: true}
      price: {type: float64}
views:
  users:
    stream: clicks
    entity: [user]
    aggregations:
      - {function: count, windows: [1h]}
      - {function: mean, field: price, windows: [1h, 1d]}
"""
SETTLE_S = 5.0
"""Until the load runs: its process has to start."""
PROBE_EVERY_S = 0.05
KINDS = ("token", "polling")


async def probe(client: AsyncClient, number: int, *, polling: bool) -> float:
    """Return the seconds from the publish call to the reply with the new value."""
    user = f"probe-{number}"
    begun = time.perf_counter()
    reply = await client.publish([Event("clicks", {"user": user, "price": 1.0}, id=user)])
    token = None if polling else reply.token
    while True:
        try:
            values = await client.get_features("users", [{"user": user}], token=token)
        except Transient:
            continue
        if values.entities[0].values[0] == 1.0:
            return time.perf_counter() - begun


async def measure(
    addresses: Addresses, rate: float, seconds: float, kinds: Sequence[str] = KINDS
) -> dict[str, dict[str, float]]:
    """Run each kind of probe under load: reading with the token, and polling without it.

    A load that ends is an error; one that the machine cannot carry makes the figures worthless:
    what was published per second stands beside them.
    """
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    async with connect(addresses) as client, loading(addresses, rate) as load:
        await asyncio.sleep(SETTLE_S)
        numbers = itertools.count()
        for kind, times in found.items():
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                times.append(await probe(client, next(numbers), polling=kind == "polling"))
                await asyncio.sleep(PROBE_EVERY_S)
    return {
        f"with_{kind}": {
            "probes": len(times),
            "published_per_second": load.published_per_second,
            **quantiles(times),
        }
        for kind, times in found.items()
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    services = ["registry", "ingestion", "features-worker", "features-server"]
    with running(services) as stack, applied(stack, PROJECT) as client:
        wait_for_stream(where(stack).of("ingestion"))
        wait_for_views(client)
        figures = asyncio.run(measure(where(stack), options.rate, options.seconds))
    write(
        "freshness",
        {
            "what": f"publish over gRPC to a gRPC feature read, {options.rate:.0f} events/s",
            "reach": "p50 <= 10 ms, p99 <= 30 ms",
            **figures,
        },
    )


if __name__ == "__main__":
    main()
