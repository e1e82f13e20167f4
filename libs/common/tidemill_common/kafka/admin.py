"""Make topics as the catalogue says, trim logs, and tell where logs and groups are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

from tidemill.errors import Misconfigured, NotFound, Unavailable
from tidemill_common.kafka.broker import Broker, TopicPartition, to_error
from tidemill_common.kafka.membership import LeaveGroup
from tidemill_common.kafka.reading import ends, reading, settings, starts, stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from tidemill_common.topics import Topic

REQUEST_TIMEOUT_MS = 10_000
_KNOWN_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_AGAIN_SECONDS = 0.1
_SUFFIX = 36
"""Characters of the id that the broker puts behind the instance of a static member."""
logger = logging.getLogger(__name__)


class Admin:
    """What is asked of the cluster itself; use `administering`."""

    def __init__(self, broker: Broker, client: Any, reader: Any, stable: Any) -> None:
        """Use a started admin client, and readers that see uncommitted and committed records."""
        self._broker = broker
        self._client = client
        self._reader = reader
        self._stable = stable

    async def ensure(self, wanted: Iterable[Topic], *, only_missing: bool = False) -> None:
        """Make the topics that are missing and give the others the config of the catalogue.

        With `only_missing` the others keep what they have. A repeat changes nothing. Misconfigured
        if a topic has another number of partitions: that is fixed for life.
        """
        topics = {topic.name: topic for topic in wanted}
        known = await self.topics()
        for name, topic in topics.items():
            if name in known and known[name] != topic.partitions:
                raise Misconfigured(
                    f"{name} has {known[name]} partitions, not {topic.partitions}",
                    hint="the number of partitions is fixed for life: use a new name",
                )
        await self._create([topic for name, topic in topics.items() if name not in known])
        for name, topic in topics.items():
            if name in known and not only_missing:
                await self._configure(topic)

    async def _create(self, missing: list[Topic]) -> None:
        """Make topics; one that another process made meanwhile is as good."""
        if not missing:
            return
        new = [
            NewTopic(
                name=topic.name,
                num_partitions=topic.partitions,
                replication_factor=-1,
                replica_assignments={},
                topic_configs=dict(topic.config),
            )
            for topic in missing
        ]
        reply = await self._ask(self._client.create_topics(new, timeout_ms=REQUEST_TIMEOUT_MS))
        for name, code, *_ in reply.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise to_error(error(f"{name} cannot be made"))
        await self._known({topic.name for topic in missing})
        logger.info("topics.created", extra={"topics": [topic.name for topic in missing]})

    async def _known(self, names: set[str]) -> None:
        """Wait until the brokers tell of new topics: they do so a moment after they made them."""
        try:
            async with asyncio.timeout(_KNOWN_SECONDS):
                while not names <= set(await self.topics()):  # noqa: ASYNC110 (asks another process)
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError as error:
            raise Unavailable(f"topics made but not known: {', '.join(sorted(names))}") from error

    async def _configure(self, topic: Topic) -> None:
        """Alter the config of a topic where it is not as the catalogue says."""
        found = await self.config(topic.name)
        if all(found.get(key) == value for key, value in topic.config.items()):
            return
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=dict(topic.config))
        for reply in await self._ask(self._client.alter_configs([resource])):
            for code, message, *_ in reply.resources:
                if code:
                    raise to_error(for_code(code)(message))
        logger.info("topics.altered", extra={"topic": topic.name})

    async def config(self, topic: str) -> dict[str, str]:
        """Return the settings in force of a topic."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        values: dict[str, str] = {}
        for reply in await self._ask(self._client.describe_configs([resource])):
            for code, message, _, _, entries in reply.resources:
                if code:
                    raise to_error(for_code(code)(message))
                values.update({entry[0]: entry[1] for entry in entries})
        return values

    async def topics(self) -> dict[str, int]:
        """Return the number of partitions of every topic that is not Kafka's own."""
        found = await self._ask(self._client.describe_topics())
        return {
            topic["topic"]: len(topic["partitions"])
            for topic in found
            if not topic["is_internal"] and not topic["error_code"]
        }

    async def cluster_id(self) -> str:
        """Return the identity of the cluster: another one after its data was thrown away."""
        return str((await self._ask(self._client.describe_cluster()))["cluster_id"])

    async def delete_topics(self, names: Iterable[str]) -> None:
        """Delete topics with all their records."""
        await self._ask(self._client.delete_topics(list(names), timeout_ms=REQUEST_TIMEOUT_MS))

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Trim each log: nothing below its offset is read again."""
        wanted = {
            KafkaPartition(*tp): RecordsToDelete(before_offset=offset)
            for tp, offset in before.items()
        }
        if wanted:
            await self._ask(self._client.delete_records(wanted, timeout_ms=REQUEST_TIMEOUT_MS))

    async def start_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first offset that still exists in each partition."""
        return await starts(self._reader, partitions)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the end of each log, uncommitted records and markers included."""
        return await ends(self._reader, partitions)

    async def stable_ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return up to where each log is free of open transactions."""
        return await ends(self._stable, partitions)

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return the next offset of a group in every partition it has committed."""
        found = await self._ask_again(lambda: self._client.list_consumer_group_offsets(group))
        return {
            TopicPartition(tp.topic, tp.partition): position.offset
            for tp, position in found.items()
            if position.offset >= 0
        }

    async def groups(self) -> list[str]:
        """Return the groups that have offsets on the cluster."""
        found = await self._ask_again(self._client.list_consumer_groups)
        return sorted({name for name, *_ in found})

    async def notes(self, group: str) -> dict[TopicPartition, str]:
        """Return what a group has kept beside its offsets."""
        found = await self._ask_again(lambda: self._client.list_consumer_group_offsets(group))
        return {
            TopicPartition(tp.topic, tp.partition): position.metadata
            for tp, position in found.items()
            if position.offset >= 0 and position.metadata
        }

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set where a group goes on; only while no member is in it."""
        client = AIOKafkaConsumer(**settings(self._broker, "read_committed"), group_id=group)
        try:
            await self._ask(client.start())
            client.assign([KafkaPartition(*tp) for tp in offsets])
            await self._ask(
                client.commit(
                    {KafkaPartition(*tp): OffsetAndMetadata(at, "") for tp, at in offsets.items()}
                )
            )
        finally:
            await stop(client)

    async def leave(self, group: str, instance: str) -> bool:
        """Take a static member out of its group, which rebalances; False if it is not in it.

        A member that still runs would come back: ask only after its client has stopped.
        """
        node = await self._ask(self._client.find_coordinator(group))
        request = LeaveGroup(group, instance)
        # The client's public calls know no such request; this is how it sends every other one.
        reply = await self._ask(self._client._send_request(request, node))  # noqa: SLF001
        codes = [reply.error_code, *(code for _, _, code in reply.members)]
        for error in (for_code(code) for code in codes if code):
            if error is UnknownMemberIdError:
                return False
            raise to_error(error(f"{instance} cannot leave {group}"))
        return True

    async def given(self, group: str, instance: str) -> set[str]:
        """Return the topics whose partitions a static member was given last; it need not run."""
        found = await self._ask_again(lambda: self._client.describe_consumer_groups([group]))
        members = [
            member for reply in found for described in reply.groups for member in described[5]
        ]
        topics: set[str] = set()
        for member_id, _, _, _, assignment, *_ in members:
            if member_id[:-_SUFFIX] == f"{instance}-" and assignment:
                decoded = ConsumerProtocol.ASSIGNMENT.decode(assignment)
                topics.update(topic for topic, _ in decoded.assignment)
        return topics

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic; NotFound if there is none of that name."""
        count = (await self.topics()).get(topic)
        if count is None:
            raise NotFound(f"no topic {topic}")
        return [TopicPartition(topic, number) for number in range(count)]

    async def _ask_again(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Ask until the coordinator is there: a new broker makes its topics when first asked."""
        deadline = time.monotonic() + _KNOWN_SECONDS
        while True:
            try:
                return await call()
            except KafkaError as error:
                if not error.retriable or time.monotonic() > deadline:
                    raise to_error(error) from error
            await asyncio.sleep(_AGAIN_SECONDS)

    @staticmethod
    async def _ask(call: Any) -> Any:
        """Await a call of the client and say its errors in the platform's words."""
        try:
            return await call
        except KafkaError as error:
            raise to_error(error) from error


@contextlib.asynccontextmanager
async def administering(broker: Broker) -> AsyncIterator[Admin]:
    """Give an administrator of the cluster."""
    client = AIOKafkaAdminClient(
        bootstrap_servers=broker.address,
        client_id=broker.client,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    async with (
        reading(broker, "read_uncommitted") as reader,
        reading(broker, "read_committed") as stable,
    ):
        try:
            try:
                await client.start()
            except KafkaError as error:
                raise to_error(error) from error
            yield Admin(broker, client, reader, stable)
        finally:
            with contextlib.suppress(KafkaError):
                await client.close()
