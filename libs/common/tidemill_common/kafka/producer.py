"""Append records durably: idempotent, acks=all, and alive again after the client got stuck.

aiokafka's producer can lock up for ever (an idempotent batch that expires unsent breaks the
sequence; its sender task can end). So each record waits in a map of ours until the broker has it;
a watchdog replaces a sick client and sends what is not acknowledged again, in order. The broker
may then have a record twice: consumers drop the second by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tidemill.errors import Exhausted, OutcomeUnknown, Rejected, TooLarge, Unavailable
from tidemill_common import metrics
from tidemill_common.beside import beside
from tidemill_common.kafka.broker import RETRY_BACKOFF_MS, Broker, Sent, to_error
from tidemill_common.topics import MAX_RECORD_BYTES
from tidemill_common.verdict import Backoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LINGER_MS = 5
BATCH_BYTES = 131_072
REQUEST_TIMEOUT_MS = 30_000
WAITING_BYTES = 64 << 20
STALLED_SECONDS = 10.0
_WATCH_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
_OVERHEAD_BYTES = 100

Headers = list[tuple[str, bytes]] | tuple[tuple[str, bytes], ...]
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    """A record that the broker has not acknowledged."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int | None
    headers: list[tuple[str, bytes]]
    future: asyncio.Future[Sent]
    size: int
    since: float


def settings(broker: Broker) -> dict[str, Any]:
    """Return the settings every producer has; see facts on Kafka for their reasons."""
    return {
        "bootstrap_servers": broker.address,
        "client_id": broker.client,
        "acks": "all",
        "enable_idempotence": True,
        "max_batch_size": BATCH_BYTES,
        "max_request_size": 2 * MAX_RECORD_BYTES,
        # aiokafka compresses lz4 at level 9, eight times as dear for a fifth less.
        "compression_type": "snappy",
        "retry_backoff_ms": RETRY_BACKOFF_MS,
    }


