"""Which code and which environment made a version, as digests."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

import tidemill_common
import tidemill_training
from tidemill_common.ids import digest_json

_PACKAGES: Final = ("torch", "numpy", "pyarrow", "onnx", "onnxruntime", "onnxscript", "xxhash")


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the digest of the sources that decide what a trained version is."""
    hasher = hashlib.sha256()
    folders = (tidemill_training, tidemill_common)
    for module in folders:
        root = Path(str(module.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            hasher.update(f"{root.name}/{path.relative_to(root)}\0".encode())
            hasher.update(path.read_bytes())
    return hasher.hexdigest()


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Name the interpreter, the machine's class and the versions of what computes."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "system": platform.system(),
        **versions,
    }


def environment_digest(device: str, threads: int) -> str:
    """Return the digest of the environment, the kind of device and the threads included."""
    return digest_json({**environment(), "device": device, "threads": threads})
