"""Fold what happens into what policies know, let them decide, open runs: one transaction a batch.

A record moves the consumed position, the folded state, the decision, the run and its announcement
together, or nothing. A record that comes again is seen by its position, an alert that is announced
again by its last change, a cause that was decided by (policy, cause).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import pyarrow.compute as pc
from google.protobuf.message import DecodeError, Message

from tidemill.errors import FailedPrecondition, Invalid, NotFound, Unavailable
from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb2
from tidemill.registry.v1 import events_pb2
from tidemill.training.v1 import training_service_pb2 as pb
from tidemill_common import events, telemetry, topics
from tidemill_training import selection, signals, trigger
from tidemill_training.convert import from_alert, to_exclusion, to_policy
from tidemill_training.signals import AlertState, Kind, State
from tidemill_training.store.policies import Memory
from tidemill_training.store.runs import Opening, cancel, open_run, open_run_of, requested
from tidemill_training.trigger import DAY_US, Policy, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.definitions.v1 import project_pb2
    from tidemill_common.kafka import Record
    from tidemill_common.postgres import Connection, Pool
    from tidemill_common.project_source import Applied
    from tidemill_training.signals import Alert, Signals

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)

LABELS: Final = "labels."
BY_HAND: Final = "by hand"


@dataclass(frozen=True, slots=True)
class Generation:
    """The project in force, with its policies compiled."""

    applied: Applied
    policies: Mapping[str, Policy]
    models: Mapping[str, project_pb2.Model]

    @property
    def project(self) -> project_pb2.Project:
        """The normalised project."""
        return self.applied.project


def generation(applied: Applied) -> Generation:
    """Compile every policy of a project."""
    models = {model.name: model for model in applied.project.models}
    return Generation(applied, {name: to_policy(model) for name, model in models.items()}, models)


@dataclass(slots=True)
class Policies:
    """The one place where runs are opened; `current` is replaced when a project is applied."""

    pool: Pool
    current: Generation | None = None
    opened: list[str] = field(default_factory=list)

    def in_force(self) -> Generation:
        """Return the generation; Unavailable while none has been taken up."""
        if self.current is None:
            message = "no project has been taken up yet"
            raise Unavailable(message, retry_after=0.5, hint="is one applied? `tidemill apply`")
        return self.current

    async def handle(self, records: Sequence[Record]) -> None:
        """Take records of one partition; Invalid when one cannot be read."""
        link = [telemetry.link_to(record.headers) for record in records]
        with telemetry.span(f"process {records[0].topic}", links=link):
            await self.pool.retrying(lambda connection: self._take(connection, records))

    async def _take(self, connection: Connection, records: Sequence[Record]) -> None:
        batch = Batch(Memory(connection), self.in_force())
        for record in records:
            if not await batch.memory.is_new(record.topic, record.partition, record.offset):
                continue
            if record.topic.startswith(LABELS):
                await batch.labels(record)
            elif record.topic == topics.ALERTS.name:
                await batch.alert(record)
            else:
                await batch.registry(record)
        await batch.save()

    async def submit(self, request: pb.SubmitRunRequest) -> pb.Run:
        """Open a run by hand; a repeat of its request id returns the first one's run."""
        current = self.in_force()
        if request.model not in current.models:
            raise NotFound(f"there is no model {request.model!r}")

        async def work(connection: Connection) -> pb.Run:
            batch = Batch(Memory(connection), current)
            state = await batch.state(request.model)
            known = await requested(connection, request.request_id)
            if known is not None:
                return known
            if _is_special(request):
                await _refuse_if_open(connection, request.model)
            run = await batch.by_hand(state, request)
            await batch.save()
            return run

        return await self.pool.retrying(work)


