"""Carry erasures out: pass after pass, until a look through every place finds nothing.

    1 name the training sets that held the entity, and say so        4 raw topics: let go when safe
    2 rewrite the archive without it, remove the sets' files         5 what else holds rows about it
    3 logs of views: wait until their owners have renewed them       6 look again everywhere: done

Every step may be repeated: a process that dies goes on with the first pass of its next life. What
was said to the registry is taken up again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from tidemill.errors import Fenced, Rejected, Transient
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill.registry.v1.erasure_service_pb2_grpc import ErasureServiceStub
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill_common import rpc
from tidemill_common.app import until
from tidemill_common.erasures import NOTHING_ERASED, Erased
from tidemill_common.kafka import TopicPartition
from tidemill_features.erasure import sightings, strays
from tidemill_features.erasure.account import Account
from tidemill_features.erasure.looking import Look, decide
from tidemill_features.erasure.retired import Retired
from tidemill_features.erasure.stored import PACKAGE, Stored, only_of, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tidemill.registry.v1.erasure_service_pb2_grpc import ErasureServiceAsyncStub
    from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub
    from tidemill_common.erasures import ErasedKey, Refusing
    from tidemill_common.kafka import Admin, Broker
    from tidemill_features.archiving import Archivers
    from tidemill_features.building import Builder
    from tidemill_features.definitions import StreamWork, Work
    from tidemill_features.erasure.sightings import Sight
    from tidemill_features.settings import Settings

logger = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 5.0
"""After so long every worker has the list: what a log does not hold then, it never will."""
MARGIN_SECONDS: Final = 5.0
SECOND_US: Final = 1_000_000
LOG, RAW, SIDE, STRAY = "log", "stream", "topic", "stray"


@dataclass(slots=True)
class Eraser:
    """The one process that erases: the server that archives."""

    settings: Settings
    broker: Broker
    admin: Admin
    archivers: Archivers
    builder: Builder
    refusing: Refusing
    work: Work | None = None
    _accounts: dict[str, Account] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _cleaned: set[str] = field(default_factory=set)
    _told: set[tuple[str, int]] = field(default_factory=set)
    _looks: dict[tuple[str, str], Look] = field(default_factory=dict)
    _looked_for: Erased = NOTHING_ERASED

    async def run(self, stop: asyncio.Event) -> None:
        """Make a pass now and then until told to stop."""
        async with rpc.connected(self.settings.registry) as channel:
            said = ErasureServiceStub(channel)
            registry = RegistryServiceStub(channel)
            while not await until(stop, self.settings.erase_seconds):
                try:
                    await self._pass(said, registry)
                except Fenced:
                    raise  # another server archives
                except (Rejected, Transient) as error:
                    logger.warning("erasure.waiting", extra={"error": error.message})

    async def _pass(
        self, said: ErasureServiceAsyncStub, registry: RegistryServiceAsyncStub
    ) -> None:
        """Do what can be done now for every erasure that is not done, and say how far it is."""
        now = self.refusing.now
        wanted = [
            one for one in now.open_keys() if (one.erasure_id, one.beginning) not in self._told
        ]
        if not wanted or self.work is None:
            return
        erased, accounts = now.only(wanted), await self._take_up(wanted, said)
        await self._clean_packages(erased, accounts, registry)
        await self._clean(erased, accounts, said, registry)
        await self._look_through(erased, accounts)
        gone = [one for one in accounts if one.is_gone() and self._is_settled(one)]
        if gone:
            await self._verify(only_of(erased, gone), gone, registry)
        for account in accounts:
            await self._say(account, said)

    async def _take_up(
        self, wanted: Iterable[ErasedKey], said: ErasureServiceAsyncStub
    ) -> list[Account]:
        for one in wanted:
            name, known = one.erasure_id, self._accounts.get(one.erasure_id)
            if known is None or known.beginning != one.beginning:
                reply = await rpc.call(said.GetErasure, pb.GetErasureRequest(erasure_id=name))
                self._accounts[name] = Account.resumed(reply.erasure, one.beginning)
                self._since[name] = time.monotonic()
                self._cleaned.discard(name)
                logger.info("erasure.taken_up", extra={"erasure": name})
        return [self._accounts[one.erasure_id] for one in wanted]

    def _is_settled(self, account: Account) -> bool:
        return time.monotonic() - self._since[account.erasure_id] >= SETTLE_SECONDS

    async def _say(self, account: Account, said: ErasureServiceAsyncStub) -> None:
        request = pb.ReportErasureRequest(erasure_id=account.erasure_id, report=account.report())
        await rpc.call(said.ReportErasure, request)
        if account.done:
            self._told.add((account.erasure_id, account.beginning))
            logger.info("erasure.done", extra={"erasure": account.erasure_id})

    # --- archive and training sets ------------------------------------------------------------

    async def _clean(
        self,
        erased: Erased,
        accounts: Iterable[Account],
        said: ErasureServiceAsyncStub,
        registry: RegistryServiceAsyncStub,
    ) -> None:
        """Name and remove the sets, rewrite the archives: once for each erasure in this life.

        No set is built meanwhile: one that was pinned to an older version fails, and is built anew.
        """
        fresh = [one for one in accounts if one.erasure_id not in self._cleaned]
        if not fresh:
            return
        mine = only_of(erased, fresh)
        stored, models = self._stored(), self._known().project.models
        async with self.builder.idle():
            await stored.name_sets(mine, fresh, await versions(registry, models))
            for account in fresh:
                await self._say(account, said)
            await stored.remove(mine, fresh)
        self._cleaned |= {one.erasure_id for one in fresh}

    async def _clean_packages(
        self, erased: Erased, accounts: list[Account], registry: RegistryServiceAsyncStub
    ) -> None:
        """Look for packages that name an entity; again and again while there are any."""
        waiting = [one for one in accounts if not one.is_gone(PACKAGE)]
        fresh = [one for one in accounts if one.erasure_id not in self._cleaned]
        if waiting or fresh:
            stored, models = self._stored(), self._known().project.models
            await stored.look_for_names(erased, accounts, await versions(registry, models))

    def _stored(self) -> Stored:
        return Stored(self.settings.artifacts, self.archivers, self._known())

    # --- topics ---------------------------------------------------------------------------------

    async def _look_through(self, erased: Erased, accounts: list[Account]) -> None:
        """Look through every topic; let go of what may go."""
        work = self._known()
        if erased.goes_beyond(self._looked_for):
            self._looks.clear()  # somebody new: everything is to be looked at from the start
            self._looked_for = erased
        known = sightings.logs(work) | sightings.raw_topics(work) | sightings.side_topics(work)
        for account in accounts:
            account.keep((LOG, RAW, SIDE), known)
        for topic, sight in sightings.logs(work).items():
            await self._look(LOG, topic, sight, erased, accounts)
        await Retired(self.broker, self.admin).let_go(work, accounts)
        for account in accounts:
            account.state_clean = self._is_settled(account) and account.is_gone(LOG)
        for stream in work.streams.values():
            keep_ms = round(1_000 * self._raw_seconds(stream))
            sight = partial(sightings.in_events, stream.name)
            look = await self._look(RAW, stream.topic, sight, erased, accounts)
            archive = {"the archive": await self._archived(stream.name)}
            await self._let_go(RAW, look, accounts, keep_ms, archive)
        side_ms = round(self.settings.erase_log_seconds * 1_000)
        for topic, sight in sightings.side_topics(work).items():
            look = await self._look(SIDE, topic, sight, erased, accounts)
            await self._let_go(SIDE, look, accounts, side_ms, {})
        await self._note_strays(accounts)

    def _raw_seconds(self, stream: StreamWork) -> float:
        """Return how long raw records are kept: rows that are not archived yet need their ids."""
        dedupe = stream.spec.dedupe_us / SECOND_US
        needed = dedupe + self.settings.archive_seconds + MARGIN_SECONDS
        return max(self.settings.erase_raw_seconds, needed)

    async def _note_strays(self, accounts: Iterable[Account]) -> None:
        """Note what is in the way of an end: topics and archives that the project has no more."""
        work = self._known()
        archives = await asyncio.to_thread(
            lambda: list(strays.stray_archives(self.settings.archive, work))
        )
        found = {(STRAY, name) for name in await strays.stray_topics(self.admin, work)}
        found |= {(STRAY, f"archive {name}") for name in archives}
        for account in accounts:
            before = {place for place in account.places if place[0] == STRAY}
            for kind, name in sorted(found | before):
                there = (kind, name) in found
                account.saw(kind, name, int(there), waiting=strays.WAITING)

    async def _look(
        self, kind: str, topic: str, sight: Sight, erased: Erased, accounts: Iterable[Account]
    ) -> Look:
        look = self._looks.get((kind, topic))
        if look is None:
            look = Look(self.broker, self.admin, topic, sight, erased)
            self._looks[kind, topic] = look
        await look.go_on()
        waiting = "its owner has not renewed it yet" if kind == LOG else ""
        for account in accounts:
            account.saw(kind, topic, look.found(account.erasure_id), waiting=waiting)
        return look

    async def _let_go(
        self,
        kind: str,
        look: Look,
        accounts: Iterable[Account],
        keep_ms: int,
        positions: Mapping[str, Mapping[TopicPartition, int]],
    ) -> None:
        """Trim a topic below the last record of each entity, if nobody needs it any more."""
        held = [one for one in accounts if look.found(one.erasure_id)]
        if not held:
            return
        readers = dict(positions) | {
            group: await self.admin.committed(group) for group in await self.admin.groups()
        }
        for account in held:
            last = look.last(account.erasure_id)
            now_ms = time.time_ns() // 1_000_000
            trim = decide(last, readers, now_ms=now_ms, keep_ms=keep_ms)
            if trim.before:
                await self.admin.delete_records(trim.before)
                facts = {"topic": look.topic, "before": list(trim.before.values())}
                logger.info("erasure.trimmed", extra=facts)
                await look.go_on()
            account.saw(
                kind,
                look.topic,
                look.found(account.erasure_id),
                waiting=trim.waiting,
                due_ms=trim.due_ms,
            )

    async def _archived(self, stream: str) -> dict[TopicPartition, int]:
        topic = self._known().streams[stream].topic
        reached = self.archivers.of(stream).positions()
        return {TopicPartition(topic, number): offset for number, offset in reached.items()}

    # --- the last look --------------------------------------------------------------------------

    async def _verify(
        self, erased: Erased, accounts: list[Account], registry: RegistryServiceAsyncStub
    ) -> None:
        """Look through everything from its start once more; done is who is found nowhere."""
        work = self._known()
        topics = {
            LOG: sightings.logs(work),
            RAW: sightings.raw_topics(work),
            SIDE: sightings.side_topics(work),
        }
        for kind, named in topics.items():
            for topic, sight in named.items():
                look = Look(self.broker, self.admin, topic, sight, erased)
                await look.go_on()
                for account in accounts:
                    account.saw(kind, topic, look.found(account.erasure_id))
        known = await versions(registry, work.project.models)
        await self._stored().look_again(erased, accounts, known)
        for account in accounts:
            account.done = account.is_gone()
            if not account.done:
                self._cleaned.discard(account.erasure_id)
                account.state_clean = account.is_gone(LOG)

    def _known(self) -> Work:
        if self.work is None:
            message = "the eraser has no project"
            raise RuntimeError(message)
        return self.work
