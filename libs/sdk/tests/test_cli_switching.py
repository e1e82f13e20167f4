"""What `apply --hold-switch`, `features diff` and `features switch` print and ask for."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from tidemill.cli.app import main
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.registry.v1 import registry_service_pb2 as registry_pb


@dataclass
class Answers:
    """Gives prepared answers, and keeps what it was asked."""

    diff: features_pb.DiffFeaturesResponse = field(default_factory=features_pb.DiffFeaturesResponse)
    held: str = "c0ffee"
    asked: list[Message] = field(default_factory=list)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        project = registry_pb.GetProjectResponse(generation="current")
        if self.held:
            project.held.generation = self.held
        changes = [registry_pb.Change(kind=registry_pb.CHANGE_KIND_CHANGED, type="view", name="v")]
        held = registry_pb.HoldProjectResponse(generation="c0ffee", held=True, changes=changes)
        switched = registry_pb.SwitchProjectResponse(generation=self.held, number=2)
        aborted = registry_pb.AbortProjectResponse(generation=self.held)
        registry = {
            "GetProject": self._answer(registry_pb.GetProjectRequest, lambda: project),
            "HoldProject": self._answer(registry_pb.HoldProjectRequest, lambda: held),
            "SwitchProject": self._answer(registry_pb.SwitchProjectRequest, lambda: switched),
            "AbortProject": self._answer(registry_pb.AbortProjectRequest, lambda: aborted),
        }
        features = {
            "DiffFeatures": self._answer(features_pb.DiffFeaturesRequest, lambda: self.diff)
        }
        return [
            grpc.method_handlers_generic_handler("tidemill.registry.v1.RegistryService", registry),
            grpc.method_handlers_generic_handler("tidemill.features.v1.FeatureService", features),
        ]

    def _answer(
        self, kind: type[Message], reply: Callable[[], Message]
    ) -> grpc.RpcMethodHandler[Message, Message]:
        def answer(request: Message, _: object) -> Message:
            self.asked.append(request)
            return reply()

        return grpc.unary_unary_rpc_method_handler(
            answer, kind.FromString, lambda message: message.SerializeToString()
        )


Tidemill = Callable[..., int]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Answers]:
    prepared = Answers()
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    for service in ("FEATURES", "REGISTRY"):
        monkeypatch.setenv(f"TIDEMILL_{service}", address)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    server.add_generic_rpc_handlers(prepared.handlers())
    server.start()
    yield prepared
    server.stop(None).wait()


@pytest.fixture
def tidemill(monkeypatch: pytest.MonkeyPatch) -> Tidemill:
    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["tidemill", *words])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def test_a_difference_is_shown_by_feature_and_by_the_entities_that_differ_most(
    answers: Answers, tidemill: Tidemill, capsys: pytest.CaptureFixture[str]
) -> None:
    answers.diff.MergeFrom(
        features_pb.DiffFeaturesResponse(
            served_version="old1",
            next_version="new2",
            entities=1_000,
            entities_total=20_000,
            entities_different=3,
            added_features=["max_1h"],
            features=[
                features_pb.FeatureDiff(
                    feature="sum_1h",
                    equal=997,
                    changed=2,
                    gone=1,
                    mean_difference=0.25,
                    max_difference=2.5,
                    mean_relative=math.nan,
                    max_relative=0.5,
                )
            ],
        )
    )
    worst = answers.diff.worst.add(values=[features_pb.ValueDiff(feature="sum_1h", served=5.0)])
    worst.values[0].next = math.nan
    worst.entity.fields["user"] = "ada"
    assert tidemill("features", "diff", "v", "--entities", "1000", "--worst", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "versions  old1 served, new2 next" in lines
    assert "entities  1,000 of 20,000 compared, 3 differ" in lines
    assert "apart     0 records" in lines
    assert "added     max_1h" in lines
    (row,) = [line.split() for line in lines if line.startswith("sum_1h")]
    assert row == ["sum_1h", "997", "2", "0", "1", "0.25", "2.5", "-", "0.5"]
    assert lines[-1].split() == ["user=ada", "sum_1h", "5", "-"]
    asked = answers.asked[-1]
    assert isinstance(asked, features_pb.DiffFeaturesRequest)
    assert (asked.sample, asked.worst, len(asked.entities)) == (1_000, 3, 0)


def test_one_entity_is_compared_when_it_is_named(answers: Answers, tidemill: Tidemill) -> None:
    assert tidemill("features", "diff", "v", "user=ada", "shop=s1", "--json") == 0
    asked = answers.asked[-1]
    assert isinstance(asked, features_pb.DiffFeaturesRequest)
    assert [dict(one.fields) for one in asked.entities] == [{"user": "ada", "shop": "s1"}]


@pytest.mark.parametrize("words", [(), ("--abort",)])
def test_a_switch_and_an_abort_mean_the_generation_that_was_held_when_they_were_typed(
    answers: Answers,
    tidemill: Tidemill,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    assert tidemill("features", "switch", *words) == 0
    said = "aborted" if words else "switched"
    assert capsys.readouterr().out == f"{said}: generation c0ffee\n"
    asked = answers.asked[-1]
    kind = registry_pb.AbortProjectRequest if words else registry_pb.SwitchProjectRequest
    assert isinstance(asked, kind)
    assert (asked.generation, asked.author) == ("c0ffee", "cli")


def test_a_project_is_held_and_what_it_changes_is_shown(
    answers: Answers, tidemill: Tidemill, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tidemill("init", "shop") == 0
    assert tidemill("apply", "shop/tidemill.yaml", "--hold-switch") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["changed  view v", "held: generation c0ffee"]
    assert isinstance(answers.asked[-1], registry_pb.HoldProjectRequest)
