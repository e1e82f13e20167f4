"""Run in Triton's python backend: one ONNX graph of the repository, by onnxruntime, one thread.

The same file serves every version of every model; it reads model.onnx from beside itself. It needs
numpy below 2: with numpy 2 this backend answers empty tensors and no error.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

if int(np.__version__.split(".")[0]) >= 2:
    raise RuntimeError(f"numpy {np.__version__} makes this backend answer empty tensors")


class TritonPythonModel:
    """One version of one model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph; an error here makes the load fail."""
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"),
            sess_options=options,
            providers=["CPUExecutionProvider"],
        )
        self.inputs = [one.name for one in self.session.get_inputs()]
        self.output = self.session.get_outputs()[0].name

    def execute(self, requests: list) -> list:
        """Answer each request; one that fails does not touch the others."""
        return [self.answer(request) for request in requests]

    def answer(self, request: object) -> object:
        """Run the graph on the tensors of one request."""
        feed = {}
        for name in self.inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            # A graph without categories may still name the input: it has no columns then.
            feed[name] = tensor.as_numpy() if tensor else np.zeros((rows(feed), 0), np.int64)
        try:
            (result,) = self.session.run([self.output], feed)
        except onnxruntime.capi.onnxruntime_pybind11_state.OnnxRuntimeException as error:
            return self.failed(str(error))
        except (ValueError, RuntimeError) as error:
            return self.failed(str(error))
        result = np.ascontiguousarray(result, dtype=np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor(self.output, result)])

    @staticmethod
    def failed(message: str) -> object:
        """Make the answer that says why there is none."""
        return pb_utils.InferenceResponse(
            output_tensors=[], error=pb_utils.TritonError(message[:500])
        )


def rows(feed: dict) -> int:
    """Return how many rows the tensors found so far have."""
    return len(next(iter(feed.values()), ()))