@dataclass(slots=True)
class Batch:
    """The states that one transaction touches, each loaded and locked once."""

    memory: Memory
    current: Generation
    states: dict[str, State] = field(default_factory=dict)
    alerts: dict[str, tuple[Alert, ...]] = field(default_factory=dict)

    async def state(self, model: str) -> State:
        """Return a model's state, locked."""
        if model not in self.states:
            self.states[model] = await self.memory.lock(model)
        return self.states[model]

    async def known_alerts(self, model: str) -> tuple[Alert, ...]:
        """Return the alerts that concern a model."""
        if model not in self.alerts:
            definition = self.current.models[model]
            streams = selection.streams_of(self.current.project, definition)
            self.alerts[model] = tuple(
                alert
                for alert in await self.memory.alerts(model)
                if alert.kind is not Kind.DATA or alert.stream in streams or alert.model == model
            )
        return self.alerts[model]

    async def save(self) -> None:
        """Write every state that was touched."""
        for model, state in self.states.items():
            await self.memory.save(model, state)

    async def labels(self, record: Record) -> None:
        """Count labelled rows; a model that is not declared any more is passed over."""
        model = record.topic.removeprefix(LABELS)
        if model not in self.current.models:
            return
        batch = events.decode(record.value or b"")
        if batch.num_rows == 0:
            return
        state = await self.state(model)
        self.states[model] = signals.labelled(
            state,
            rows=batch.num_rows,
            of_champion=_of_version(batch, state.champion),
            available_us=_newest(batch),
            append_us=record.timestamp_ms * 1000,
        )
        await self.evaluate(model, f"{record.topic}/{record.partition}/{record.offset}", tick=True)

    async def alert(self, record: Record) -> None:
        """Take a change of an alert, for every model that it concerns."""
        changed = _parse(monitoring_pb2.AlertChanged, record)
        alert = from_alert(changed.alert)
        if alert is None or not await self.memory.save_alert(alert):
            return
        self.alerts.clear()
        for name, model in self.current.models.items():
            streams = selection.streams_of(self.current.project, model)
            if name != alert.model and not (alert.kind is Kind.DATA and alert.stream in streams):
                continue
            state = signals.alerted(await self.state(name), alert)
            self.states[name] = signals.advanced(
                state, alert.changed_us, record.timestamp_ms * 1000
            )
            await self.stop_contaminated(name, alert)
            await self.evaluate(name, f"alert {alert.alert_id} {alert.state} {alert.changed_us}")

    async def stop_contaminated(self, model: str, alert: Alert) -> None:
        """Cancel an open run whose data may hold what a data alert has just shown to be wrong."""
        if alert.kind is not Kind.DATA or alert.state is not AlertState.FIRING:
            return
        connection = self.memory.connection
        run = await open_run_of(connection, model)
        if run is None or alert.bad_from_us is None:
            return
        if run.stream_time.ToMicroseconds() < alert.bad_from_us:
            return
        if any(alert.alert_id in exclusion.reason for exclusion in run.spec.exclusions):
            return
        why = f"data: {alert.subject} is wrong since before this run (alert {alert.alert_id})"
        if await cancel(connection, run.run_id, why) is not None:
            self.states[model] = replace(await self.state(model), last_run_us=None)
            logger.warning("run.cancelled", extra={"run": run.run_id, "error": why})

    async def registry(self, record: Record) -> None:
        """Learn of versions, of their gates' answers, and of champions."""
        event = _parse(events_pb2.RegistryEvent, record)
        kind = event.WhichOneof("event")
        match kind:
            case "version_registered":
                version = event.version_registered.version
                data_us = version.data_time.ToMicroseconds()
                run_id = version.lineage.run_id
                await self.memory.save_version(version.model, version.number, run_id, data_us)
            case "version_validated":
                model = event.version_validated.version.model
                self.states[model] = signals.validated(await self.state(model))
            case "version_rejected":
                model = event.version_rejected.version.model
                self.states[model] = signals.refused(await self.state(model))
            case "alias_moved" if event.alias_moved.alias == "champion":
                await self._crown(event.alias_moved.model, event.alias_moved.number)
            case "rollout_moved":
                await self._crown(
                    event.rollout_moved.rollout.model, event.rollout_moved.rollout.champion
                )
            case _:
                return

    async def _crown(self, model: str, number: int) -> None:
        data_us = await self.memory.data_time(model, number)
        self.states[model] = signals.crowned(await self.state(model), number, data_us)

    async def evaluate(self, model: str, cause: str, *, tick: bool = False) -> None:
        """Ask the model's policy; store what is worth a row, and open what it fires."""
        policy, state = self.current.policies[model], self.states[model]
        known = signals.signals(state, await self.known_alerts(model))
        found = trigger.conditions(policy, known)
        traffic = trigger.Traffic()
        if found.fire is True:
            traffic = await self.memory.traffic(model, state.stream_us - DAY_US)
        decided = trigger.decide(policy, found, state, traffic, tick=tick)
        news = trigger.is_news(decided, state, tick=tick)
        state = replace(
            state,
            fire_since_us=decided.fire_since_us,
            last_verdict=decided.verdict.value,
            last_reason=decided.reason,
        )
        self.states[model] = state
        if not news:
            return
        decision = await self.memory.decide(
            model,
            verdict=decided.verdict.value,
            reason=decided.text,
            known=known,
            stream_us=state.stream_us,
            cause=cause,
            policy_digest=policy.digest,
        )
        facts = {"model": model, "verdict": decided.verdict, "reason": decided.text, "cause": cause}
        logger.info("policy.decided", extra={**facts, "signals": known})
        if decided.verdict is Verdict.FIRE and decision is not None:
            await self._open(model, self.spec(model, await self.known_alerts(model)), decision)

    def spec(self, model: str, alerts: Sequence[Alert]) -> pb.RunSpec:
        """Say on what a run trains: everything so far, less what data alerts have named."""
        definition, state = self.current.models[model], self.states[model]
        left_out = selection.excluded(self.current.project, definition, alerts)
        spec = pb.RunSpec(
            model=model,
            generation=self.current.applied.generation,
            exclusions=[to_exclusion(span) for span in left_out.rows],
            label_exclusions=[to_exclusion(span) for span in left_out.labels],
            max_rows=definition.trainer.max_rows,
        )
        lookback = definition.trainer.lookback.ToMicroseconds()
        if lookback and state.stream_us:
            getattr(spec, "from").FromMicroseconds(state.stream_us - lookback)
        return spec

    async def _open(
        self, model: str, spec: pb.RunSpec, decision: str, request_id: str | None = None
    ) -> pb.Run:
        state, resources = self.states[model], self.current.models[model].trainer.resources
        with telemetry.span(f"open run {model}"):
            opening = Opening(
                spec,
                decision,
                state.stream_us,
                state.labelled_total,
                request_id,
                resources.gpus,
                resources.memory_mb,
                telemetry.traceparent(),
            )
            run, created = await open_run(self.memory.connection, opening)
        await self.memory.link(decision, run.run_id)
        if created:
            self.states[model] = signals.opened(state, state.stream_us)
        logger.info(
            "run.opened" if created else "run.joined", extra={"run": run.run_id, "model": model}
        )
        return run

    async def by_hand(self, state: State, request: pb.SubmitRunRequest) -> pb.Run:
        """Open a run that a person, or a program, asks for."""
        model, known_alerts = request.model, await self.known_alerts(request.model)
        known: Signals = signals.signals(state, known_alerts)
        spec = self.spec(model, known_alerts)
        spec.overrides.update(request.overrides)
        spec.max_rows = request.max_rows or spec.max_rows
        for name in ("from", "to"):
            if request.HasField(name):
                getattr(spec, name).CopyFrom(getattr(request, name))
        cause = f"request {request.request_id}"
        decision = await self.memory.decide(
            model,
            verdict=Verdict.FIRE.value,
            reason=request.reason or "asked for by hand",
            known=known,
            stream_us=state.stream_us,
            cause=cause,
            policy_digest=BY_HAND,
        )
        return await self._open(model, spec, decision or cause, request.request_id)


