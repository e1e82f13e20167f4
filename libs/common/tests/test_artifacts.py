"""Blobs are named by their content, whole or not there, and verified when they are read."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tidemill.errors import Corrupt, Invalid, NotFound, TooLarge
from tidemill_common.artifacts import Artifacts
from tidemill_common.ids import digest


class ArtifactsContract:
    """What every store promises."""

    def test_what_was_put_is_what_is_got(self, store: Artifacts, tmp_path: Path) -> None:
        name = store.put(b"weights")
        assert name == digest(b"weights")
        assert store.get(name) == b"weights"
        assert store.size(name) == 7
        assert store.fetch(name, tmp_path / "deep" / "model.onnx").read_bytes() == b"weights"

    def test_the_same_content_is_one_blob(self, store: Artifacts, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"x" * 3_000_000)
        names = {store.put(b"x" * 3_000_000), store.put_file(file), store.put_file(file)}
        assert len(names) == 1
        assert set(store.digests()) == names

    def test_an_interrupted_write_leaves_nothing(self, store: Artifacts) -> None:
        with pytest.raises(RuntimeError, match="power cut"), store.writing() as writer:
            writer.write(b"half")
            raise RuntimeError("power cut")
        assert list(store.digests()) == []
        assert not store.exists(digest(b"half"))

    def test_what_is_not_there_is_not_found(self, store: Artifacts, tmp_path: Path) -> None:
        for read in (store.get, store.size, lambda name: store.fetch(name, tmp_path / "x")):
            with pytest.raises(NotFound):
                read(digest(b"never"))
        assert not (tmp_path / "x").exists()
        store.delete(digest(b"never"))

    def test_a_blob_is_forgotten(self, store: Artifacts) -> None:
        name = store.put(b"old")
        store.delete(name)
        assert not store.exists(name)

    def test_too_much_is_refused_before_it_is_read(self, store: Artifacts) -> None:
        name = store.put(b"x" * 100)
        with pytest.raises(TooLarge):
            store.get(name, at_most=99)

    @pytest.mark.parametrize(
        "name",
        ["", "..", "../../etc/passwd", "%2e%2e", "%252e", "..\\x", "/etc/passwd", "a" * 63, "A" * 64,
         "a" * 64 + "\0", "file:" + "a" * 59, "a" * 62 + "/.", "a" * 63 + "#", "memory://x"],
    )  # fmt: skip
    def test_only_a_digest_is_a_name(self, store: Artifacts, name: str, tmp_path: Path) -> None:
        for use in (
            store.get, store.exists, store.size, store.delete,
            lambda bad: store.fetch(bad, tmp_path / "x"),
        ):  # fmt: skip
            with pytest.raises(Invalid):
                use(name)


class TestLocalFolder(ArtifactsContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Artifacts:
        return Artifacts(f"file://{tmp_path / 'artifacts'}")

    def test_a_flipped_byte_is_found_and_no_file_appears(
        self, store: Artifacts, tmp_path: Path
    ) -> None:
        name = store.put(b"weights")
        path = tmp_path / "artifacts" / "blobs" / "sha256" / name[:2] / name[2:4] / name
        path.write_bytes(b"weighty")
        with pytest.raises(Corrupt):
            store.get(name)
        with pytest.raises(Corrupt):
            store.fetch(name, tmp_path / "out" / "model")
        assert list((tmp_path / "out").iterdir()) == []

    def test_a_plain_path_is_a_folder(self, tmp_path: Path) -> None:
        name = Artifacts(str(tmp_path / "plain")).put(b"x")
        assert (tmp_path / "plain" / "blobs" / "sha256" / name[:2] / name[2:4] / name).exists()


class TestMemory(ArtifactsContract):
    """Any other fsspec store takes the same road as this one."""

    @pytest.fixture
    def store(self) -> Artifacts:
        return Artifacts(f"memory://{uuid.uuid4().hex}")
