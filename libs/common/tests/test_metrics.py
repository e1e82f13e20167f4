"""Every metric is in the catalogue, is exposed under its name, and is served on loopback."""

from __future__ import annotations

import urllib.request
from typing import get_args

import pytest

from tidemill_common import metrics, metrics_http


def test_names_for_the_type_checker_and_the_catalogue_are_the_same() -> None:
    typed = {
        *get_args(metrics.CounterName),
        *get_args(metrics.GaugeName),
        *get_args(metrics.HistogramName),
    }
    assert typed == {metric.name for metric in metrics.CATALOGUE}
    assert len(typed) == len(metrics.CATALOGUE)


def test_counters_end_in_total_and_durations_in_seconds() -> None:
    assert all(name.endswith("_total") for name in get_args(metrics.CounterName))
    for metric in metrics.CATALOGUE:
        assert not (metric.unit == "second" and not metric.name.endswith("_seconds"))
        assert metric.meaning


def test_what_is_recorded_is_served() -> None:
    metrics.counter("tidemill_labels_total", model="served").inc(3)
    metrics.histogram("tidemill_coalesce_batch_size", model="served").observe(5)
    metrics.gauge("tidemill_triton_ready").set(1)
    with (
        metrics_http.serving("127.0.0.1:0") as address,
        urllib.request.urlopen(f"http://{address}/metrics") as reply,
    ):
        text = reply.read().decode()
    assert 'tidemill_labels_total{model="served"} 3.0' in text
    assert 'tidemill_coalesce_batch_size_bucket{le="8.0",model="served"} 1.0' in text
    assert "tidemill_triton_ready 1.0" in text


def test_children_are_made_once_and_a_wrong_label_is_a_bug() -> None:
    one = metrics.counter("tidemill_labels_total", model="x")
    assert one is metrics.counter("tidemill_labels_total", model="x")
    with pytest.raises(ValueError, match="label"):
        metrics.counter("tidemill_labels_total", version="x")


def test_no_address_serves_nothing() -> None:
    with metrics_http.serving("") as address:
        assert address == ""
