"""Wait for the broker before anything else, so that its absence is no crash of ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tidemill.errors import Unavailable
from tidemill_common import topics
from tidemill_common.app import until
from tidemill_common.kafka import administering

if TYPE_CHECKING:
    import asyncio

    from tidemill_common.kafka import Broker

logger = logging.getLogger(__name__)
AGAIN_SECONDS: Final = 0.5


async def reachable(broker: Broker, stop: asyncio.Event) -> bool:
    """Return True when the broker answers, with the registry's topic; False when told to stop."""
    told = False
    while not stop.is_set():
        try:
            async with administering(broker) as admin:
                await admin.ensure([topics.REGISTRY_EVENTS])
        except Unavailable as error:
            if not told:
                logger.warning("broker.away", extra={"error": error.message})
            told = True
            await until(stop, AGAIN_SECONDS)
        else:
            return True
    return False
