"""Promises of the model repository and of the routing tables' source."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.errors import Corrupt, Unavailable
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill_common.artifacts import Artifacts
from tidemill_common.preprocessing import Category
from tidemill_serving.repository import (
    Package,
    Repository,
    configuration,
    is_ours,
    read_package,
    served_name,
)
from tidemill_serving.routes import table_of
from tidemill_serving.routing import Pin
from tidemill_serving.testing import put_package

CONFIGURATION = """\
name: "{name}"
backend: "python"
max_batch_size: 0
input [ {{ name: "features" data_type: TYPE_FP32 dims: [ -1, 2 ] }}, \
{{ name: "categories" data_type: TYPE_INT64 dims: [ -1, 1 ] }} ]
output [ {{ name: "probability" data_type: TYPE_FP32 dims: [ -1, 1 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
"""


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "blobs"))


@pytest.fixture
def package(artifacts: Artifacts) -> Package:
    digest, _ = put_package(artifacts, "m", ["a", "b"], [Category("c", ("x",))])
    return read_package(artifacts, "m", 3, digest)


def test_the_configuration_names_shapes_and_one_instance(package: Package) -> None:
    assert configuration(package, "python") == CONFIGURATION.format(name=package.name)
    assert 'platform: "onnxruntime_onnx"' in configuration(package, "onnxruntime")


def test_a_version_is_a_folder_with_a_graph_and_our_backend_file(
    package: Package, artifacts: Artifacts, tmp_path: Path
) -> None:
    Repository(tmp_path / "models", "python").write(package, artifacts)
    folder = tmp_path / "models" / package.name
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == ["1/model.onnx", "1/model.py", "config.pbtxt"]
    assert [path.name for path in (tmp_path / "models").iterdir()] == [package.name]


def test_what_was_tampered_with_is_written_anew_and_what_is_right_is_left_alone(
    package: Package, artifacts: Artifacts, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "models", "python")
    repository.write(package, artifacts)
    graph = tmp_path / "models" / package.name / "1" / "model.onnx"
    right, inode = graph.read_bytes(), graph.stat().st_ino
    repository.write(package, artifacts)
    assert graph.stat().st_ino == inode
    graph.chmod(0o644)
    graph.write_bytes(b"something else")
    repository.write(package, artifacts)
    assert graph.read_bytes() == right


def test_only_our_own_folders_are_removed(tmp_path: Path) -> None:
    for name in ("theirs", "m__v3_0a1b2c3d"):
        (tmp_path / name).mkdir()
    repository = Repository(tmp_path, "python")
    for name in ("theirs", "m__v3_0a1b2c3d", "../x", "m__v3_0a1b2c3d/.."):
        repository.remove(name)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_a_name_is_unique_to_its_digest() -> None:
    assert served_name("late_arrival", 12, "0a1b2c3d" * 8) == "late_arrival__v12_0a1b2c3d"
    assert is_ours("late_arrival__v12_0a1b2c3d")
    assert not is_ours("late_arrival")


def test_a_package_of_another_model_is_refused(artifacts: Artifacts) -> None:
    digest, _ = put_package(artifacts, "other", ["a"], [])
    with pytest.raises(Corrupt, match="made for model 'other'"):
        read_package(artifacts, "m", 1, digest)


def test_a_disk_that_does_not_take_it_only_delays(
    package: Package, artifacts: Artifacts, tmp_path: Path
) -> None:
    (tmp_path / "models").write_text("a file where a folder should be")
    with pytest.raises(Unavailable):
        Repository(tmp_path / "models", "python").write(package, artifacts)


def a_row(state: registry_pb.RolloutState, share: float) -> registry_pb.RolloutRow:
    return registry_pb.RolloutRow(
        model="m",
        state=state,
        table_version=5,
        champion=1,
        champion_digest="a",
        challenger=2,
        challenger_digest="b",
        share=share,
        salt="s",
    )


def test_a_stable_rollout_is_a_table_without_a_challenger() -> None:
    table = table_of(a_row(registry_pb.ROLLOUT_STATE_STABLE, 0.5))
    assert (table.champion, table.challenger, table.limit) == (Pin(1, "a"), None, 0)


def test_a_canary_has_its_share() -> None:
    table = table_of(a_row(registry_pb.ROLLOUT_STATE_CANARY, 0.2))
    assert (table.challenger, table.limit, table.version) == (Pin(2, "b"), 2_000, 5)


def test_no_champion_is_no_pin() -> None:
    assert table_of(registry_pb.RolloutRow(model="m", table_version=1)).champion is None
