"""Promises of what carries the sums of several processes."""

from __future__ import annotations

import pytest
import torch

from tidemill_training import gang


@pytest.mark.parametrize(
    ("kind", "gpus", "processes", "name"),
    [
        ("cuda", 2, 2, "nccl"),
        ("cuda", 1, 2, "gloo"),
        ("cpu", 0, 2, "gloo"),
        ("cpu", 2, 2, "gloo"),
    ],
)
def test_nccl_is_for_a_gpu_each_and_processes_that_share_one_go_on_by_gloo(
    kind: str, gpus: int, processes: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert gang.backend(torch.device(kind), processes) == name
