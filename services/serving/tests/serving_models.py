"""A small model of a small project, for tests that need one."""

from __future__ import annotations

from functools import cache

from tidemill.project import loads, normalise
from tidemill_serving.definitions import ModelSpec, model_specs

PROJECT = """
project: shop
streams:
  visit:
    key: [user]
    event_time_field: at
    event_id_field: visit_id
    fields:
      visit_id: {type: string, required: true}
      user: {type: string, required: true}
      item: {type: string}
      at: {type: timestamp, required: true}
      amount: {type: float64, required: true, minimum: 0, maximum: 1000}
      weekday: {type: int64, minimum: 1, maximum: 7}
      member: {type: bool}
      country: {type: string, required: true}
      note: {type: string}
  outcome:
    key: [visit_id]
    event_time_field: at
    fields:
      visit_id: {type: string, required: true}
      at: {type: timestamp, required: true}
      bought: {type: bool, required: true}
views:
  users:
    stream: visit
    entity: [user]
    aggregations:
      - {function: mean, field: amount, windows: [1h, 1d]}
  items:
    stream: visit
    entity: [item]
    aggregations:
      - {function: count, windows: [1d]}
on_demand:
  ratio: {type: float64, expression: amount / users__mean_amount_1d}
models:
  purchase:
    spine: {stream: visit, key: [visit_id]}
    inputs:
      - {view: users}
      - {view: items}
      - {on_demand: ratio}
      - {field: amount}
      - {field: weekday}
      - {field: member}
      - {field: country, categorical: {max_vocabulary: 16}}
    label: {stream: outcome, expression: CAST(bought AS DOUBLE), max_delay: 1d, task: binary}
    trainer: {name: tabular}
    monitors: {window: 1d, vector_sample: 0.5}
"""


@cache
def purchase() -> ModelSpec:
    """Return the compiled model."""
    loaded = loads(PROJECT)
    assert not loaded.problems, loaded.problems
    return model_specs(normalise(loaded.project), "g" * 64)["purchase"]
