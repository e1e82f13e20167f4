"""Publish at a steady rate until standard input ends: the apps beside the one that is measured.

A process of its own, as other apps are: what it costs is not time of the client that is looked at.
Prints one JSON object at the end: what was published, and in how many seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator

from tidemill import Event
from tidemill.addresses import Addresses
from tidemill.aio import AsyncClient, connect
from tidemill.errors import Unavailable

BATCH = 10
USERS = 5_000


class Load:
    """A load that runs; once it has ended, `published_per_second`."""

    published_per_second = 0


@contextlib.asynccontextmanager
async def loading(addresses: Addresses, rate: float) -> AsyncIterator[Load]:
    """Load while the block runs; a load that failed in it is an error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load", addresses.of("ingestion"), str(rate)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    load = Load()
    try:
        yield load
    finally:
        said, _ = await process.communicate(b"")  # without input it stays open
    if process.returncode:
        raise Unavailable(f"the load ended with {process.returncode}")
    done = json.loads(said)
    load.published_per_second = round(done["published"] / done["seconds"])


async def publish(client: AsyncClient, rate: float, ids: itertools.count[int]) -> None:
    """Publish `rate` events a second for ever, on schedule."""
    begun, sent, run = time.perf_counter(), 0, os.getpid()
    while True:
        due = int((time.perf_counter() - begun) * rate) - sent
        if due >= BATCH:
            events = [
                Event("clicks", {"user": f"u{n % USERS}", "price": n % 100 * 1.0}, id=f"{run}-{n}")
                for n in itertools.islice(ids, due)
            ]
            await client.publish(events)
            sent += due
        else:
            await asyncio.sleep(BATCH / rate / 2)


async def _run(ingestion: str, rate: float) -> None:
    async with connect(Addresses({"ingestion": ingestion}, "benchmark")) as client:
        ids, begun = itertools.count(), time.perf_counter()
        publishing = asyncio.create_task(publish(client, rate, ids))
        told = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await asyncio.wait({publishing, told}, return_when=asyncio.FIRST_COMPLETED)
        seconds = time.perf_counter() - begun
        if publishing.done():
            await publishing
        publishing.cancel()
    print(json.dumps({"published": next(ids), "seconds": seconds}))


def main() -> None:
    """Load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ingestion", help="where ingestion listens")
    parser.add_argument("rate", type=float, help="events a second")
    options = parser.parse_args()
    asyncio.run(_run(options.ingestion, options.rate))


if __name__ == "__main__":
    main()
