"""Pure: the audit's hash chain, and who finds out where it breaks.

Each link hashes its entry together with the link before, so that an entry cannot be changed,
taken out or moved without every later hash being wrong. The head is also kept outside of the
database (see anchors.py): that shows a chain that was cut short or written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tidemill_common.clock import to_us
from tidemill_common.ids import digest_json

GENESIS: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody did, as it was written in the transaction that did it."""

    id: int
    action: str
    subject: str
    author: str
    details: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """The place of an entry in the chain."""

    sequence: int
    entry_id: int
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain; sequence 0 is the empty one."""

    sequence: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Chained:
    """A link with its entry; None if the entry is gone."""

    link: Link
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a walk along the chain found: where it breaks first, or its head."""

    entries: int
    head: str
    first_bad: int = 0
    problem: str = ""

    @property
    def intact(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.problem


def hash_of(sequence: int, entry: Entry, previous_hash: str) -> str:
    """Return the hash of a link."""
    content = [entry.action, entry.subject, entry.author, entry.details, to_us(entry.time)]
    return digest_json([sequence, entry.id, previous_hash, *content])


def chain(head: Head, entries: Iterable[Entry]) -> list[Link]:
    """Append entries in the order given."""
    links: list[Link] = []
    sequence, previous = head.sequence, head.hash
    for entry in entries:
        sequence += 1
        link = Link(sequence, entry.id, previous, hash_of(sequence, entry, previous))
        links.append(link)
        previous = link.hash
    return links


def problem_of(chained: Chained, head: Head) -> str:
    """Say what is wrong with the link that should follow `head`; empty if nothing is."""
    link, entry = chained.link, chained.entry
    if link.sequence != head.sequence + 1:
        return f"link {head.sequence + 1} is missing"
    if entry is None:
        return f"entry {link.entry_id} was deleted"
    if link.previous_hash != head.hash:
        return "the link does not follow the one before: it was reordered or replaced"
    if link.hash != hash_of(link.sequence, entry, link.previous_hash):
        return f"entry {entry.id} was changed"
    return ""


def walk(
    head: Head, page: Sequence[Chained], anchors: Mapping[int, str]
) -> tuple[Head, Finding | None]:
    """Follow a page of links from `head`; a finding comes back at the first bad one."""
    for chained in page:
        problem = problem_of(chained, head)
        sequence = head.sequence + 1
        anchored = anchors.get(sequence)
        if not problem and anchored is not None and anchored != chained.link.hash:
            problem = "the chain was written anew: its hash differs from the anchored one"
        if problem:
            return head, Finding(head.sequence, head.hash, sequence, problem)
        head = Head(chained.link.sequence, chained.link.hash)
    return head, None


def finish(head: Head, anchors: Mapping[int, str]) -> Finding:
    """Judge the end of the walk: an anchor beyond it shows a chain that was cut short."""
    beyond = min((sequence for sequence in anchors if sequence > head.sequence), default=0)
    if beyond:
        problem = f"the chain ends at {head.sequence}, but {beyond} was anchored: it was cut short"
        return Finding(head.sequence, head.hash, head.sequence + 1, problem)
    return Finding(head.sequence, head.hash)
