"""Promises of a run: the same bits however often it is stopped, and a package that is what it says."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save

from tidemill.errors import Corrupt, FailedPrecondition, Invalid
from tidemill_common import model_package, preprocessing, reference
from tidemill_common.artifacts import Artifacts
from tidemill_training import checkpoint, gang, graph, package, stages, trainer
from tidemill_training.calibration import Platt
from tidemill_training.encoding import Arrays
from tidemill_training.job import Champion, Job, Result, job_from_dict, job_to_dict
from tidemill_training.tabular import CLIP, Tabular
from tidemill_training.testing import MINUTE_US, START_US, a_job, a_model, a_table


class PowerCut(Exception):
    pass


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "store"))


@dataclass
class Watch:
    """What a run reports; cuts the power at a chosen checkpoint."""

    cut_at: int = -1
    digests: list[str] | None = None
    losses: list[float] | None = None

    def report(self, stage: str, progress: float, metrics: object) -> None:
        if isinstance(metrics, dict) and "validation_loss" in metrics:
            self.losses = [*(self.losses or []), metrics["validation_loss"]]

    def recorded(self, digest: str, step: int) -> None:
        self.digests = [*(self.digests or []), digest]
        if len(self.digests) == self.cut_at:
            raise PowerCut


def run(job: Job, artifacts: Artifacts, watch: Watch | None = None) -> Result:
    watch = watch or Watch()
    result = stages.run(job, artifacts, gang.alone(), watch.report, watch.recorded)
    assert result is not None
    return result


def weights(job: Job, artifacts: Artifacts) -> bytes:
    watch, data = Watch(), stages.load(job, artifacts)
    network, _, _ = stages.train(job, data, artifacts, gang.alone(), watch.report, watch.recorded)
    return save(network.state_dict())


def file(result: Result, name: str, artifacts: Artifacts) -> bytes:
    return artifacts.get(result.files[name][0])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifacts, Job, Result]:
    torch.set_num_threads(1)
    artifacts = Artifacts(str(tmp_path_factory.mktemp("package")))
    job = a_job(artifacts)
    return artifacts, job, run(job, artifacts)


@pytest.mark.parametrize("cut_at", [1, 18])
def test_a_run_that_is_cut_and_resumed_ends_with_the_same_bits(
    cut_at: int, finished: tuple[Artifacts, Job, Result]
) -> None:
    artifacts, job, whole = finished
    watch = Watch(cut_at=cut_at)
    with pytest.raises(PowerCut):
        run(job, artifacts, watch)
    assert watch.digests
    resumed = run(replace(job, checkpoint=watch.digests[-1]), artifacts)
    assert resumed.metrics == whole.metrics
    assert resumed.manifest == whole.manifest


def test_a_run_learns_what_there_is_to_learn(finished: tuple[Artifacts, Job, Result]) -> None:
    _, _, result = finished
    assert result.metrics["auc"] > 0.8
    assert result.metrics["log_loss"] < 0.6


def test_another_seed_gives_other_weights(finished: tuple[Artifacts, Job, Result]) -> None:
    artifacts, job, _ = finished
    assert weights(job, artifacts) == weights(job, artifacts)
    assert weights(replace(job, seed=8), artifacts) != weights(job, artifacts)


def test_a_checkpoint_of_another_configuration_is_not_taken_up(
    finished: tuple[Artifacts, Job, Result],
) -> None:
    artifacts, job, _ = finished
    watch = Watch(cut_at=10)
    with pytest.raises(PowerCut):
        run(job, artifacts, watch)
    assert watch.digests
    other = replace(job, overrides={"epochs": 2.0})
    resumed = replace(other, checkpoint=watch.digests[-1])
    assert weights(resumed, artifacts) == weights(other, artifacts)


def test_a_damaged_checkpoint_is_refused(artifacts: Artifacts) -> None:
    with pytest.raises(Corrupt):
        checkpoint.read(artifacts.put(b'{"format":1}'), artifacts)
    with pytest.raises(Corrupt):
        checkpoint.training_set(artifacts.put(b"no json"), artifacts)


def test_the_manifest_names_every_file_by_its_content(
    finished: tuple[Artifacts, Job, Result],
) -> None:
    artifacts, _, result = finished
    manifest = model_package.manifest_from_json(artifacts.get(result.manifest))
    assert manifest.model == "late"
    assert {n: (f.sha256, f.size) for n, f in manifest.files.items()} == result.files
    assert {"model.onnx", "weights.safetensors", "reference.json"} <= set(result.files)


def test_the_graph_gives_its_golden_answers_for_any_number_of_rows(
    finished: tuple[Artifacts, Job, Result],
) -> None:
    artifacts, _, result = finished
    golden = model_package.golden_from_json(file(result, model_package.GOLDEN, artifacts))
    session = onnxruntime.InferenceSession(file(result, model_package.MODEL, artifacts))
    inputs: dict[str, npt.NDArray[Any]] = {
        "features": golden.features,
        "categories": golden.categories,
    }
    all_at_once = np.asarray(session.run(["probability"], inputs)[0])
    assert np.allclose(all_at_once[:, 0], golden.outputs, atol=1e-6)
    for i in range(3):
        single = {name: rows[i : i + 1] for name, rows in inputs.items()}
        one = np.asarray(session.run(None, single)[0])
        assert one.shape == (1, 1)
        assert one[0, 0] == pytest.approx(golden.outputs[i], abs=1e-6)
    assert np.isnan(golden.features[0]).all()


def test_an_outlier_says_no_more_than_the_clip(finished: tuple[Artifacts, Job, Result]) -> None:
    artifacts, _, result = finished
    session = onnxruntime.InferenceSession(file(result, model_package.MODEL, artifacts))
    far = np.array([[1e6], [1e30], [10 + 20 * CLIP * 2]], dtype=np.float32)
    (answers,) = session.run(None, {"features": far, "categories": np.zeros((3, 2), np.int64)})
    assert np.ptp(answers) == 0.0


def test_the_reference_has_every_input_and_the_predictions_of_unseen_rows(
    finished: tuple[Artifacts, Job, Result],
) -> None:
    artifacts, _, result = finished
    known = reference.from_json(file(result, package.REFERENCE, artifacts))
    assert [bins.name for bins in known.inputs] == ["arrivals__mean_delay_1h", "hour", "carrier"]
    assert known.prediction.rows == 360
    assert known.metric_rows == 180
    assert known.importances["arrivals__mean_delay_1h"] > known.importances["hour"]


def test_the_encoding_in_the_package_is_the_frozen_order(
    finished: tuple[Artifacts, Job, Result],
) -> None:
    artifacts, _, result = finished
    shape = preprocessing.from_json(file(result, model_package.PREPROCESSING, artifacts))
    assert shape.numeric == ("arrivals__mean_delay_1h",)
    assert [category.name for category in shape.categories] == ["hour", "carrier"]


def test_the_champion_is_scored_on_the_same_fresh_rows(
    finished: tuple[Artifacts, Job, Result],
) -> None:
    artifacts, job, result = finished
    first = pq.read_table(io.BytesIO(file(result, package.EVALUATION_ROWS, artifacts)))
    assert first["champion"].null_count == 180
    names = (model_package.MODEL, model_package.PREPROCESSING)
    champion = Champion(1, *(result.files[name][0] for name in names))
    again = run(replace(job, champion=champion), artifacts)
    rows = pq.read_table(io.BytesIO(file(again, package.EVALUATION_ROWS, artifacts)))
    assert rows["champion"].to_pylist() == rows["candidate"].to_pylist()
    evaluation = orjson.loads(file(again, package.EVALUATION, artifacts))
    assert evaluation["champion"]["version"] == 1
    assert evaluation["champion"]["metrics"] == evaluation["metrics"]


def test_a_champion_that_needs_what_is_not_there_any_more_is_not_scored(
    finished: tuple[Artifacts, Job, Result],
) -> None:
    artifacts, job, result = finished
    strange = preprocessing.Preprocessing("late", "binary", ("gone",), ())
    champion = Champion(
        1,
        result.files[model_package.MODEL][0],
        artifacts.put(preprocessing.to_json(strange)),
    )
    data = stages.load(job, artifacts)
    assert package.champion_scores(replace(job, champion=champion), data, artifacts) is None


def test_a_regression_gives_values_in_the_labels_unit(artifacts: Artifacts) -> None:
    model = a_model({"epochs": 8, "learning_rate": 0.01}, task="regression")
    result = run(a_job(artifacts, a_table(task="regression"), model=model), artifacts)
    assert 3 < result.metrics["rmse"] < 11
    golden = model_package.golden_from_json(file(result, model_package.GOLDEN, artifacts))
    assert 60 < golden.outputs.mean() < 140


def test_a_model_without_categories_and_one_without_numbers_can_be_served(
    artifacts: Artifacts,
) -> None:
    for kept in ([0], [2]):
        model = a_model({"epochs": 1})
        inputs = [model.inputs[i] for i in kept]
        del model.inputs[:]
        model.inputs.extend(inputs)
        result = run(a_job(artifacts, model=model), artifacts)
        session = onnxruntime.InferenceSession(file(result, model_package.MODEL, artifacts))
        assert {one.name for one in session.get_inputs()} == {"features", "categories"}


def test_labels_of_a_bad_span_are_not_trained_on(artifacts: Artifacts) -> None:
    span = (START_US, START_US + 130 * MINUTE_US)
    job = a_job(artifacts, bad_labels=(span,))
    assert stages.load(job, artifacts).rows.count == 1_100
    assert stages.data_hash(job) != stages.data_hash(replace(job, bad_labels=()))


@pytest.mark.parametrize(("value", "message"), [(1.0, "nothing can be learnt"), (0.5, "0 or 1")])
def test_labels_that_teach_nothing_are_refused(
    artifacts: Artifacts, value: float, message: str
) -> None:
    table = a_table()
    place = table.column_names.index("_label")
    table = table.set_column(place, "_label", pa.array([value] * table.num_rows))
    with pytest.raises(Invalid, match=message):
        stages.load(a_job(artifacts, table), artifacts)


def test_an_unknown_parameter_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(Invalid, match=r"hiden: no such parameter; known: .*hidden"):
        trainer.network_parameters(Tabular(), {"hiden": 3})
    with pytest.raises(Invalid, match="epochs"):
        trainer.loop_parameters({"epochs": 0})


def test_a_job_survives_the_way_to_its_process(artifacts: Artifacts) -> None:
    job = a_job(artifacts, bad_labels=((1, 2),), champion=Champion(3, "a", "b"))
    sent = orjson.loads(orjson.dumps(job_to_dict(job)))
    assert job_from_dict(sent) == job


def test_an_architecture_is_exported_once_and_its_weights_are_put_in_by_name() -> None:
    arrays = Arrays(np.ones((4, 2), np.float32), np.zeros((4, 1), np.int64))
    shape = trainer.Shape("binary", np.ones(2, np.float32), np.ones(2, np.float32), (3,), (0,))
    maker, answers = Tabular(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = maker.network(shape, maker.defaults())
        torch.nn.init.normal_(network.get_parameter("members.0.leave.weight"))
        served = graph.Served(network, Platt(0.9, 0.1), "binary")
        scorer = graph.scorer(graph.export(served, "binary", arrays))
        assert graph.parity(served, scorer, arrays) < graph.TOLERANCE
        answers.append(scorer.score(arrays)[0])
    assert answers[0] != answers[1]


def test_a_graph_that_differs_from_torch_is_refused() -> None:
    arrays = Arrays(np.ones((4, 2), np.float32), np.zeros((4, 1), np.int64))
    shape = trainer.Shape("binary", np.ones(2, np.float32), np.ones(2, np.float32), (3,), (0,))
    network = Tabular().network(shape, Tabular().defaults())
    scorer = graph.scorer(graph.export(graph.Served(network, Platt(), "binary"), "binary", arrays))
    other = graph.Served(network, Platt(1.0, 0.5), "binary").eval()
    with pytest.raises(FailedPrecondition, match="differs from torch"):
        graph.parity(other, scorer, arrays)


def test_a_graph_says_nothing_about_the_machine_it_was_made_on(
    finished: tuple[Artifacts, Job, Result],
) -> None:
    artifacts, _, result = finished
    onnx = file(result, model_package.MODEL, artifacts)
    assert b".py" not in onnx
    assert str(Path(stages.__file__).parent).encode() not in onnx