class Producer:
    """Appends; use `producing`. The order of records of one partition is the order of the calls."""

    def __init__(self, broker: Broker, linger_ms: int = LINGER_MS) -> None:
        """Prepare; `run` does the work."""
        self._settings = {
            **settings(broker),
            "linger_ms": linger_ms,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
        }
        self._queue: deque[tuple[int, _Waiting]] = deque()
        self._flying: dict[int, _Waiting] = {}
        self._numbers = itertools.count()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sick = ""
        self._progress = time.monotonic()
        self._client: Any = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Return how many records are not acknowledged."""
        return len(self._queue) + len(self._flying)

    @property
    def stalled(self) -> float:
        """Return for how many seconds nothing was acknowledged although something waits."""
        return time.monotonic() - self._progress if self.waiting else 0.0

    def enqueue(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Headers = (),
    ) -> asyncio.Future[Sent]:
        """Take a record and return the future of its place; never waits.

        The future raises Rejected if the broker will never take it, Unavailable if the producer is
        closed before the broker had it. Cancelling it gives up: it may be appended nevertheless.
        Raises TooLarge, or Exhausted while 64 MiB are waiting.
        """
        size = len(value or b"") + len(key or b"") + _OVERHEAD_BYTES
        if size > MAX_RECORD_BYTES:
            raise TooLarge(f"{size} bytes for {topic}: a record has at most {MAX_RECORD_BYTES}")
        if self._closed:
            raise Unavailable("the producer is closed")
        if self._bytes + size > WAITING_BYTES:
            raise Exhausted(f"{self._bytes} bytes wait for the broker", retry_after=1.0)
        if not self.waiting:
            self._progress = time.monotonic()
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        record = _Waiting(
            topic, value, key, partition, list(headers), future, size, time.monotonic()
        )
        self._queue.append((next(self._numbers), record))
        self._bytes += size
        self._idle.clear()
        self._wake.set()
        return future

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Headers = (),
        timeout: float = 30.0,
    ) -> Sent:
        """Append a record and return its place once the broker has it.

        OutcomeUnknown after `timeout`: it may have been appended, send it again with the same id.
        """
        future = self.enqueue(topic, value, key=key, partition=partition, headers=headers)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError as error:
            raise OutcomeUnknown(f"no acknowledgement for {topic} in {timeout:g} s") from error

    async def flush(self, timeout: float) -> int:
        """Wait until nothing waits, at most `timeout`; return how many records still do."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        return self.waiting

    async def start(self) -> None:
        """Connect; Unavailable if the broker cannot be reached now."""
        try:
            self._client = await _started(self._settings)
        except KafkaError as error:
            raise to_error(error) from error

    async def run(self) -> None:
        """Hand records to the client and replace it when it is sick, until cancelled."""
        while True:
            if self._sick:
                await self._replace()
            while self._queue and not self._sick:
                await self._hand_over(*self._queue.popleft())
            self._wake.clear()
            if not self._queue:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_WATCH_SECONDS):
                        await self._wake.wait()
            self._look_after()

    async def _hand_over(self, number: int, record: _Waiting) -> None:
        """Give one record to the client; it waits only while the partition's batch is full."""
        if record.future.done():
            self._forget(record)
            return
        self._flying[number] = record
        client = self._client
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                future = await client.send(
                    record.topic,
                    record.value,
                    key=record.key,
                    partition=record.partition,
                    headers=record.headers,
                )
        except (KafkaError, TimeoutError, AssertionError) as error:
            self._failed(number, error)
        else:
            future.add_done_callback(partial(self._done, client, number))

    def _done(self, client: Any, number: int, future: asyncio.Future[Any]) -> None:
        """Note what became of a record; what an old client says no longer counts."""
        error = None if future.cancelled() else future.exception()
        if client is not self._client or number not in self._flying:
            return
        if future.cancelled() or error is not None:
            self._failed(number, error or KafkaError("cancelled"))
            return
        record = self._flying.pop(number)
        found = future.result()
        self._progress = time.monotonic()
        if not record.future.done():
            record.future.set_result(
                Sent(found.topic, found.partition, found.offset, found.timestamp or 0)
            )
        metrics.counter("messaging_client_sent_messages_total", topic=record.topic).inc()
        metrics.histogram(
            "messaging_client_operation_duration_seconds", topic=record.topic, operation="send"
        ).observe(self._progress - record.since)
        self._forget(record)

    def _failed(self, number: int, error: BaseException) -> None:
        """Refuse a record for good, or declare the client sick and keep the record."""
        meaning = to_error(error)
        if isinstance(meaning, Rejected) and meaning.reason != "FENCED":
            record = self._flying.pop(number)
            if not record.future.done():
                record.future.set_exception(meaning)
            self._forget(record)
            return
        self._sick = self._sick or type(error).__name__
        self._wake.set()

    def _forget(self, record: _Waiting) -> None:
        """Give back the room a record took."""
        self._bytes -= record.size
        if not self.waiting:
            self._idle.set()

    def _look_after(self) -> None:
        """Declare a client sick whose sender ended or that makes no progress."""
        metrics.gauge("tidemill_producer_waiting_records").set(self.waiting)
        if _sender_ended(self._client):
            self._sick = self._sick or "SenderEnded"
        elif self._flying and self.stalled > STALLED_SECONDS:
            self._sick = self._sick or "NoProgress"

    async def _replace(self) -> None:
        """Stop the sick client, start another, and put back first what is not acknowledged."""
        cause, old, self._client = self._sick, self._client, None
        self._queue.extendleft(sorted(self._flying.items(), reverse=True))
        self._flying = {}
        await _kill(old)
        backoff = Backoff(0.1, 2.0)
        for attempt in itertools.count(1):
            try:
                self._client = await _started(self._settings)
                break
            except (KafkaError, OSError):
                await asyncio.sleep(0.05 + backoff.delay(attempt))
        self._sick = ""
        self._progress = time.monotonic()
        metrics.counter("tidemill_producer_restarts_total").inc()
        logger.warning("producer.restarted", extra={"cause": cause, "resent": len(self._queue)})

    async def close(self) -> None:
        """End, after `run` has: what the broker does not have by now fails as Unavailable."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await _kill(client)
        for record in [*self._flying.values(), *(record for _, record in self._queue)]:
            if not record.future.done():
                record.future.set_exception(Unavailable("the producer was closed"))
                record.future.exception()


async def _started(config: dict[str, Any]) -> Any:
    """Return a connected client, and leave nothing behind if that fails."""
    client = AIOKafkaProducer(**config)
    try:
        await client.start()
    except BaseException:
        await _kill(client)
        raise
    return client


async def abandon(client: Any) -> None:
    """End a client's sender and its connections at once.

    stop() flushes, and the sender waits for requests under way: over a connection whose other side
    is gone either would outlast every bound and leave connections and their tasks behind.
    """
    client._closed = True  # noqa: SLF001 (no public way)
    sender = client._sender  # noqa: SLF001 (as above)
    sending = [] if sender is None else [sender.close()]
    await asyncio.gather(*sending, client.client.close(), return_exceptions=True)


async def _kill(client: Any) -> None:
    """End a client within bounds: its batches fail, for it would wait for them."""
    with contextlib.suppress(TimeoutError, KafkaError, asyncio.InvalidStateError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await abandon(client)
            client._message_accumulator.fail_all(KafkaError("closed"))  # noqa: SLF001 (as above)


def _sender_ended(client: Any) -> bool:
    """Say whether the client's background task is over."""
    sender = None if client is None else client._sender  # noqa: SLF001 (no public way)
    return sender is not None and sender.sender_task is not None and sender.sender_task.done()


@contextlib.asynccontextmanager
async def producing(
    broker: Broker, *, linger_ms: int = LINGER_MS, closing: float = _CLOSE_SECONDS
) -> AsyncIterator[Producer]:
    """Give a producer; leaving waits up to `closing` seconds for what is not acknowledged."""
    producer = Producer(broker, linger_ms)
    await producer.start()
    try:
        async with beside(producer.run(), "producer"):
            yield producer
            await producer.flush(closing)
    finally:
        await producer.close()
