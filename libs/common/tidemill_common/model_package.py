"""What more than one service reads of a model package: its manifest and its golden answers.

A package is a manifest blob that names other blobs: `model.onnx`, `preprocessing.json`,
`golden.json` and more. The version's digest is the sha256 of the manifest's bytes, so whoever
has the digest can verify everything below it. Golden answers are what the exported graph gave on
the machine that trained it; a server must give the same before it may answer anybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson

from tidemill.errors import Corrupt, Invalid
from tidemill_common.ids import Digest, canonical_json, is_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

FORMAT: Final = 1
MODEL: Final = "model.onnx"
PREPROCESSING: Final = "preprocessing.json"
GOLDEN: Final = "golden.json"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a package, by its content."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package is made of."""

    model: str
    files: Mapping[str, File]

    def digest_of(self, name: str) -> Digest:
        """Return the digest of a file; Corrupt when the package has none of that name."""
        if name not in self.files:
            raise Corrupt(f"the package of {self.model!r} has no {name}")
        return Digest(self.files[name].sha256)


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs (as the graph takes them) and the outputs that belong to them, row by row."""

    features: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        rows = len(self.outputs)
        if rows == 0 or self.outputs.ndim != 1 or not np.isfinite(self.outputs).all():
            raise Invalid("golden answers must be at least one finite number")
        for name, tensor in (("features", self.features), ("categories", self.categories)):
            if tensor.ndim != 2 or len(tensor) != rows:
                raise Invalid(f"golden {name} of shape {tensor.shape} for {rows} outputs")


def manifest_to_json(manifest: Manifest) -> bytes:
    """Write the canonical bytes; their sha256 is the version's digest."""
    files = {name: {"sha256": f.sha256, "size": f.size} for name, f in manifest.files.items()}
    return canonical_json({"format": FORMAT, "model": manifest.model, "files": files})


def manifest_from_json(data: bytes) -> Manifest:
    """Read a manifest; Corrupt when it is not one."""
    try:
        document = orjson.loads(data)
        if document["format"] != FORMAT:
            raise Corrupt(f"the manifest has format {document['format']}, not {FORMAT}")
        files = {
            str(name): File(str(entry["sha256"]), int(entry["size"]))
            for name, entry in document["files"].items()
        }
        model = str(document["model"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"the manifest cannot be read: {error}") from error
    if bad := [name for name, file in files.items() if not is_digest(file.sha256)]:
        raise Corrupt(f"the manifest names no digest for {', '.join(sorted(bad))}")
    return Manifest(model, files)


def golden_to_json(golden: Golden) -> bytes:
    """Write the golden answers; NaN becomes null."""
    features = [
        [None if math.isnan(value) else value for value in row]
        for row in golden.features.astype(np.float64).tolist()
    ]
    return canonical_json(
        {
            "format": FORMAT,
            "features": features,
            "categories": golden.categories.tolist(),
            "outputs": golden.outputs.astype(np.float64).tolist(),
        }
    )


def golden_from_json(data: bytes) -> Golden:
    """Read the golden answers; Corrupt when they are none."""
    try:
        document = orjson.loads(data)
        if document["format"] != FORMAT:
            raise Corrupt(f"golden.json has format {document['format']}, not {FORMAT}")
        rows = len(document["outputs"])
        features = np.array(document["features"], dtype=np.float64).astype(np.float32)
        categories = np.array(document["categories"], dtype=np.int64)
        return Golden(
            features.reshape(rows, -1) if features.size else features.reshape(rows, 0),
            categories.reshape(rows, -1) if categories.size else categories.reshape(rows, 0),
            np.array(document["outputs"], dtype=np.float64).astype(np.float32),
        )
    except (KeyError, TypeError, ValueError, Invalid) as error:
        raise Corrupt(f"golden.json cannot be read: {error}") from error
