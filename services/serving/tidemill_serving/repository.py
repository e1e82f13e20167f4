"""The model repository: a verified package becomes a folder that Triton can load.

Nothing that came with a package is run: the folder holds its ONNX graph, a configuration made
here, and (python backend) one fixed file of ours. Every byte is checked against the digests of the
version's manifest before it is written.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from tidemill.errors import Corrupt, Unavailable
from tidemill_common import model_package, preprocessing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill_common.artifacts import Artifacts
    from tidemill_common.model_package import Golden
    from tidemill_common.preprocessing import Preprocessing

Platform = Literal["python", "onnxruntime"]

MANIFEST_MAX: Final = 1 << 20
BACKEND_FILE: Final = Path(__file__).parent / "triton_backend" / "model.py"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*__v[0-9]+_[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Package:
    """What serving needs of a version's package, verified."""

    model: str
    number: int
    digest: str
    graph: str
    preprocessing: Preprocessing
    golden: Golden

    @property
    def name(self) -> str:
        """The unique name in the model server."""
        return served_name(self.model, self.number, self.digest)


def served_name(model: str, number: int, digest: str) -> str:
    """Name a version in the model server; no two versions ever share a name."""
    return f"{model}__v{number}_{digest[:8]}"


def is_ours(name: str) -> bool:
    """Say whether a name in the model server has the form that serving gives."""
    return _NAME.fullmatch(name) is not None


def read_package(artifacts: Artifacts, model: str, number: int, digest: str) -> Package:
    """Load and verify: the manifest by its digest, each file by the manifest. Corrupt otherwise.

    Blocking: call it in a thread.
    """
    manifest = model_package.manifest_from_json(artifacts.get(digest, at_most=MANIFEST_MAX))
    made = preprocessing.from_json(artifacts.get(manifest.digest_of(model_package.PREPROCESSING)))
    golden = model_package.golden_from_json(artifacts.get(manifest.digest_of(model_package.GOLDEN)))
    if {manifest.model, made.model} != {model}:
        raise Corrupt(f"{model} {number}: the package was made for model {manifest.model!r}")
    widths = (golden.features.shape[1], golden.categories.shape[1])
    if widths != (len(made.numeric), len(made.categories)):
        raise Corrupt(
            f"{model} {number}: golden answers of another shape than the inputs: {widths}"
        )
    graph = manifest.digest_of(model_package.MODEL)
    return Package(model, number, digest, graph, made, golden)


class Repository:
    """The folder that Triton loads from; one sub-folder per version."""

    def __init__(self, root: Path, platform: Platform) -> None:
        """Write below `root` for the backend that the server has."""
        self._root = root
        self._platform = platform

    def write(self, package: Package, artifacts: Artifacts) -> None:
        """Write a version's folder in one step, unless it is there as it should be. Blocking.

        Unavailable when the disk does not take it.
        """
        try:
            if not self._is_written(package):
                self._write(package, artifacts)
        except OSError as error:
            raise Unavailable(f"the model repository cannot be written: {error}") from error

    def _is_written(self, package: Package) -> bool:
        target = self._root / package.name
        try:
            graph = hashlib.sha256((target / "1" / "model.onnx").read_bytes()).hexdigest()
            said = (target / "config.pbtxt").read_text()
            ours = self._platform != "python" or (
                (target / "1" / "model.py").read_bytes() == BACKEND_FILE.read_bytes()
            )
        except FileNotFoundError:
            return False
        return graph == package.graph and said == configuration(package, self._platform) and ours

    def _write(self, package: Package, artifacts: Artifacts) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".writing-", dir=self._root))
        try:
            (made / "1").mkdir()
            artifacts.fetch(package.graph, made / "1" / "model.onnx")
            if self._platform == "python":
                shutil.copyfile(BACKEND_FILE, made / "1" / "model.py")
            (made / "config.pbtxt").write_text(configuration(package, self._platform))
            made.chmod(0o755)
            target = self._root / package.name
            shutil.rmtree(target, ignore_errors=True)
            made.replace(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Delete a version's folder; names that are not ours are left alone. Blocking."""
        if is_ours(name):
            shutil.rmtree(self._root / name, ignore_errors=True)


def configuration(package: Package, platform: Platform) -> str:
    """Write config.pbtxt: shapes with a free first dimension, one instance on the CPU."""
    made = package.preprocessing
    inputs = [_tensor("features", "TYPE_FP32", len(made.numeric))]
    if made.categories:
        inputs.append(_tensor("categories", "TYPE_INT64", len(made.categories)))
    backend = 'backend: "python"' if platform == "python" else 'platform: "onnxruntime_onnx"'
    parameters: Mapping[str, str] = (
        {} if platform == "python" else {"intra_op_thread_count": "1", "inter_op_thread_count": "1"}
    )
    lines = [
        f'name: "{package.name}"',
        backend,
        "max_batch_size: 0",
        f"input [ {', '.join(inputs)} ]",
        f"output [ {_tensor(made.output, 'TYPE_FP32', 1)} ]",
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        *(
            f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'
            for key, value in parameters.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _tensor(name: str, kind: str, width: int) -> str:
    return f'{{ name: "{name}" data_type: {kind} dims: [ -1, {width} ] }}'
