"""A package is taken only if it is what it says."""

from __future__ import annotations

import hashlib

import pytest

from tidemill.errors import Invalid
from tidemill_common.model_package import File, Manifest
from tidemill_registry.manifest import check, disguise, is_plain
from tidemill_registry.versions import Artifact

NAMES = ("model.onnx", "preprocessing.json", "golden.json", "weights.safetensors")


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def artifacts(*names: str) -> list[Artifact]:
    return [Artifact(name, digest(name), 10) for name in names]


def manifest(*names: str, model: str = "late") -> Manifest:
    return Manifest(model, {name: File(digest(name), 10) for name in names})


def stored(*names: str) -> dict[str, int]:
    return {digest(name): 10 for name in names}


def problems(
    package: Manifest, files: list[Artifact], sizes: dict[str, int] | None = None
) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        check("late", package, files, stored(*NAMES) if sizes is None else sizes)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_a_whole_package_is_taken() -> None:
    check("late", manifest(*NAMES), artifacts(*NAMES), stored(*NAMES))


@pytest.mark.parametrize(
    "name", ["model.pkl", "model.pt", "code.py", "model.onnx.zip", "model", "weights.bin"]
)
def test_a_type_that_is_not_on_the_list_is_refused(name: str) -> None:
    names = (*NAMES, name)
    found = problems(manifest(*names), artifacts(*names), stored(*names))
    assert "its type is none of" in found[f"artifacts.{name}"]


@pytest.mark.parametrize(
    "name",
    ["../x.json", "/etc/x.json", "a/b.json", "..\\x.json", "%2e%2e.json", "a\0.json", "..", ""],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    assert not is_plain(name)
    names = (*NAMES, name)
    found = problems(manifest(*names), artifacts(*names), stored(*names))
    assert found[f"artifacts.{name}"] == "is not a plain file name"


def test_a_blob_that_is_not_there_or_has_another_size_is_refused() -> None:
    sizes = stored(*NAMES)
    del sizes[digest("model.onnx")]
    sizes[digest("golden.json")] = 11
    found = problems(manifest(*NAMES), artifacts(*NAMES), sizes)
    assert "is not in the artefact store" in found["artifacts.model.onnx"]
    assert found["artifacts.golden.json"] == "the blob has 11 bytes, not 10"


def test_manifest_and_request_must_name_the_same_files() -> None:
    found = problems(
        manifest(*NAMES[:3]), artifacts("model.onnx", "golden.json", "weights.safetensors")
    )
    assert found["artifacts.preprocessing.json"] == "is in the manifest only"
    assert found["artifacts.weights.safetensors"] == "is not in the manifest"


def test_files_of_two_versions_cannot_be_swapped() -> None:
    files = [Artifact("model.onnx", digest("golden.json"), 10), *artifacts(*NAMES[1:])]
    found = problems(manifest(*NAMES), files)
    assert "differs from the manifest" in found["artifacts.model.onnx"]


def test_a_package_without_what_serving_needs_or_of_another_model_is_refused() -> None:
    found = problems(manifest("model.onnx", model="other"), artifacts("model.onnx"))
    assert found["artifacts.golden.json"] == "is missing"
    assert found["manifest.model"] == "says 'other', expected 'late'"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.json", b"\x80\x04\x95", "pickle"),
        ("model.onnx", b"PK\x03\x04", "archive"),
        ("x.parquet", b"{}", "does not begin like a .parquet"),
        ("x.json", b"hello", "does not begin like a .json"),
        ("w.safetensors", b"\xff" * 8 + b"{}", "longer than itself"),
        ("w.safetensors", (2).to_bytes(8, "little") + b"{}", ""),
        ("x.json", b" {}", ""),
        ("x.parquet", b"PAR1....PAR1", ""),
        ("model.onnx", b"\x08\x08", ""),
    ],
)
def test_the_content_must_fit_the_type(name: str, content: bytes, said: str) -> None:
    found = disguise(name, content)
    assert (said in found) if said else found == ""
