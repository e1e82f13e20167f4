"""How many rows/s the built-in trainer learns from, on the CPU and on a GPU where there is one.

Two networks: the one that a project gets by default, and a wide one. Rows are in memory: measured
is the loop (forward, backward, optimiser step), after a first run that warms everything up.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from benchmarks.harness import write
from tidemill_training.encoding import Arrays
from tidemill_training.gang import Gang
from tidemill_training.loop import Loop, Part, reproducible
from tidemill_training.tabular import Tabular
from tidemill_training.trainer import LoopParameters, Shape

NUMBERS, CATEGORIES, VOCABULARY = 50, 6, 1_000
NETWORKS = {
    "default": (LoopParameters(epochs=1), {}, 262_144),
    "wide": (
        LoopParameters(epochs=1, batch_size=8_192),
        {"hidden": 1_024.0, "layers": 4.0},
        65_536,
    ),
}


def part(rows: int) -> Part:
    """Make rows whose label hangs on the first number."""
    random = np.random.default_rng(1)
    features = random.normal(size=(rows, NUMBERS)).astype(np.float32)
    features[random.random(features.shape) < 0.1] = np.nan
    categories = random.integers(0, VOCABULARY, (rows, CATEGORIES))
    label = (np.nan_to_num(features[:, 0]) + random.normal(size=rows) > 0).astype(np.float64)
    return Part(Arrays(features, categories), label, np.arange(rows))


def seconds(network: str, device: torch.device) -> float:
    """Train one epoch of it and return what that took, the copy of the rows included."""
    parameters, widths, rows = NETWORKS[network]
    maker = Tabular()
    shape = Shape(
        "binary",
        np.zeros(NUMBERS, np.float32),
        np.ones(NUMBERS, np.float32),
        (VOCABULARY,) * CATEGORIES,
        (0,) * CATEGORIES,
    )
    torch.manual_seed(1)
    made = maker.network(shape, {**maker.defaults(), **widths})
    loop = Loop(made, parameters, "binary", 1, "rows", Gang(0, 1, device))
    train, validation = part(rows), part(4_096)
    begun = time.perf_counter()
    loop.run(train, validation, lambda _: None)  # its end asks for the loss: the device is done
    return time.perf_counter() - begun


def main() -> None:
    """Measure every device that there is."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    threads = options.parse_args().threads
    torch.set_num_threads(threads)
    reproducible()
    devices = [torch.device("cpu")]
    if torch.cuda.is_available():
        devices.append(torch.device("cuda", 0))
    figures: dict[str, object] = {}
    for device in devices:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{threads} threads"
        speeds = {}
        for network, (_, _, rows) in NETWORKS.items():
            seconds(network, device)
            best = min(seconds(network, device) for _ in range(3))
            speeds[network] = {"rows_per_second": round(rows / best), "seconds": round(best, 3)}
        figures[device.type] = {"device": name, **speeds}
    write(
        "training_speed_cuda" if "cuda" in figures else "training_speed",
        {
            "what": "the training loop of the built-in trainer, 50 numbers and 6 categories",
            "reach": "none stated",
            **figures,
        },
    )


if __name__ == "__main__":
    main()
