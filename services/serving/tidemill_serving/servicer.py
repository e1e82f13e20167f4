"""ServingService over gRPC: convert, ask, convert."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tidemill.errors import Invalid, TooLarge, Violation
from tidemill.serving.v1 import serving_service_pb2 as pb
from tidemill.serving.v1.serving_service_pb2_grpc import ServingServiceServicer
from tidemill_common import rpc
from tidemill_serving.evaluation import evaluate
from tidemill_serving.routing import Pin, Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_serving.definitions import ModelSpec
    from tidemill_serving.fields import Row
    from tidemill_serving.fleet import Fleet, Model
    from tidemill_serving.handlers import Answer, Predictions
    from tidemill_serving.held import Held
    from tidemill_serving.prediction_log import PredictionLog
    from tidemill_serving.versions import Loader

MAX_ROWS: Final = 1_000
MAX_PROBLEMS: Final = 20
METHODS: Final = rpc.rules(
    "tidemill.serving.v1.ServingService",
    {
        "Predict": rpc.Rule("serving.predict"),
        "Evaluate": rpc.Rule("serving.evaluate", deadline=60.0, cap=300.0),
        "DescribeRouting": rpc.Rule("serving.read"),
    },
)


class Servicer(ServingServiceServicer):
    """The operations beside the Open Inference Protocol."""

    def __init__(
        self, fleet: Fleet, loader: Loader, predictions: Predictions, log: PredictionLog
    ) -> None:
        """Answer by the fleet and the log's counts."""
        self._fleet = fleet
        self._loader = loader
        self._predictions = predictions
        self._log = log

    async def Predict(self, request: pb.PredictRequest, context: object) -> pb.PredictResponse:
        """Predict for rows given by name."""
        del context
        live = self._fleet.live(request.model)
        rows = rows_of(request, live.spec)
        token = request.token if request.HasField("token") else None
        await self._predictions.wait_for(live, token)
        began = time.monotonic()  # how long a caller chose to wait for a token is not latency
        at_us = request.at.ToMicroseconds() if request.HasField("at") else None
        answers = await self._predictions.each(live, rows, at_us, began)
        reply = pb.PredictResponse()
        values = {id(answer): answer.scored.values for answer, _ in answers}
        for answer, index in answers:
            _add(reply, answer, index, values[id(answer)])
        return reply

    async def Evaluate(self, request: pb.EvaluateRequest, context: object) -> pb.EvaluateResponse:
        """Test a version in the real model server."""
        del context
        pin = Pin(request.number, request.digest)
        found = await evaluate(self._fleet, self._loader, request.model, pin, request.requests)
        return pb.EvaluateResponse(
            max_difference=found.max_difference,
            latency_p50_ms=found.p50 * 1000,
            latency_p99_ms=found.p99 * 1000,
            golden_rows=found.rows,
            requests=found.requests,
        )

    async def DescribeRouting(
        self, request: pb.DescribeRoutingRequest, context: object
    ) -> pb.DescribeRoutingResponse:
        """Describe what is routed and held on this replica."""
        del context
        chosen = [
            model
            for model in self._fleet.models.values()
            if request.model in {"", model.name} and not model.removed
        ]
        return pb.DescribeRoutingResponse(models=[self._describe(model) for model in chosen])

    def _describe(self, model: Model) -> pb.RoutedModel:
        counts = self._log.counts(model.name)
        held = [one for (name, _), one in sorted(self._fleet.held.items()) if name == model.name]
        return pb.RoutedModel(
            model=model.name,
            table_version=model.live.table.version if model.live else 0,
            versions=[_describe(model, one) for one in held],
            served=counts.served,
            logged=counts.acked,
            dropped=counts.dropped + counts.failed,
        )


def rows_of(request: pb.PredictRequest, spec: ModelSpec) -> list[Row]:
    """Read all rows; Invalid names the row and field of the first problems."""
    if not request.rows:
        raise Invalid(violations=[Violation("rows", "at least one row is wanted")])
    if len(request.rows) > MAX_ROWS:
        message = f"{len(request.rows)} rows; at most {MAX_ROWS} a call"
        raise TooLarge(violations=[Violation("rows", message)])
    rows: list[Row] = []
    problems: list[Violation] = []
    for index, row in enumerate(request.rows):
        try:
            rows.append(spec.fields.row_of_text(row.fields))
        except Invalid as error:
            problems += [
                Violation(f"rows[{index}].{one.field}", one.description) for one in error.violations
            ]
    if problems:
        known = ", ".join(field.name for field in spec.fields.fields)
        raise Invalid(violations=problems[:MAX_PROBLEMS], hint=f"inputs: {known}")
    return rows


def _add(reply: pb.PredictResponse, answer: Answer, index: int, values: Sequence[float]) -> None:
    made = reply.predictions.add(
        prediction_id=answer.ids[index],
        score=values[index],
        version=answer.route.number,
        variant=str(answer.route.variant),
        freshness_ms=answer.scored.freshness_us / 1000,
    )
    made.at.FromMicroseconds(answer.scored.at_us[index])


def _describe(model: Model, held: Held) -> pb.RoutedVersion:
    variant, share, tripped = "", 0.0, False
    if model.live is not None:
        table = model.live.table
        if table.champion is not None and table.champion.number == held.number:
            variant, share = str(Variant.CHAMPION), 1.0 - table.share
        elif table.challenger is not None and table.challenger.number == held.number:
            variant, share, tripped = str(Variant.CHALLENGER), table.share, bool(table.tripped)
    return pb.RoutedVersion(
        number=held.number,
        digest=held.package.digest,
        variant=variant,
        share=share,
        state=str(held.state),
        inflight=held.inflight,
        requests=held.requests,
        errors=held.errors,
        tripped=tripped,
    )