def _is_special(request: pb.SubmitRunRequest) -> bool:
    """Say whether a request wants another run than the policy would open."""
    spans = request.HasField("from") or request.HasField("to")
    return bool(request.overrides) or request.max_rows > 0 or spans


async def _refuse_if_open(connection: Connection, model: str) -> None:
    run = await open_run_of(connection, model)
    if run is not None:
        raise FailedPrecondition(
            f"run {run.run_id} of {model!r} is open",
            hint="wait until it ends, or cancel it; a request without parameters joins it",
        )


def _of_version(batch: pa.RecordBatch, version: int) -> int:
    if version <= 0 or "_version" not in batch.schema.names:
        return 0
    matches = pc.sum(pc.equal(batch.column("_version"), version)).as_py()
    return int(matches or 0)


def _newest(batch: pa.RecordBatch) -> int:
    if "_label_available" not in batch.schema.names:
        raise Invalid("a record of labels has no column _label_available")
    times = batch.column("_label_available").cast("int64").drop_null()
    return int(np.max(times.to_numpy())) if len(times) else 0


def _parse(kind: type[M], record: Record) -> M:
    try:
        return kind.FromString(record.value or b"")
    except DecodeError as error:
        raise Invalid(f"{record.topic}/{record.offset} is no {kind.__name__}") from error
