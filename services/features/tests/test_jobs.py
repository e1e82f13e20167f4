"""Jobs and answers cross the process border unchanged."""

from __future__ import annotations

import pytest

from tidemill import errors
from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_features.jobs import Job, error_line, progress_line, read_reply, result_line


def test_a_job_comes_out_as_it_went_in(project: project_pb2.Project) -> None:
    job = Job(
        kind="training_set",
        project=project,
        generation="g",
        model="buys",
        archive="file:///somewhere",
        artifacts="file:///else",
        versions={"visits": 3},
        cut={"visits": {0: 5, 1: 7}},
        request=pb.BuildTrainingSetRequest(model="buys", max_rows=9),
    )
    line = job.to_line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert Job.from_line(line) == job


def test_progress_and_results_are_told_apart() -> None:
    assert read_reply(progress_line("features", 3, 4)) == pb.Progress(
        stage="features", rows=3, events=4
    )
    result = pb.TrainingSet(rows=3, row_hash="x")
    assert read_reply(result_line(result)) == result.SerializeToString()


@pytest.mark.parametrize(
    "error", [errors.NotFound("no model"), errors.FailedPrecondition("no label", hint="wait")]
)
def test_an_error_is_raised_on_the_other_side_as_what_it_is(error: errors.TidemillError) -> None:
    with pytest.raises(type(error)) as raised:
        read_reply(error_line(error))
    assert (raised.value.message, raised.value.hint) == (error.message, error.hint)
