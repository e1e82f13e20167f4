"""What projects call the key fields of erased entities: the list of erasures follows it.

It goes by the names of the current project and of what is held beside it. A further name opens
erasures again, complete ones too: what a stream holds under this name was never looked for.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from tidemill.errors import NotFound
from tidemill_common.entity_names import (
    Names,
    from_document,
    names_of,
    new_names,
    to_document,
)
from tidemill_registry.store import QUERIES, Transaction, text_of

if TYPE_CHECKING:
    from tidemill.definitions.v1 import project_pb2

AUTHOR: Final = "registry"
SECRET_BYTES: Final = 32


async def follow_names(tx: Transaction) -> None:
    """Let the list go by the names that the projects have now; a repeat changes nothing.

    The list is locked before the projects are read: of two changes at once the later one is told.
    """
    await secret(tx)
    told = await known_names(tx)
    names = names_of(*await _projects(tx))
    if names == told:
        return
    await tx.connection.execute(QUERIES["erasure_names"], to_document(names))
    if more := new_names(told, names):
        fields = sorted({field for _, field, _ in more})
        details = {"names": [f"{field} is {name} in {stream}" for stream, field, name in more]}
        await tx.connection.fetch(QUERIES["erasure_reopen"], fields, AUTHOR, text_of(details))


async def secret(tx: Transaction) -> bytes:
    """Return the secret of the digests, and lock the list; whoever is first makes it."""
    made = secrets.token_bytes(SECRET_BYTES)
    return bytes(await tx.connection.fetchval(QUERIES["erasure_secret"], made))


async def known_names(tx: Transaction) -> Names:
    """Return the names that the list goes by."""
    head = await tx.connection.fetchrow(QUERIES["erasure_list"])
    return from_document(head["names"]) if head is not None else {}


async def _projects(tx: Transaction) -> list[project_pb2.Project]:
    """Return the current project, and what is held beside it."""
    try:
        found = [(await tx.project()).project]
    except NotFound:
        return []
    held = await tx.held()
    return [*found, held.project] if held is not None else found
