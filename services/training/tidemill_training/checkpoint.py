"""Checkpoints: safetensors and JSON in the artefact store, complete or not there at all.

One JSON blob names the tensors' blob and holds the cursor; its digest is what the controller
records. Blobs are written by temp, fsync and rename, and are verified when they are read. The
randomness of a step is a function of (seed, step, rank), so the cursor restores it too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from tidemill.errors import Corrupt
from tidemill_common.ids import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from tidemill_common.artifacts import Artifacts

FORMAT: Final = 1
MAX_BYTES: Final = 2 << 30


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far training has come; `step` counts optimiser steps from the start of the run."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_epoch: int = -1
    """The newest epoch that nothing beats beyond chance."""
    best_loss: float = float("inf")
    """The lowest validation loss so far, which need not be the best epoch's."""
    history: tuple[float, ...] = ()
    """Validation loss after each finished epoch."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything a resumed run needs: the fixed training set, the cursor, and the tensors."""

    training_set: Mapping[str, Any]
    cursor: Cursor = Cursor()
    config_digest: str = ""
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)


def write(checkpoint: Checkpoint, artifacts: Artifacts) -> str:
    """Store a checkpoint and return the digest of its JSON."""
    state = ""
    if checkpoint.tensors:
        from safetensors.torch import save

        state = artifacts.put(save(dict(checkpoint.tensors)))
    cursor = asdict(checkpoint.cursor)
    if checkpoint.cursor.best_epoch < 0:
        cursor["best_loss"] = None
    return artifacts.put(
        canonical_json(
            {
                "format": FORMAT,
                "training_set": dict(checkpoint.training_set),
                "cursor": cursor,
                "config_digest": checkpoint.config_digest,
                "tensors": state,
            }
        )
    )


def read(digest: str, artifacts: Artifacts) -> Checkpoint:
    """Read a checkpoint; NotFound when a blob is gone, Corrupt when it is not what it was."""
    document = _document(digest, artifacts)
    try:
        cursor = dict(document["cursor"])
        if cursor["best_loss"] is None:
            cursor["best_loss"] = float("inf")
        cursor["history"] = tuple(cursor["history"])
        return Checkpoint(
            training_set=document["training_set"],
            cursor=Cursor(**cursor),
            config_digest=document["config_digest"],
            tensors=_tensors(document["tensors"], artifacts),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"checkpoint {digest} cannot be read: {error}") from error


def training_set(digest: str, artifacts: Artifacts) -> Mapping[str, Any]:
    """Return only the training set that a run has fixed; needs no torch."""
    fixed: Mapping[str, Any] = _document(digest, artifacts)["training_set"]
    return fixed


def _document(digest: str, artifacts: Artifacts) -> dict[str, Any]:
    try:
        document: dict[str, Any] = orjson.loads(artifacts.get(digest))
        if document["format"] != FORMAT:
            raise Corrupt(f"checkpoint {digest} has format {document['format']}, not {FORMAT}")
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"checkpoint {digest} cannot be read: {error}") from error
    return document


def _tensors(digest: str, artifacts: Artifacts) -> Mapping[str, torch.Tensor]:
    if not digest:
        return {}
    from safetensors.torch import load

    return load(artifacts.get(digest, at_most=MAX_BYTES))
