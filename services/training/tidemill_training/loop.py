"""Train a network: seeded, resumable at any step, the same numbers every time. Knows no service.

Laws. The order of rows is f(data hash, seed, epoch); the randomness of a step is f(seed, step,
rank); so a run resumed from any checkpoint ends with the same bits as one that was never stopped
(on the same hardware class and number of threads). The newest epoch wins whose loss on validation
rows, all of them newer than the training rows, is within two standard errors of the lowest: a few
days of validation rows cannot tell such epochs apart, and the later one is the smoother.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import xxhash
from torch import nn
from torch.nn import functional

from tidemill_training.checkpoint import Cursor

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from tidemill_training.encoding import Arrays
    from tidemill_training.gang import Gang
    from tidemill_training.trainer import LoopParameters

_WARM_UP: Final = 0.1
"""Share of the steps in which the learning rate rises."""
_CLIP_NORM: Final = 1.0
_STANDARD_ERRORS: Final = 2.0
_EVALUATION_ROWS: Final = 16_384
_DAY_US: Final = 86_400_000_000

Save = Callable[[Cursor], None]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one part of the split, as arrays."""

    arrays: Arrays
    label: npt.NDArray[np.float64]
    time_us: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The best network, and how it was reached."""

    network: nn.Module
    cursor: Cursor


class Loop:
    """One training of one network; `run` ends it, `state` and `restore` are its checkpoint."""

    def __init__(
        self,
        network: nn.Module,
        parameters: LoopParameters,
        task: str,
        seed: int,
        data_hash: str,
        gang: Gang,
    ) -> None:
        self._network = network.to(gang.device)
        self._parameters = parameters
        self._regression = task == "regression"
        self._seed = seed
        self._data_hash = data_hash
        self._gang = gang
        self._micro = parameters.batch_size
        decayed = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": parameters.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=parameters.learning_rate,
        )
        self._best = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.cursor = Cursor()

    def run(self, train: Part, validation: Part, save: Save) -> Fitted:
        """Train until the epochs or the patience end; `save` is offered every step's cursor."""
        data, check = self._tensors(train), self._tensors(validation)
        steps = math.ceil(train.label.size / self._parameters.batch_size)
        while not self._finished():
            order = self._order(train.label.size)
            for batch in range(self.cursor.batch, steps):
                rows = order[batch * self._parameters.batch_size :][: self._parameters.batch_size]
                self._rate(steps)
                self._step(data, rows)
                self.cursor = replace(self.cursor, batch=batch + 1, step=self.cursor.step + 1)
                if batch + 1 < steps:
                    save(self.cursor)
            self._end_epoch(*self._loss(check))
            save(self.cursor)
        self._network.load_state_dict(self._best)
        self._network.eval()
        return Fitted(self._network, self.cursor)

    def _finished(self) -> bool:
        done = self.cursor.epoch
        stalled = done - 1 - self.cursor.best_epoch >= self._parameters.patience
        return done >= self._parameters.epochs or (done > 0 and stalled)

    def _tensors(self, part: Part) -> tuple[torch.Tensor, ...]:
        weight = np.ones_like(part.label)
        if self._parameters.half_life_days > 0 and part.time_us.size:
            age = (part.time_us.max() - part.time_us) / _DAY_US
            weight = 0.5 ** (age / self._parameters.half_life_days)
            weight /= weight.mean()
        arrays = (part.arrays.features, part.arrays.categories)
        columns = (part.label.astype(np.float32)[:, None], weight.astype(np.float32)[:, None])
        return tuple(torch.from_numpy(a).to(self._gang.device) for a in (*arrays, *columns))

    def _order(self, rows: int) -> torch.Tensor:
        key = f"{self._data_hash}/{self._seed}/{self.cursor.epoch}".encode()
        order = np.random.default_rng(xxhash.xxh3_64_intdigest(key)).permutation(rows)
        return torch.from_numpy(order).to(self._gang.device)

    def _rate(self, steps: int) -> None:
        total = steps * self._parameters.epochs
        warm = max(1, int(total * _WARM_UP))
        at = self.cursor.step
        factor = (
            (at + 1) / warm
            if at < warm
            else 0.5 * (1 + math.cos(math.pi * (at - warm) / max(1, total - warm)))
        )
        for group in self._optimizer.param_groups:
            group["lr"] = self._parameters.learning_rate * max(factor, 0.01)

    def _step(self, data: tuple[torch.Tensor, ...], rows: torch.Tensor) -> None:
        """Do one optimiser step; out of memory, do it in pieces of half the size.

        Nothing here asks a GPU for a value: it would wait for the step to end before the next one
        can be queued.
        """
        while True:
            try:
                self._gradients(data, rows)
                break
            except torch.OutOfMemoryError:
                if self._micro <= 1:
                    raise
                self._micro //= 2
        nn.utils.clip_grad_norm_(self._network.parameters(), _CLIP_NORM)
        self._optimizer.step()

    def _gradients(self, data: tuple[torch.Tensor, ...], rows: torch.Tensor) -> None:
        self._network.train()
        torch.manual_seed(_mix(self._seed, self.cursor.step, self._gang.rank))
        self._optimizer.zero_grad(set_to_none=True)
        mine = self._gang.share(rows)
        for start in range(0, mine.numel(), self._micro):
            features, categories, label, weight = (
                t[mine[start : start + self._micro]] for t in data
            )
            each = self._losses(self._network(features, categories), label)
            loss = (each * weight).sum() / rows.numel()
            loss.backward()  # type: ignore[no-untyped-call]
        self._gang.add(list(self._network.parameters()))

    def _losses(self, output: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if self._regression:
            return functional.smooth_l1_loss(output, label, reduction="none")
        return functional.binary_cross_entropy_with_logits(output, label, reduction="none")

    def _loss(self, data: tuple[torch.Tensor, ...]) -> tuple[float, float]:
        """Return the mean loss of rows and its standard error."""
        self._network.eval()
        features, categories, label, _ = data
        parts = []
        with torch.no_grad():
            for start in range(0, label.shape[0], _EVALUATION_ROWS):
                part = slice(start, start + _EVALUATION_ROWS)
                output = self._network(features[part], categories[part])
                parts.append(self._losses(output, label[part]).double())
        losses = torch.cat(parts)
        error = float(losses.std(correction=0)) / math.sqrt(losses.shape[0])
        return self._gang.agree(float(losses.mean())), self._gang.agree(error)

    def _end_epoch(self, loss: float, error: float) -> None:
        lowest = min(self.cursor.best_loss, loss)
        wins = loss <= lowest + _STANDARD_ERRORS * error
        if wins:
            self._best = {k: v.detach().clone() for k, v in self._network.state_dict().items()}
        self.cursor = replace(
            self.cursor,
            epoch=self.cursor.epoch + 1,
            batch=0,
            best_epoch=self.cursor.epoch if wins else self.cursor.best_epoch,
            best_loss=lowest,
            history=(*self.cursor.history, loss),
        )

    def state(self) -> dict[str, torch.Tensor]:
        """Return every tensor that the next step depends on, on the CPU."""
        tensors = {f"model.{k}": v for k, v in self._network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self._best.items()}
        for place, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{k}": v for k, v in moments.items()}
        return {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}

    def restore(self, cursor: Cursor, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on where `state` was taken; the next step gives the bits it would have given."""
        self.cursor = cursor
        self._network.load_state_dict(_under("model.", tensors))
        self._best = {k: v.to(self._gang.device) for k, v in _under("best.", tensors).items()}
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            place, _, moment = name.partition(".")
            moments.setdefault(int(place), {})[moment] = value
        saved = self._optimizer.state_dict()
        self._optimizer.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})


def reproducible() -> None:
    """Let this process choose only algorithms that give the same bits every time."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    # By default torch then also fills every tensor that it allocates, in case somebody reads what
    # nobody wrote: half of the kernels that a step of a small network launches on a GPU.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def outputs(network: nn.Module, arrays: Arrays, device: torch.device) -> npt.NDArray[np.float64]:
    """Return the raw outputs of every row."""
    parts = []
    with torch.no_grad():
        for start in range(0, arrays.features.shape[0], _EVALUATION_ROWS):
            part = slice(start, start + _EVALUATION_ROWS)
            features = torch.from_numpy(arrays.features[part]).to(device)
            categories = torch.from_numpy(arrays.categories[part]).to(device)
            parts.append(network(features, categories)[:, 0].double().cpu().numpy())
    return np.concatenate(parts) if parts else np.zeros(0)


def _mix(seed: int, step: int, rank: int) -> int:
    return xxhash.xxh3_64_intdigest(f"{seed}/{step}/{rank}".encode()) >> 1


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
