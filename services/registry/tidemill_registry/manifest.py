"""Pure: whether a model package is what it says, in names, types, sizes and digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from tidemill.errors import Invalid, Violation
from tidemill_common.ids import is_digest
from tidemill_common.model_package import GOLDEN, MODEL, PREPROCESSING, Manifest
from tidemill_registry.versions import Artifact

# What each type of file begins with; nothing that can run code on being read is a type.
TYPES: Final[Mapping[str, tuple[bytes, ...]]] = {
    ".onnx": (),
    ".safetensors": (),
    ".json": (b"{", b"["),
    ".parquet": (b"PAR1",),
}
REQUIRED: Final = (MODEL, PREPROCESSING, GOLDEN)
PICKLE: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
ZIP: Final = b"PK\x03\x04"
SAFETENSORS_HEADER: Final = 8
MAX_ARTIFACT: Final = 4 << 30
MAX_ARTIFACTS: Final = 64


def check(
    model: str, manifest: Manifest, artifacts: Sequence[Artifact], sizes: Mapping[str, int]
) -> None:
    """Invalid names everything that does not agree; `sizes` are those found in the store."""
    violations = [*_manifest(model, manifest, artifacts)]
    for artifact in artifacts:
        violations.extend(_artifact(artifact, manifest, sizes))
    if violations:
        raise Invalid(f"the package of {model!r} is not acceptable", violations=violations)


def _manifest(model: str, manifest: Manifest, artifacts: Sequence[Artifact]) -> list[Violation]:
    named = [artifact.name for artifact in artifacts]
    found = []
    if manifest.model != model:
        found.append(Violation("manifest.model", f"says {manifest.model!r}, expected {model!r}"))
    if len(named) > MAX_ARTIFACTS:
        found.append(Violation("artifacts", f"{len(named)} files, at most {MAX_ARTIFACTS}"))
    found += [Violation(f"artifacts.{n}", "is named twice") for n in {*named} if named.count(n) > 1]
    for name in manifest.files:
        if name not in named:
            found.append(Violation(f"artifacts.{name}", "is in the manifest only"))
    for name in REQUIRED:
        if name not in manifest.files:
            found.append(Violation(f"artifacts.{name}", "is missing"))
    return found


def _artifact(
    artifact: Artifact, manifest: Manifest, sizes: Mapping[str, int]
) -> Iterator[Violation]:
    """Say the first rule that one file breaks."""
    said = manifest.files.get(artifact.name)
    stored = sizes.get(artifact.sha256)
    broken = {
        "is not a plain file name": not is_plain(artifact.name),
        f"its type is none of {', '.join(TYPES)}": suffix(artifact.name) not in TYPES,
        f"{artifact.sha256!r} is no sha256": not is_digest(artifact.sha256),
        "is not in the manifest": said is None,
        "differs from the manifest in digest or size": said is not None
        and (said.sha256, said.size) != (artifact.sha256, artifact.size),
        f"{artifact.size} bytes is not in 1..{MAX_ARTIFACT}": not 0 < artifact.size <= MAX_ARTIFACT,
        f"blob {artifact.sha256} is not in the artefact store": stored is None,
        f"the blob has {stored} bytes, not {artifact.size}": stored != artifact.size,
    }
    for rule, is_broken in broken.items():
        if is_broken:
            yield Violation(f"artifacts.{artifact.name}", rule)
            return


def suffix(name: str) -> str:
    """Return the ending of a file's name, with its dot."""
    return PurePosixPath(name).suffix


def is_plain(name: str) -> bool:
    """Tell whether a name is one file in one folder, and nothing that leads elsewhere."""
    path = PurePosixPath(name)
    printable = name.isascii() and name.isprintable() and "\\" not in name and "%" not in name
    return printable and path.name == name and name not in {"", ".", ".."}


def disguise(name: str, content: bytes) -> str:
    """Say what is wrong with the content of a file for its type; empty if it fits."""
    ending = suffix(name)
    if content.startswith((*PICKLE, ZIP)):
        return f"{name} holds a pickle or an archive"
    expected = TYPES.get(ending, ())
    if expected and not content.lstrip().startswith(expected):
        return f"{name} does not begin like a {ending} file"
    if ending == ".safetensors":
        length = int.from_bytes(content[:SAFETENSORS_HEADER], "little")
        if not 0 < length <= len(content) - SAFETENSORS_HEADER:
            return f"{name} has a header longer than itself"
    return ""
