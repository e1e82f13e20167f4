"""Chains settled audit entries in commit order, and keeps the chain's head outside the database."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import Corrupt, Transient
from tidemill_common.app import until
from tidemill_common.clock import Clock
from tidemill_registry import audit
from tidemill_registry.store import Store

logger = logging.getLogger(__name__)

PAGE = 500
WALK = 2000


@dataclass(frozen=True, slots=True)
class Anchors:
    """Heads of the chain in an append-only file: what the database once was."""

    path: Path

    def write(self, head: audit.Head, at: str) -> None:
        """Append a head, durably."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"sequence": head.sequence, "hash": head.hash, "time": at})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> dict[int, str]:
        """Return hashes by sequence; a torn last line counts as not written."""
        if not self.path.exists():
            return {}
        lines = self.path.read_text("utf-8").splitlines()
        found = {}
        for index, line in enumerate(lines):
            try:
                anchor = json.loads(line)
                found[int(anchor["sequence"])] = str(anchor["hash"])
            except (ValueError, KeyError, TypeError) as error:
                if index < len(lines) - 1:
                    raise Corrupt(f"line {index + 1} of {self.path.name} is no anchor") from error
        return found


async def chain_audit(
    store: Store,
    anchors: Anchors,
    clock: Clock,
    stop: asyncio.Event,
    *,
    every_s: float,
    anchor_s: float,
) -> None:
    """Chain until told to stop; anchor the head now and then, and at the end."""
    anchored, due = -1, clock.monotonic()
    head = audit.Head()
    while True:
        try:
            head, chained = await store.run(lambda tx: tx.chain(PAGE))
        except Transient as error:
            logger.warning("audit.waiting", extra={"error": str(error)})
            chained = 0
        ending = stop.is_set() and chained == 0
        if head.sequence > max(anchored, 0) and (ending or clock.monotonic() >= due):
            await asyncio.to_thread(anchors.write, head, clock.now().isoformat())
            anchored, due = head.sequence, clock.monotonic() + anchor_s
        if ending:
            return
        if chained < PAGE:
            await until(stop, every_s)


async def verify_audit(store: Store, anchors: Anchors) -> audit.Finding:
    """Walk the whole chain; the first bad entry is named."""
    known = await asyncio.to_thread(anchors.read)
    head = audit.Head()
    while True:
        after = head.sequence
        page = await store.run(lambda tx, after=after: tx.audit(after, WALK))  # type: ignore[misc]
        head, finding = audit.walk(head, page, known)
        if finding is not None:
            return finding
        if len(page) < WALK:
            break
    slipped = await store.run(lambda tx: tx.unchained())
    if slipped is not None:
        return audit.Finding(
            head.sequence, head.hash, head.sequence, f"entry {slipped} was put in before the head"
        )
    return audit.finish(head, known)
