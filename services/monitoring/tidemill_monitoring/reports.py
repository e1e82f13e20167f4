"""Reports that a person reads: one at a time, in a process of their own, at low priority."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from tidemill.errors import FailedPrecondition, NotFound, Unavailable
from tidemill_common.app import unless_told, until
from tidemill_common.ids import digest_json
from tidemill_common.topics import ALERTS
from tidemill_monitoring import convert, reportrows
from tidemill_monitoring.alerts import Alert, Kind

if TYPE_CHECKING:
    from tidemill_monitoring.definitions import Watch
    from tidemill_monitoring.driftcount import Layout
    from tidemill_monitoring.references import References
    from tidemill_monitoring.store import Store

FOLDER = "reports"
MIN_ROWS = 20
SECONDS = 90.0
LOOK_SECONDS = 1.0
WINDOWS = 3
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "DO_NOT_TRACK": "1"}
logger = logging.getLogger(__name__)


class Reports:
    """Builds reports into a folder; the watch changes with the project."""

    def __init__(self, store: Store, references: References, data: Path) -> None:
        """Keep pages under `data`/reports; paths are given relative to that folder."""
        self._store = store
        self._references = references
        self._folder = data / FOLDER
        self._one = asyncio.Lock()
        self.watch: Watch | None = None

    @property
    def models(self) -> frozenset[str]:
        """The models of the current project."""
        return frozenset(self.watch.models) if self.watch else frozenset()

    async def run(self, stop: asyncio.Event, gap: float) -> None:
        """Build what firing alerts want, the worst first, with a rest after each.

        What is under way when it is told to stop is given up: it is wanted at the next start again.
        """
        while not stop.is_set():
            alert = await self._store.next_report() if self.watch else None
            if alert is None:
                await until(stop, LOOK_SECONDS)
                continue
            try:
                path = await unless_told(stop, self._build_alert(alert))
            except (FailedPrecondition, NotFound, Unavailable) as error:
                logger.warning(
                    "report.failed", extra={"alert_id": alert.alert_id, "error": str(error)}
                )
                await self._done(alert.alert_id, "", "failed")
            else:
                if path is None:
                    return
                await self._done(alert.alert_id, path, "built")
            await until(stop, gap)

    async def _done(self, alert_id: str, path: str, state: str) -> None:
        """Note the path and tell it: the same change again, now with its report."""
        alert = await self._store.report_done(alert_id, path, state)
        if path:
            event = convert.to_changed(alert, alert.machine.state)
            await self._store.announce(ALERTS.name, alert.alert_id, event.SerializeToString())

    async def forget(self) -> None:
        """Remove every page: rows that were erased may be in it."""
        async with self._one:
            for page in self._folder.glob("*.html"):
                page.unlink()

    async def of_alert(self, alert: Alert) -> str:
        """Give the path of an alert's report; builds it when it is not there."""
        if alert.report_path and (self._folder / alert.report_path).exists():
            return alert.report_path
        path = await self._build_alert(alert)
        await self._done(alert.alert_id, path, "built")
        return path

    async def of_span(self, model: str, from_us: int, to_us: int) -> str:
        """Build the report of the newest version that answered in a span."""
        samples = await self._store.samples(model, from_us, to_us)
        if not samples:
            raise FailedPrecondition(f"no sampled predictions of {model!r} in this span")
        version = int(str(pl.concat(samples)["version"].max()))
        name = digest_json([model, from_us, to_us, version])[:16]
        return await self._predictions(model, version, samples, f"{model}-{name}.html")

    async def _build_alert(self, alert: Alert) -> str:
        name = f"{alert.alert_id}.html"
        if alert.subject.kind is Kind.DATA:
            return await self._build(*await self._store.report_rows(alert.alert_id), name)
        model = self.watch.models.get(alert.subject.model) if self.watch else None
        if model is None:
            raise FailedPrecondition(f"model {alert.subject.model!r} is not in the project")
        from_us = alert.opened_us - WINDOWS * model.window_us
        samples = await self._store.samples(model.name, from_us, alert.changed_us)
        return await self._predictions(model.name, alert.subject.version, samples, name)

    async def _predictions(
        self, model: str, version: int, samples: list[pl.DataFrame], name: str
    ) -> str:
        await self._references.load(model, version)
        layout: Layout | None = self._references.known(model, version)
        if layout is None:
            raise FailedPrecondition(f"{model} v{version} has no reference")
        current = reportrows.prediction_rows(layout, samples, version)
        reference = reportrows.reference_rows(layout, current.columns)
        return await self._build(reference, current, name)

    async def _build(self, reference: pl.DataFrame, current: pl.DataFrame, name: str) -> str:
        """Run Evidently beside this process; Unavailable when it fails or takes too long."""
        if min(reference.height, current.height) < MIN_ROWS:
            raise FailedPrecondition(
                f"{reference.height} rows against {current.height}: a report needs {MIN_ROWS} each"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        async with self._one:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                paths = [Path(folder) / "reference.arrow", Path(folder) / "current.arrow"]
                for frame, path in zip((reference, current), paths, strict=True):
                    await asyncio.to_thread(frame.write_ipc, path)
                await _run([*map(str, paths), str((self._folder / name).absolute())])
        logger.info("report.built", extra={"path": name})
        return name


async def _run(arguments: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tidemill_monitoring.evidently_report",
        *arguments,
        env={**os.environ, **ENVIRONMENT},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            _, errors = await process.communicate()
    except TimeoutError as error:
        raise Unavailable(f"the report took longer than {SECONDS:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise Unavailable(f"the report failed: {' '.join(last)[:300]}")
