"""When erasures are carried out: between two lives of the engine, whose memory holds rows too."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common import rpc
from tidemill_common.app import until
from tidemill_monitoring.erasing import SERVICE, Removed

if TYPE_CHECKING:
    import asyncio

    from tidemill.registry.v1.erasure_service_pb2_grpc import ErasureServiceAsyncStub
    from tidemill_common.erasures import Erased, ErasedKey, Refusing
    from tidemill_monitoring.definitions import Watch
    from tidemill_monitoring.reports import Reports
    from tidemill_monitoring.store import Store

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
AGAIN_SECONDS: Final = 60.0


@dataclass(slots=True)
class Erasing:
    """Removes entities whose erasure is under way, looks again, and says so."""

    store: Store
    reports: Reports
    said: ErasureServiceAsyncStub
    refusing: Refusing
    _left: bool = False

    async def carry_out(self, watch: Watch) -> Erased:
        """Remove what is to be erased; return the list that was held against the tables."""
        now = self.refusing.now
        wanted = now.only(now.open_keys())
        if wanted:
            removed = await self.store.erase(watch, wanted)
            if any(removed.rows.values()):
                await self.reports.forget()
            left = await self.store.erase(watch, wanted)
            self._left = any(left.rows.values())
            for one in wanted.keys:
                await self._say(one, removed, left)
        return now

    async def _say(self, key: ErasedKey, removed: Removed, left: Removed) -> None:
        request = pb.GetErasureRequest(erasure_id=key.erasure_id)
        erasure = (await rpc.call(self.said.GetErasure, request)).erasure
        before = next(
            (one for one in erasure.reports if one.service == SERVICE), pb.ErasureReport()
        )
        again = before.beginning != key.beginning
        held = any(rows[key.erasure_id] for rows in removed.rows.values())
        if before.done and not (again or held):
            return
        report = removed.report(key, left, before)
        await rpc.call(
            self.said.ReportErasure,
            pb.ReportErasureRequest(erasure_id=key.erasure_id, report=report),
        )
        logger.info("erasure.carried_out", extra={"erasure": key.erasure_id, "done": report.done})

    async def until_news(self, known: Erased, ended: asyncio.Event, news: asyncio.Event) -> None:
        """Set `news` when `ended` is set, the list finds more or others now, or one was left."""
        waited = 0.0
        while not await until(ended, LOOK_SECONDS):
            waited += LOOK_SECONDS
            if self.refusing.now.goes_beyond(known):
                break
            if self._left and waited >= AGAIN_SECONDS:
                break
        news.set()
