"""Find what names an entity in JSON: vocabularies and frequent texts of packages and profiles.

Only an entity of one field can be named so: a category is one text. It may be a value of a column
from which a name of the entity is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from tidemill_common.erasures import key_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill_common.artifacts import Artifacts
    from tidemill_common.erasures import Erased

MAX_BYTES: Final = 16 << 20
BEGIN: Final = b"{"


def look(artifacts: Artifacts, erased: Erased) -> Iterator[tuple[str, set[str]]]:
    """Give the JSON blobs that name any of the entities, with the ids of their erasures."""
    forms = {("", one.fields) for one in erased.keys if len(one.fields) == 1}
    forms |= {(stream, (column,)) for stream, column in erased.computed_from()}
    if not forms:
        return
    for digest in artifacts.digests():
        if artifacts.head(digest, 1) != BEGIN or artifacts.size(digest) > MAX_BYTES:
            continue
        try:
            document = orjson.loads(artifacts.get(digest))
        except orjson.JSONDecodeError:
            continue
        words = list(set(_words(document)))
        hits = {
            one.erasure_id
            for stream, names in forms
            for one, columns, _ in erased.of_stream(stream).named(key_table(names, words))
            if columns  # what is constant in a stream says nothing of a word
        }
        if hits:
            yield digest, hits


def _words(value: Any) -> Iterator[str]:
    """Give every text in a document, names of members too."""
    match value:
        case str():
            yield value
        case dict():
            yield from value
            for one in value.values():
                yield from _words(one)
        case list():
            for one in value:
                yield from _words(one)
        case _:
            return
