"""The port of trainers: what a network must be, and how one is found by name.

A trainer makes the network only. Data, loop, checkpoints, calibration, export and evaluation are
the platform's, so that every trainer resumes, is calibrated and is measured in the same way. Other
packages offer theirs as an entry point in the group `tidemill.trainers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from tidemill.errors import Invalid, Misconfigured, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    from torch import nn

GROUP: Final = "tidemill.trainers"
BUILT_IN: Final = "tabular"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the network is made for; `location` and `scale` come from the training rows."""

    task: str
    location: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    category_sizes: tuple[int, ...]
    embeddings: tuple[int, ...]
    """Declared widths of the embeddings, 0 where the trainer may choose."""
    prior: float = 0.0
    """Mean of the labels; logit of it for a binary task."""


@dataclass(frozen=True, slots=True)
class LoopParameters:
    """How the platform's loop trains; every name may stand in a project file's `parameters`."""

    epochs: int = 8
    patience: int = 3
    batch_size: int = 1024
    learning_rate: float = 0.002
    weight_decay: float = 0.01
    half_life_days: float = 0.0
    """A row's weight halves with so many days of age; 0: all rows weigh the same."""
    calibrate_shift: int = 0
    """1: calibration may also move the base rate, not only the temperature."""


@runtime_checkable
class Trainer(Protocol):
    """Makes networks for one family of models."""

    def defaults(self) -> Mapping[str, float]:
        """Name every parameter of the network with its default; others are refused."""
        ...

    def network(self, shape: Shape, parameters: Mapping[str, float]) -> nn.Module:
        """Return a network whose `forward(features, categories)` gives raw outputs [n, 1].

        `features` are float32 [n, F] with NaN for missing, `categories` int64 [n, C]; the output is
        a logit (binary) or the value (regression). It must be exportable to ONNX.
        """
        ...


def find(name: str) -> Trainer:
    """Return the trainer called `name`; Misconfigured when there is none."""
    if name in ("", BUILT_IN):
        from tidemill_training.tabular import Tabular

        return Tabular()
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise Misconfigured(
            f"no trainer is called {name!r}",
            hint=f"use {BUILT_IN!r}, or install a package with an entry point in {GROUP}",
        )
    trainer = found[0].load()()
    if not isinstance(trainer, Trainer):
        raise Misconfigured(f"entry point {found[0].value} is no trainer: see {Trainer.__module__}")
    return trainer


def loop_parameters(values: Mapping[str, float]) -> LoopParameters:
    """Take the loop's parameters out of `values`; Invalid for values that cannot be."""
    defaults = LoopParameters()
    chosen: dict[str, float | int] = {}
    for name in LoopParameters.__slots__:
        kind = type(getattr(defaults, name))
        chosen[name] = kind(values.get(name, getattr(defaults, name)))
    broken = [
        Violation(name, f"{chosen[name]} is less than {least}")
        for name, least in (
            ("epochs", 1),
            ("patience", 1),
            ("batch_size", 2),
            ("half_life_days", 0),
        )
        if chosen[name] < least
    ]
    if not chosen["learning_rate"] > 0:
        broken.append(Violation("learning_rate", "must be above 0"))
    if broken:
        raise Invalid(violations=broken)
    return LoopParameters(**chosen)  # type: ignore[arg-type]


def network_parameters(trainer: Trainer, values: Mapping[str, float]) -> dict[str, float]:
    """Return the network's parameters; Invalid for a name that neither it nor the loop knows."""
    defaults = dict(trainer.defaults())
    unknown = sorted(set(values) - set(defaults) - set(LoopParameters.__slots__))
    if unknown:
        known = ", ".join(sorted({*defaults, *LoopParameters.__slots__}))
        raise Invalid(
            violations=[Violation(name, f"no such parameter; known: {known}") for name in unknown]
        )
    return {name: float(values.get(name, default)) for name, default in defaults.items()}
