"""A view over two streams: what is read counts both, through a crash, and a training set agrees."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.conftest import StartStack
from tests.integration.driver import START, Platform, addresses, eventually
from tidemill import Event, merge
from tidemill.client import Client, connect
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.ingestion.v1.ingestion_service_pb2 import PositionToken
from tidemill.project import loads, normalise
from tidemill_common.artifacts import Artifacts
from tidemill_common.feature_views import view_spec
from tidemill_local.library import LocalStack
from tidemill_tiles.keys import event_id_hashes, stream_salt
from tidemill_tiles.reads import Status
from tidemill_tiles.testing.oracle import Oracle, OracleEvent

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

SERVICES = ("registry", "ingestion", "features-worker", "features-server")
PROJECT = """
project: union
streams:
  web_orders:
    key: [session]
    replay: true
    partitions: 3
    event_time_field: at
    fields:
      session: {type: string, required: true}
      user: string
      at: {type: timestamp, required: true}
      amount: {type: float64, resolution: 0.01}
  till_orders:
    key: [till]
    replay: true
    partitions: 2
    lateness: 2h
    event_time_field: at
    fields:
      till: {type: int64, required: true}
      customer: string
      at: {type: timestamp, required: true}
      cents: int64
      void: bool
  asks:
    key: [user]
    replay: true
    event_time_field: at
    fields:
      user: {type: string, required: true}
      at: {type: timestamp, required: true}
      wanted: float64
views:
  spending:
    entity: [user]
    sources:
      - stream: web_orders
      - stream: till_orders
        columns: {user: customer, amount: cents / 100.0}
        filter: NOT void
    aggregations:
      - {function: count, windows: [1h, 1d, lifetime]}
      - {function: sum, field: amount, windows: [1h, 1d]}
      - {function: first, field: amount, windows: [1d]}
      - {function: last, field: amount, windows: [1d]}
      - {function: last_k, field: amount, k: 3, windows: [1d]}
      - {function: time_since_last, windows: [lifetime]}
models:
  spends:
    spine: {stream: asks, key: [user]}
    inputs:
      - {view: spending}
    label: {stream: asks, expression: wanted, task: regression}
"""
USERS = [f"u{number}" for number in range(8)]
ROUNDS = 4
PER_ROUND = 300
KILLED_AFTER = 1
"""The worker is killed while the events of the next round come."""


def some_orders(chance: random.Random, begin: datetime, first: int) -> list[Event]:
    """Return orders of an hour in both streams, which have events of the same ids and times."""
    orders = []
    for number in range(first, first + PER_ROUND):
        at = begin + timedelta(seconds=10 * chance.randrange(360))
        user, cents = chance.choice(USERS), chance.randrange(1, 5_000)
        web = {"session": f"s{chance.randrange(40)}", "user": user, "at": at, "amount": cents / 100}
        till = {
            "till": chance.randrange(5), "customer": user, "at": at, "cents": cents + 1,
            "void": chance.random() < 0.2,
        }  # fmt: skip
        same = partial(Event, id=f"e{number}", source="shop", available=begin + timedelta(hours=1))
        orders.append(same("web_orders", web))
        if number % 3:
            orders.append(same("till_orders", till))
    return orders


def an_oracle(orders: Sequence[Event]) -> Oracle:
    """Return what the orders of both streams mean, by the words of the project."""
    oracle = Oracle(view_spec(normalise(loads(PROJECT).project), "spending").definition)
    ties = event_id_hashes(pa.array(["shop"] * len(orders)), pa.array([one.id for one in orders]))
    for order, tie in zip(orders, ties.tolist(), strict=True):
        data = order.data
        if data.get("void"):
            continue
        web = order.stream == "web_orders"
        amount = data["amount"] if web else data["cents"] / 100
        time_us = round(data["at"].timestamp() * 1_000_000)
        event = OracleEvent(time_us, tie ^ stream_salt(order.stream), {"amount": amount})
        oracle.add(str(data["user"] if web else data["customer"]).encode(), event)
    return oracle


def values_at(
    client: Client, at: datetime, token: PositionToken
) -> features_pb.GetFeaturesResponse:
    entities = [{"user": user} for user in USERS]
    return client.get_features("spending", entities, at=at, token=token, timeout=60.0)


def assert_as_defined(reply: features_pb.GetFeaturesResponse, oracle: Oracle, at: datetime) -> None:
    for user, entity in zip(USERS, reply.entities, strict=True):
        wanted = oracle.read(user.encode(), round(at.timestamp() * 1_000_000))
        for name, got, (value, status) in zip(reply.features, entity.values, wanted, strict=True):
            expected = value if status is Status.PRESENT else float("nan")
            np.testing.assert_equal(got, expected, err_msg=f"{user} {name}")


def training_rows(stack: LocalStack, client: Client) -> pa.Table:
    """Build the set of all asks and read it from the artefact store."""
    request = features_pb.BuildTrainingSetRequest(model="spends", unlabelled=True)
    built = eventually(lambda: client.build_training_set(request), "a training set", 60.0)
    blob = Artifacts(stack.environment["TIDEMILL_ARTIFACTS"]).get(built.digest)
    return pq.read_table(io.BytesIO(blob))


def assert_accounted_for(client: Client, user: str, at: datetime, values: list[float]) -> None:
    """The entity's events of both streams, by the names that each has, make what is served."""
    entity = {"user": user}
    explained = client.explain_features("spending", entity, at=at)
    assert explained.agrees
    for one in explained.features:
        assert {event.stream for event in one.events} <= {"web_orders", "till_orders"}
    count = next(one for one in explained.features if one.feature.startswith("count"))
    assert {event.stream for event in count.events} == {"web_orders", "till_orders"}
    history = client.feature_history("spending", entity, until=at)
    np.testing.assert_equal(list(history.rows[-1].values), values)


