"""Every version this replica holds, and per model what is live: definition, table and lanes.

A request takes `live` once and keeps it: definition, table and lanes belong together and are
replaced together (the flip). New versions are loaded, proven and warmed up beside the old ones
before the flip; old ones are drained and stay for a grace, so that a flip back is instant.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tidemill.errors import FailedPrecondition, NotFound, TidemillError, Transient, Unavailable
from tidemill_common import metrics, telemetry
from tidemill_common.verdict import Backoff
from tidemill_serving import routing
from tidemill_serving.held import Held, State
from tidemill_serving.repository import served_name
from tidemill_serving.trip import TripWire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidemill_serving.definitions import ModelSpec
    from tidemill_serving.lane import Lane
    from tidemill_serving.routing import Pin, Table
    from tidemill_serving.versions import Loader

logger = logging.getLogger(__name__)

Key = tuple[str, int]
GRACE_SECONDS: Final = 10.0
DRAIN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Live:
    """What answers requests of one model now. Never changed, only replaced."""

    spec: ModelSpec
    table: Table
    lanes: Mapping[int, Lane]


@dataclass(slots=True)
class Model:
    """One model on this replica: what is wanted, what is live."""

    name: str
    spec: ModelSpec
    wanted: Table | None = None
    live: Live | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    wire: TripWire = field(default_factory=TripWire)
    problem: str = ""
    removed: bool = False


class Fleet:
    """Holds versions and flips tables. One task per model does all changes of that model."""

    def __init__(
        self,
        loader: Loader,
        make_lane: Callable[[Held, ModelSpec], Lane],
        *,
        grace: float = GRACE_SECONDS,
        on_trip: Callable[[Table], None] = lambda _: None,
    ) -> None:
        """Load by `loader`; a version that nothing wants is unloaded after `grace` seconds."""
        self._loader = loader
        self._make_lane = make_lane
        self._grace = grace
        self._on_trip = on_trip
        self.models: dict[str, Model] = {}
        self.held: dict[Key, Held] = {}
        self.arriving: set[str] = set()
        self.defined = False
        self.kick = asyncio.Event()
        self._news: dict[str, Table] = {}
        self._loading: dict[Key, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what requests ask ---

    def live(self, model: str) -> Live:
        """Return what answers requests of `model` now; NotFound, or FailedPrecondition."""
        if not self.defined:
            raise Unavailable("no project has been taken up yet", retry_after=0.5)
        found = self.models.get(model)
        if found is None or found.removed:
            known = ", ".join(sorted(self.models)) or "none yet"
            raise NotFound(f"there is no model {model[:80]!r}; there are: {known}")
        if found.live is not None:
            return found.live
        if found.wanted is not None and found.wanted.champion is not None:
            problem = found.problem or "it is being loaded"
            number = found.wanted.champion.number
            raise Unavailable(f"version {number} of {model!r}: {problem}", retry_after=0.5)
        raise FailedPrecondition(
            f"model {model!r} has no version yet",
            hint="a first version is served when one has been trained and has passed its gates",
        )

    @property
    def ready(self) -> bool:
        """Whether every model with a champion can answer; before the first project none can."""
        routed = {name for name, table in self._news.items() if table.champion is not None}
        if not self.defined:
            return not routed
        models = (self.models[name] for name in routed & set(self.models))
        return all(model.removed or model.live is not None for model in models)

    @property
    def has_champion(self) -> bool:
        """Whether any model has a version that answers."""
        return any(model.live is not None for model in self.models.values())

    def record(self, live: Live, variant: routing.Variant, *, failed: bool) -> None:
        """Take one answer of a challenger into account; may trip it for this table version."""
        model = self.models.get(live.table.model)
        if variant is not routing.Variant.CHALLENGER or model is None or model.live is None:
            return
        if model.live.table.version != live.table.version or model.live.table.tripped:
            return
        if reason := model.wire.record(failed=failed):
            self._trip(model, reason)

    # --- what the world tells ---

    def define(self, specs: Mapping[str, ModelSpec]) -> None:
        """Adopt the models of a new generation of the project."""
        self.defined = True
        for name, spec in specs.items():
            if name not in self.models:
                self.models[name] = Model(name, spec, wanted=self._news.get(name))
                self._start(self._follow(self.models[name]), f"model {name}")
            else:
                self.models[name].spec = spec
                self.models[name].wanted = self._news.get(name)
                self.models[name].removed = False
                self.models[name].changed.set()
        for name in set(self.models) - set(specs):
            self.models[name].wanted = None
            self.models[name].removed = True
            self.models[name].changed.set()

    def want(self, table: Table) -> None:
        """Route by `table` as soon as its versions are ready; older or repeated news is ignored."""
        if not routing.supersedes(table, self._news.get(table.model)):
            return
        self._news[table.model] = table
        model = self.models.get(table.model)
        if model is not None and not model.removed:
            model.wanted = table
            model.changed.set()

    # --- versions ---

    async def hold(self, model: str, pin: Pin) -> Held:
        """Return a loaded version, loading it if it is not; Transient or Rejected if it cannot."""
        key = (model, pin.number)
        async with self._loading.setdefault(key, asyncio.Lock()):
            held = self.held.get(key)
            if held is not None and held.package.digest == pin.digest:
                held.state = State.READY if held.ready.is_set() else State.LOADING
                return held
            name = served_name(model, pin.number, pin.digest)
            self.arriving.add(name)
            try:
                with telemetry.span("model.load", attributes={"tidemill.model.name": model}):
                    package = await self._loader.load(model, pin.number, pin.digest)
            finally:
                self.arriving.discard(name)
            held = Held(package, self.kick.set)
            held.found()
            self.held[key] = held
            return held

    def release_later(self, model: str) -> None:
        """Unload, after the grace, what neither the table nor a borrower wants then."""
        self._start(self._release(model), f"release {model}")

    async def close(self) -> None:
        """Stop all tasks; versions stay loaded for whoever comes next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- inside ---

    async def _follow(self, model: Model) -> None:
        backoff, attempt = Backoff(first=0.1, cap=10.0), 0
        while True:
            model.changed.clear()
            try:
                await self._settle(model)
                attempt, model.problem = 0, ""
            except TidemillError as error:
                attempt += 1
                model.problem = error.message
                logger.warning(
                    "model.not_served", extra={"model": model.name, "error": repr(error)}
                )
                self._start(_later(backoff.delay(attempt), model.changed), "again")
            await model.changed.wait()

    async def _settle(self, model: Model) -> None:
        """Bring `live` to `wanted`: load, flip, tidy up. Called again after each change."""
        table = model.wanted
        if table is None or table.champion is None:
            if table is not None or model.live is not None:
                model.live = None
                self.release_later(model.name)
            return
        champion = await self._lane(model, table.champion)
        lanes = {table.champion.number: champion}
        if table.challenger is not None:
            try:
                lanes[table.challenger.number] = await self._lane(model, table.challenger)
            except TidemillError as error:
                if isinstance(error, Transient):
                    raise
                table = routing.trip(table, f"it cannot be loaded: {error.message}")
                self._on_trip(table)
        if table.version != (model.wanted or table).version:
            return  # newer news came meanwhile: `changed` is set
        # Requests are read by the champion's definition; a lane with another takes over by name.
        self._flip(model, Live(champion.spec, table, lanes))
        await self._keep_previous(model.name, table)

    async def _keep_previous(self, model: str, table: Table) -> None:
        """Hold the last champion ready for a rollback; without it a rollback only takes longer."""
        if table.previous is None:
            return
        try:
            await self.hold(model, table.previous)
        except TidemillError as error:
            logger.warning("model.no_way_back", extra={"model": model, "error": repr(error)})

    async def _lane(self, model: Model, pin: Pin) -> Lane:
        """Return the version's lane: the live one if version and definition are the same."""
        held = await self.hold(model.name, pin)
        live = model.live.lanes.get(pin.number) if model.live is not None else None
        if live is not None and live.held is held and live.spec is model.spec:
            return live
        missing = unknown_inputs(held, model.spec)
        if not missing:
            return self._make_lane(held, model.spec)
        if live is not None and live.held is held:
            logger.warning(
                "model.keeps_definition", extra={"model": model.name, "missing": missing}
            )
            return live
        raise FailedPrecondition(
            f"it needs {', '.join(missing)}, which the project does not define any more"
        )

    def _flip(self, model: Model, live: Live) -> None:
        before = model.live
        if before is not None and before.table.version == live.table.version:
            if before.table.tripped:
                live = replace(live, table=routing.trip(live.table, before.table.tripped))
        else:
            model.wire = TripWire()
        attributes: dict[str, str | int] = {
            "tidemill.model.name": model.name,
            "tidemill.route.table_version": live.table.version,
        }
        with telemetry.span("route.flip", attributes=attributes):
            model.live = live
        metrics.gauge("tidemill_route_table_version", model=model.name).set(live.table.version)
        share = live.table.share
        metrics.gauge("tidemill_route_weight_ratio", model=model.name, variant="challenger").set(
            share
        )
        metrics.gauge("tidemill_route_weight_ratio", model=model.name, variant="champion").set(
            1 - share
        )
        logger.info(
            "route.flipped",
            extra={
                "model": model.name,
                "table_version": live.table.version,
                "champion": live.table.champion and live.table.champion.number,
                "challenger": live.table.challenger and live.table.challenger.number,
                "share": share,
            },
        )
        self.release_later(model.name)

    def _trip(self, model: Model, reason: str) -> None:
        if model.live is None:
            return
        table = routing.trip(model.live.table, reason)
        model.live = replace(model.live, table=table)
        metrics.gauge("tidemill_route_weight_ratio", model=model.name, variant="challenger").set(0)
        logger.error(
            "route.tripped",
            extra={"model": model.name, "table_version": table.version, "reason": reason},
        )
        self._on_trip(table)

    async def _release(self, name: str) -> None:
        await asyncio.sleep(self._grace)
        for key, held in list(self.held.items()):
            if key[0] == name and not self._is_wanted(key, held):
                await self._let_go(key, held)

    def _is_wanted(self, key: Key, held: Held) -> bool:
        model = self.models.get(key[0])
        tables = [] if model is None else [model.wanted, model.live.table if model.live else None]
        wanted = any(table is not None and key[1] in table.wanted for table in tables)
        return wanted or held.borrowed > 0

    async def _let_go(self, key: Key, held: Held) -> None:
        held.state = State.DRAINING
        await held.drained(DRAIN_SECONDS)
        async with self._loading.setdefault(key, asyncio.Lock()):
            if self._is_wanted(key, held):
                held.state = State.READY
                return
            self.held.pop(key, None)
            await self._loader.unload(held.name)
        logger.info("model.unloaded", extra={"served": held.name})

    def _start(self, work: object, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("fleet.task_failed", extra={"task": task.get_name()}, exc_info=error)


def unknown_inputs(held: Held, spec: ModelSpec) -> list[str]:
    """Name the inputs that a version was made from and the definition does not give."""
    given = {one.name for one in spec.inputs.inputs}
    made = held.package.preprocessing
    needed = (*made.numeric, *(category.name for category in made.categories))
    return sorted(set(needed) - given)


async def _later(seconds: float, event: asyncio.Event) -> None:
    await asyncio.sleep(seconds)
    event.set()
