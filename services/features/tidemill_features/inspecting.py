"""Questions of people about one view or entity: what is read is pinned, then recomputed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.errors import FailedPrecondition, Invalid, Violation
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_common import rpc
from tidemill_common.erasures import REASON
from tidemill_common.project_source import load_project
from tidemill_features.archiving import archived_here
from tidemill_features.convert import from_reading, to_columns, to_entities
from tidemill_features.describing import add_next, describe
from tidemill_features.erasing import held
from tidemill_features.inquiries import Inquiry
from tidemill_tiles.canonical import canonical_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemill_common.feature_reads import ReadResult
    from tidemill_common.feature_replica import FeatureReplica
    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.archiving import Archivers
    from tidemill_features.building import Builder
    from tidemill_features.entityevents import Key
    from tidemill_features.inquiries import Kind
    from tidemill_features.settings import Settings


@dataclass(frozen=True, slots=True)
class _Seen:
    """One entity as it was read, and what of each stream had been applied by then."""

    result: ReadResult
    generation: str
    cut: Mapping[str, Mapping[int, int]]
    watermarks: Mapping[str, Sequence[int]]


@dataclass(slots=True)
class Inspector:
    """Answers from the replica and the archive; the work is done in a process of its own."""

    settings: Settings
    replica: FeatureReplica
    archivers: Archivers
    builder: Builder

    async def describe(
        self,
        request: pb.DescribeViewRequest,
        states: Sequence[pb.ViewState],
        coming: pb.NextGeneration | None,
    ) -> pb.DescribeViewResponse:
        """Say what a view is, and how far its next version is."""
        view, generation = self.replica.spec(request.view), self.replica.generation
        applied = await load_project(self.settings.registry, generation)
        logs = [one for one in states if one.view == view.name]
        response = describe(applied.project, view, generation, logs)
        versions = self.replica.versions(view.name)
        others = [one.spec for version, one in versions.items() if version != view.version]
        if coming is not None and others:
            add_next(response, others[0], coming)
        return response

    async def explain(self, request: pb.ExplainFeaturesRequest) -> pb.ExplainFeaturesResponse:
        """Say which tiles and events make values, by the archive at the positions of a read."""
        view, entity = await self._asked(request)
        at = request.at.ToMicroseconds() if request.HasField("at") else None
        seen = self._seen(view, entity, at)
        answer = await self._answer("explain", view, seen, request.SerializeToString())
        response = pb.ExplainFeaturesResponse.FromString(answer)
        response.at.FromMicroseconds(int(seen.result.at_us[0]))
        response.view_version = view.version
        response.state_newer = bool(seen.result.state_newer[0])
        response.cut.CopyFrom(_cut(seen))
        return response

    async def history(self, request: pb.GetHistoryRequest) -> pb.GetHistoryResponse:
        """Say how features went, by the archive of what the replica has applied."""
        view, entity = await self._asked(request)
        until = request.until.ToMicroseconds() if request.HasField("until") else None
        seen = self._seen(view, entity, until)
        if request.HasField("since") and request.since.ToMicroseconds() > seen.result.at_us[0]:
            raise Invalid(violations=[Violation("since", "lies behind the end of the span")])
        answer = await self._answer("history", view, seen, request.SerializeToString())
        response = pb.GetHistoryResponse.FromString(answer)
        response.view_version = view.version
        response.cut.CopyFrom(_cut(seen))
        return response

    async def _asked(
        self, request: pb.ExplainFeaturesRequest | pb.GetHistoryRequest
    ) -> tuple[ViewSpec, Key]:
        """Return what is asked about, when the replica has applied what the token names.

        FailedPrecondition if it was erased: the archive holds its events until it is written anew.
        """
        view = self.replica.spec(request.view)
        not_negative(request)
        to_columns(view, request.features)
        entity = to_entities(view, [request.entity])[0]
        if held(view, [canonical_key(entity)], self.archivers.refusing.now):
            raise FailedPrecondition(REASON)
        if request.token.positions:
            await self.replica.wait_for(
                request.token.positions, views=(view.name,), timeout=rpc.remaining()
            )
        return view, entity

    def _seen(self, view: ViewSpec, entity: Key, at: int | None) -> _Seen:
        """Read an entity; nothing is applied before the positions are taken too."""
        result = self.replica.read(view.name, [entity], at)
        states = [one for one in self.replica.describe() if one.view == view.name]
        return _Seen(
            result,
            self.replica.generation,
            {
                name: {one.partition: max(0, one.position) for one in states if one.stream == name}
                for name in view.streams
            },
            {
                name: [one.watermark_us for one in states if one.stream == name]
                for name in view.streams
            },
        )

    async def _answer(self, kind: Kind, view: ViewSpec, seen: _Seen, request: bytes) -> bytes:
        """Archive up to what was read, and let the inspector process answer from there."""
        archived_here(self.settings, self.archivers, view.streams)
        applied = await load_project(self.settings.registry, seen.generation)
        versions = {
            name: await self.archivers.of(name).reach(seen.cut[name]) for name in view.streams
        }
        inquiry = Inquiry(
            kind=kind,
            project=applied.project,
            archive=self.settings.archive,
            versions=versions,
            cut=seen.cut,
            request=request,
            at_us=int(seen.result.at_us[0]),
            watermarks=seen.watermarks,
            served=from_reading(seen.result, range(len(view.features))).entities[0],
        )
        answer = b""
        async for step in self.builder.run(inquiry):
            if isinstance(step, bytes):
                answer = step
        return answer


def not_negative(request: pb.ExplainFeaturesRequest | pb.GetHistoryRequest) -> None:
    """Refuse counts and distances below 0."""
    asked = {"max_events": request.max_events}
    if isinstance(request, pb.GetHistoryRequest):
        asked |= {"limit": request.limit, "every": request.every.ToMicroseconds()}
    if wrong := [name for name, value in asked.items() if value < 0]:
        raise Invalid(violations=[Violation(name, "is negative") for name in wrong])


def _cut(seen: _Seen) -> pb.Cut:
    return pb.Cut(
        positions=[
            pb.CutPosition(stream=stream, partition=partition, next_offset=offset)
            for stream, offsets in seen.cut.items()
            for partition, offset in sorted(offsets.items())
        ]
    )
