"""Content-addressed blobs on any fsspec store: written once, hashed on the way in and out.

A blob's name is made here from its digest, so no caller ever chooses a path. The calls block;
services make them through `asyncio.to_thread`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import fsspec

from tidemill.errors import Corrupt, Invalid, NotFound, TooLarge
from tidemill_common.ids import Digest, digest, is_digest, new_id

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 1 << 20
IN_MEMORY: Final = 64 << 20
_BLOBS: Final = "blobs/sha256"


class BlobWriter:
    """A blob being written; its digest is known when the block is left."""

    def __init__(self, file: Any) -> None:
        """Write into `file`."""
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append `data`."""
        self._hash.update(data)
        self.size += len(data)
        self._file.write(data)
        return len(data)

    @property
    def digest(self) -> Digest:
        """Return the digest of what has been written so far."""
        return Digest(self._hash.hexdigest())


class Artifacts:
    """The store under one URL (a local folder, or anything fsspec knows)."""

    def __init__(self, url: str) -> None:
        """Open the store; a plain path is a local folder."""
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._is_local = "file" in _protocols(self._fs)

    def put(self, data: bytes) -> Digest:
        """Store `data` and return its digest; what is there already is not written again."""
        name = digest(data)
        if not self.exists(name):
            with self.writing() as writer:
                writer.write(data)
        return name

    def put_file(self, path: Path) -> Digest:
        """Store the content of a local file, in pieces."""
        with path.open("rb") as source, self.writing() as writer:
            while piece := source.read(CHUNK):
                writer.write(piece)
        return writer.digest

    @contextlib.contextmanager
    def writing(self) -> Iterator[BlobWriter]:
        """Write a blob whose digest is not known yet; it appears whole, or not at all."""
        waiting = f"{self._root}/incoming/{new_id()}"
        self._fs.makedirs(self._parent(waiting), exist_ok=True)
        try:
            with self._fs.open(waiting, "wb") as file:
                writer = BlobWriter(file)
                yield writer
                if self._is_local:
                    file.flush()
                    os.fsync(file.fileno())
            target = self._path(writer.digest)
            self._fs.makedirs(self._parent(target), exist_ok=True)
            self._move(waiting, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(waiting)

    def get(self, name: str, *, at_most: int = IN_MEMORY) -> bytes:
        """Return a blob, verified: NotFound, TooLarge before reading, Corrupt after."""
        size = self.size(name)
        if size > at_most:
            raise TooLarge(f"blob {name} has {size} bytes, at most {at_most} are read at once")
        data = b"".join(self._pieces(name))
        if digest(data) != name:
            raise Corrupt(f"blob {name} has other content than its name says")
        return data

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a blob, not verified; NotFound without one."""
        try:
            with self._fs.open(self._path(name), "rb") as file:
                return bytes(file.read(size))
        except FileNotFoundError as error:
            raise NotFound(f"no blob {name}") from error

    def fetch(self, name: str, to: Path) -> Path:
        """Copy a blob to the local file `to`, verified; the file appears whole, or not at all."""
        to.parent.mkdir(parents=True, exist_ok=True)
        handle, waiting = tempfile.mkstemp(dir=to.parent, prefix=".incoming-")
        try:
            with os.fdopen(handle, "wb") as file:
                writer = BlobWriter(file)
                for piece in self._pieces(name):
                    writer.write(piece)
                file.flush()
                os.fsync(file.fileno())
            if writer.digest != name:
                raise Corrupt(f"blob {name} has other content than its name says")
            Path(waiting).replace(to)
        finally:
            Path(waiting).unlink(missing_ok=True)
        return to

    def exists(self, name: str) -> bool:
        """Say whether the blob is there."""
        return bool(self._fs.isfile(self._path(name)))

    def size(self, name: str) -> int:
        """Return the size of a blob in bytes; NotFound without one."""
        try:
            return int(self._fs.size(self._path(name)))
        except FileNotFoundError as error:
            raise NotFound(f"no blob {name}") from error

    def delete(self, name: str) -> None:
        """Forget a blob; one that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def digests(self) -> Iterator[Digest]:
        """Name every blob, in no order; for the collection of what nothing refers to."""
        with contextlib.suppress(FileNotFoundError):
            for path in self._fs.find(f"{self._root}/{_BLOBS}"):
                name = PurePosixPath(path).name
                if is_digest(name):
                    yield Digest(name)

    def _pieces(self, name: str) -> Iterator[bytes]:
        """Read a blob in pieces."""
        try:
            with self._fs.open(self._path(name), "rb") as file:
                while piece := file.read(CHUNK):
                    yield piece
        except FileNotFoundError as error:
            raise NotFound(f"no blob {name}") from error

    def _path(self, name: str) -> str:
        """Return where a blob lies; only a digest is a name."""
        if not is_digest(name):
            raise Invalid(f"{name[:80]!r} is no digest: 64 lower-case hex digits")
        return f"{self._root}/{_BLOBS}/{name[:2]}/{name[2:4]}/{name}"

    def _move(self, waiting: str, target: str) -> None:
        """Give the blob its name; twice the same content is one blob."""
        if self._is_local:
            Path(waiting).replace(target)
        else:
            self._fs.mv(waiting, target)

    @staticmethod
    def _parent(path: str) -> str:
        """Return the folder of a path."""
        return path.rpartition("/")[0]


def _protocols(filesystem: Any) -> tuple[str, ...]:
    """Return the schemes of a file system."""
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
