"""Which entities one record of a topic holds: a function for each family of topics. Pure."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa

from tidemill.errors import Invalid
from tidemill_common import events, topics
from tidemill_common.erasures import key_table, request_table
from tidemill_tiles import codec
from tidemill_tiles.codec import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tidemill.definitions.v1 import project_pb2 as pb
    from tidemill_common.erasures import Erased, ErasedKey
    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.definitions import Work

    Sight = Callable[[Erased, bytes], Iterable[ErasedKey]]

KEYED: frozenset[Kind] = frozenset({Kind.ROWS, Kind.CHUNK})


def in_events(stream: str, erased: Erased, value: bytes) -> Iterator[ErasedKey]:
    """Give the entities of a record of a stream's events; nothing can be read in a broken one."""
    try:
        batch = events.decode(value)
    except Invalid:
        return
    yield from (one for one, _ in erased.of_stream(stream).found(batch))


def in_log(view: ViewSpec, erased: Erased, value: bytes) -> Iterator[ErasedKey]:
    """Give the entities that a record of a feature log names."""
    if not erased.may_be_in(view.entity) or codec.decode_header(value).kind not in KEYED:
        return
    _, columns = codec.decode_body(view.plan, value)
    named = dict(zip(codec.COLUMNS, columns, strict=True))
    data, ends = named["keys"].tobytes(), named["lengths"].cumsum().tolist()
    keys = [data[start:end].decode() for start, end in pairwise([0, *ends])]
    yield from (one for one, _ in erased.found(key_table(view.entity, keys)))


def in_predictions(spine: pb.Spine, erased: Erased, value: bytes) -> Iterator[ErasedKey]:
    """Give the entities of a record of predictions, by spine key and request fields."""
    table, here = pa.ipc.open_stream(value).read_all(), erased.of_stream(spine.stream)
    yield from in_keys(tuple(spine.key), here, table["_spine_key"])
    requests = request_table(table["_request"].drop_null().to_pylist())
    yield from (one for one, _ in here.found(requests))


def in_labels(model: pb.Model, erased: Erased, value: bytes) -> Iterator[ErasedKey]:
    """Give the entities of a record of labels, whose key is of the spine and of the label."""
    keys = pa.ipc.open_stream(value).read_all()["_spine_key"]
    spine, label = model.spine, model.label
    key = tuple(spine.key)
    yield from in_keys(key, erased.of_stream(spine.stream), keys)
    yield from in_keys(tuple(label.key) or key, erased.of_stream(label.stream), keys)


def in_keys(
    names: Sequence[str], erased: Erased, keys: pa.Array | pa.ChunkedArray
) -> Iterator[ErasedKey]:
    """Give the entities that composite keys hold."""
    if erased.may_be_in(names):
        yield from (one for one, _ in erased.found(key_table(names, keys.unique().to_pylist())))


def raw_topics(work: Work) -> dict[str, Sight]:
    """Return the topics of accepted events."""
    return {stream.topic: partial(in_events, stream.name) for stream in work.streams.values()}


def logs(work: Work) -> dict[str, Sight]:
    """Return the feature logs of this generation, and of what is held beside it."""
    return {
        view.log(stream.name).name: partial(in_log, view)
        for stream in work.parts
        for view in stream.views
    }


def side_topics(work: Work) -> dict[str, Sight]:
    """Return what else holds events, or rows about them: late, dead, predicted, labelled."""
    found: dict[str, Sight] = {}
    for stream in work.streams.values():
        found[topics.late(stream.topic).name] = partial(in_events, stream.name)
        found[topics.dead_letters(stream.topic).name] = partial(in_events, stream.name)
    for model in work.project.models:
        found[topics.predictions(model.name).name] = partial(in_predictions, model.spine)
        found[topics.labels(model.name).name] = partial(in_labels, model)
    return found