def test_both_streams_count_after_publish_after_a_crash_and_in_a_training_set(
    start_stack: StartStack,
) -> None:
    stack = start_stack(SERVICES)
    chance = random.Random(4)
    orders: list[Event] = []
    served: dict[tuple[str, datetime], list[float]] = {}
    with connect(addresses(stack), author="test") as client:
        platform = Platform(stack, client)
        eventually(lambda: client.apply(loads(PROJECT).project), "apply")
        platform.wait_for_views()
        assert {(one.stream, one.partition) for one in client.describe_views().views} == {
            *(("web_orders", number) for number in range(3)),
            *(("till_orders", number) for number in range(2)),
        }
        tokens = []
        for number in range(ROUNDS):
            fresh = some_orders(chance, START + timedelta(hours=number), number * PER_ROUND)
            chance.shuffle(fresh)
            tokens.append(platform.publish(fresh[: len(fresh) // 2]))
            if number == KILLED_AFTER:
                stack.kill("features-worker")
            tokens.append(platform.publish(fresh[len(fresh) // 2 :]))
            tokens.append(platform.publish(fresh[:50]))  # a retry counts once
            orders += fresh
            at = START + timedelta(hours=number + 1)
            reply = values_at(client, at, merge(tokens))
            assert_as_defined(reply, an_oracle(orders), at)
            for user, entity in zip(USERS, reply.entities, strict=True):
                served[user, at] = list(entity.values)
        late = {"till": 1, "customer": USERS[0], "at": at, "cents": 77, "void": False}
        orders.append(Event("till_orders", late, id="late", source="shop", available=at))
        reply = values_at(client, at, platform.publish(orders[-1:]))
        assert_as_defined(reply, an_oracle(orders), at)  # a token of one stream is enough
        served[USERS[0], at] = list(reply.entities[0].values)
        assert_accounted_for(client, USERS[0], at, served[USERS[0], at])
        platform.publish(
            [
                Event("asks", {"user": user, "at": at}, source="shop", available=at)
                for user, at in served
            ]
        )
        rows = training_rows(stack, client)
        names = [f"spending__{name}" for name in reply.features]
    found = {
        (key, at): [row[name] for name in names]
        for key, at, row in zip(
            rows["_spine_key"].to_pylist(), rows["_time"].to_pylist(), rows.to_pylist(), strict=True
        )
    }
    assert found.keys() == served.keys()
    mismatches = [
        (one, found[one], served[one])
        for one in served
        if np.array(found[one]).tobytes() != np.array(served[one]).tobytes()
    ]
    assert mismatches == []
