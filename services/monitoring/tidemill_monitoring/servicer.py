"""MonitoringService: convert, ask the store, convert."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.errors import Invalid, NotFound, Unavailable, Violation
from tidemill.monitoring.v1 import monitoring_service_pb2 as pb
from tidemill.monitoring.v1.monitoring_service_pb2_grpc import MonitoringServiceServicer
from tidemill_common import rpc
from tidemill_common.rpc import Rule
from tidemill_monitoring import convert

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    from tidemill_monitoring.reports import Reports
    from tidemill_monitoring.store import Store

EVER = 2**62
MAX_ALERTS = 1_000
DEFAULT_ALERTS = 100
MAX_TEXT = 200
METHODS = rpc.rules(
    "tidemill.monitoring.v1.MonitoringService",
    {
        "ListAlerts": Rule("monitoring.read"),
        "Acknowledge": Rule("monitoring.write"),
        "GetDrift": Rule("monitoring.read"),
        "GetQuality": Rule("monitoring.read"),
        "GetReport": Rule("monitoring.read", deadline=90.0, cap=120.0),
    },
)


class MonitoringServicer(MonitoringServiceServicer):
    """What the platform sees of its own predictions and inputs."""

    def __init__(self, store: Store, reports: Reports) -> None:
        """Answer from `store`; build with `reports`."""
        self._store = store
        self._reports = reports

    async def ListAlerts(
        self, request: pb.ListAlertsRequest, context: ServicerContext[object, object]
    ) -> pb.ListAlertsResponse:
        """Alerts, newest first."""
        del context
        limit = min(request.limit or DEFAULT_ALERTS, MAX_ALERTS)
        if limit < 0:
            raise Invalid(violations=[Violation("limit", f"{request.limit}: at least 0")])
        found = await self._store.alerts(request.model, open_only=request.open_only, limit=limit)
        return pb.ListAlertsResponse(alerts=[convert.to_alert(alert) for alert in found])

    async def Acknowledge(
        self, request: pb.AcknowledgeRequest, context: ServicerContext[object, object]
    ) -> pb.AcknowledgeResponse:
        """Note who has seen an alert; the first one stays."""
        del context
        author = request.author.strip()
        if not 0 < len(author) <= MAX_TEXT:
            rule = f"{len(author)} characters: 1 to {MAX_TEXT}"
            raise Invalid(violations=[Violation("author", rule)])
        alert = await self._store.acknowledge(request.alert_id, author)
        return pb.AcknowledgeResponse(alert=convert.to_alert(alert))

    async def GetDrift(
        self, request: pb.GetDriftRequest, context: ServicerContext[object, object]
    ) -> pb.GetDriftResponse:
        """Judged windows, newest first."""
        del context
        found = await self._store.drift(request.model, *_span(request))
        return pb.GetDriftResponse(windows=[convert.to_drift_window(row) for row in found])

    async def GetQuality(
        self, request: pb.GetQualityRequest, context: ServicerContext[object, object]
    ) -> pb.GetQualityResponse:
        """The newest revision of every cohort, newest first."""
        del context
        found = await self._store.cohorts(request.model, *_span(request))
        return pb.GetQualityResponse(cohorts=[convert.to_cohort(cohort) for cohort in found])

    async def GetReport(
        self, request: pb.GetReportRequest, context: ServicerContext[object, object]
    ) -> pb.GetReportResponse:
        """Build the report of an alert or of a span, or find the one that is there."""
        del context
        if request.alert_id:
            alert = await self._store.alert(request.alert_id)
            return pb.GetReportResponse(path=await self._reports.of_alert(alert))
        if not request.model:
            raise Invalid(violations=[Violation("alert_id", "name an alert, or a model")])
        if self._reports.watch is None:
            raise Unavailable("no project has been taken up yet", retry_after=0.5)
        if request.model not in self._reports.models:
            raise NotFound(f"no model {request.model!r}")
        path = await self._reports.of_span(request.model, *_span(request))
        return pb.GetReportResponse(path=path)


def _span(
    request: pb.GetDriftRequest | pb.GetQualityRequest | pb.GetReportRequest,
) -> tuple[int, int]:
    """Give the asked span; an unset end is open."""
    start = getattr(request, "from").ToMicroseconds()
    return start, convert.from_timestamp(request.to, EVER)
