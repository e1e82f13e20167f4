"""The training process: keeps torch warm, takes jobs over a local socket, touches no network.

`python -m tidemill_training.child SOCKET` waits for jobs. Under torchrun every rank reads its one
job from the file named by a second argument, and only rank 0 speaks. When the worker that started
it is gone, the socket ends and the process leaves at once: no orphan trains on.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import orjson
import torch

from tidemill.errors import TidemillError
from tidemill_common import log
from tidemill_common.artifacts import Artifacts
from tidemill_training import gang, stages
from tidemill_training.calibration import IDENTITY
from tidemill_training.encoding import Arrays
from tidemill_training.failures import classify, first_line
from tidemill_training.graph import Served, export, scorer
from tidemill_training.job import job_from_dict, line, prepared_model
from tidemill_training.loop import reproducible
from tidemill_training.tabular import Tabular
from tidemill_training.trainer import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill_training.gang import Gang
    from tidemill_training.job import Job

ORPHANED: Final = 3


class Link:
    """The socket to the worker; the end of it is the end of this process."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, kind: str, **facts: Any) -> None:
        """Tell the worker."""
        with self._lock:
            self._socket.sendall(line(kind, **facts))

    def next_job(self) -> dict[str, Any]:
        """Wait for the next job."""
        return self._jobs.get()

    def _listen(self) -> None:
        with self._socket.makefile("rb") as lines:
            for text in lines:
                self._jobs.put(orjson.loads(text))
        os._exit(ORPHANED)


def main(arguments: list[str]) -> None:
    """Serve jobs from the socket, or do the one of a gang."""
    log.configure("training-child", os.environ.get("TIDEMILL_LOG_LEVEL", "INFO"))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    reproducible()
    place = gang.joined()
    link = Link(arguments[1]) if place.rank == 0 else None
    if link is not None:
        sys.excepthook = _Telling(link)
    if len(arguments) > 2:
        _work(orjson.loads(Path(arguments[2]).read_bytes()), place, link)
        return
    if link is None:
        return
    warm_up()
    link.send("ready", device=place.device.type)
    while True:
        _work(link.next_job(), place, link)


def _work(document: Mapping[str, Any], place: Gang, link: Link | None) -> None:
    """Do what is asked; what is the job's own fault, or the machine's, is told and survived."""
    told: dict[str, Any] = {"kind": "prepared"}
    try:
        model = prepared_model(document)
        if model is not None:
            stages.prepare(model)
        else:
            told = {"kind": "done", "result": _result(job_from_dict(document), place, link)}
    except (TidemillError, OSError, MemoryError, torch.OutOfMemoryError) as error:
        if link is None:
            raise
        failure = classify(error).value
        told = {"kind": "failed", "failure": failure, "error": first_line([str(error)])}
    if link is not None:
        link.send(**told)


def _result(job: Job, place: Gang, link: Link | None) -> dict[str, Any] | None:
    result = stages.run(job, Artifacts(job.artifacts), place, _report(link), _recorded(link))
    return None if result is None else asdict(result)


def _report(link: Link | None) -> stages.Report:
    def report(stage: str, progress: float, metrics: Mapping[str, float]) -> None:
        if link is not None:
            link.send("progress", stage=stage, progress=progress, metrics=dict(metrics))

    return report


def _recorded(link: Link | None) -> stages.Recorded:
    def recorded(digest: str, step: int) -> None:
        if link is not None:
            link.send("checkpoint", digest=digest, step=step)

    return recorded


class _Telling:
    """An excepthook that names a bug to the worker before the process dies of it."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        sys.__excepthook__(kind, error, trace)
        text = first_line([f"{kind.__name__}: {error}"])
        self._link.send("failed", failure=classify(error).value, error=text)


def warm_up() -> None:
    """Run every stage's libraries once on nothing, so that the first run is as fast as the next."""
    import numpy as np

    arrays = Arrays(np.zeros((4, 2), np.float32), np.zeros((4, 1), np.int64))
    shape = Shape("binary", np.zeros(2, np.float32), np.ones(2, np.float32), (3,), (0,))
    maker = Tabular()
    served = Served(maker.network(shape, maker.defaults()), IDENTITY, "binary")
    scorer(export(served, "binary", arrays)).score(arrays)


if __name__ == "__main__":
    main(sys.argv)
