"""The audit's chain says where it breaks first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill_registry.audit import Chained, Entry, Finding, Head, Link, chain, finish, walk

AT = datetime(2013, 1, 1, tzinfo=UTC)


def entries(count: int) -> list[Entry]:
    """Ids as they commit: not in order."""
    return [
        Entry(
            count - i, "alias.moved", f"late/{i}", "ann", f'{{"n":{i}}}', AT + timedelta(seconds=i)
        )
        for i in range(count)
    ]


def chained(count: int = 6) -> list[Chained]:
    rows = entries(count)
    return [Chained(link, row) for link, row in zip(chain(Head(), rows), rows, strict=True)]


def verify(page: list[Chained], anchors: dict[int, str] | None = None) -> Finding:
    head, finding = walk(Head(), page, anchors or {})
    return finding or finish(head, anchors or {})


def test_an_untouched_chain_is_intact_and_names_its_head() -> None:
    page = chained()
    found = verify(page, {3: page[2].link.hash, 6: page[5].link.hash})
    assert (found.intact, found.entries, found.head) == (True, 6, page[5].link.hash)


@pytest.mark.parametrize("field", ["action", "subject", "author", "details"])
def test_a_changed_entry_is_named(field: str) -> None:
    page = chained()
    entry = page[3].entry
    assert entry is not None
    changed = {"action": "x", "subject": "x", "author": "x", "details": "x"}[field]
    match field:
        case "action":
            entry = replace(entry, action=changed)
        case "subject":
            entry = replace(entry, subject=changed)
        case "author":
            entry = replace(entry, author=changed)
        case _:
            entry = replace(entry, details=changed)
    page[3] = replace(page[3], entry=entry)
    found = verify(page)
    assert (found.first_bad, found.entries) == (4, 3)
    assert "was changed" in found.problem


def test_a_deleted_entry_is_named() -> None:
    page = chained()
    page[2] = replace(page[2], entry=None)
    assert verify(page).problem == f"entry {page[2].link.entry_id} was deleted"


def test_a_deleted_link_is_named() -> None:
    page = chained()
    del page[2]
    found = verify(page)
    assert (found.first_bad, found.problem) == (3, "link 3 is missing")


def test_reordered_entries_are_named() -> None:
    page = chained()
    page[1], page[2] = (
        Chained(page[1].link, page[2].entry),
        Chained(page[2].link, page[1].entry),
    )
    assert verify(page).first_bad == 2


def test_a_chain_that_was_written_anew_is_shown_by_its_anchor() -> None:
    original = chained()
    rows = entries(6)
    rows[1] = replace(rows[1], author="mallory")
    forged = [Chained(link, row) for link, row in zip(chain(Head(), rows), rows, strict=True)]
    assert verify(forged).intact
    found = verify(forged, {4: original[3].link.hash})
    assert found.first_bad == 4
    assert "written anew" in found.problem


def test_a_chain_that_was_cut_short_is_shown_by_its_anchor() -> None:
    page = chained()
    found = verify(page[:4], {6: page[5].link.hash})
    assert found.first_bad == 5
    assert "cut short" in found.problem


@given(st.integers(min_value=0, max_value=8), st.integers(min_value=0, max_value=8))
def test_chaining_in_pages_gives_the_same_links(first: int, second: int) -> None:
    rows = entries(first + second)
    begun = chain(Head(), rows[:first])
    head = Head(begun[-1].sequence, begun[-1].hash) if begun else Head()
    assert begun + chain(head, rows[first:]) == chain(Head(), rows)


@given(st.integers(min_value=0, max_value=5), st.text(min_size=1, max_size=5))
def test_no_change_of_a_hash_goes_unseen(index: int, text: str) -> None:
    page = chained()
    link = page[index].link
    forged = Link(link.sequence, link.entry_id, link.previous_hash, text)
    page[index] = replace(page[index], link=forged)
    assert verify(page).first_bad == index + 1
