"""Secrets of a stack: made once, in files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

SECRET_BYTES = 24


def secret(file: Path) -> str:
    """Give the secret in `file`, making it first if there is none."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        made = secrets.token_hex(SECRET_BYTES)
        write_private(file, made)
        return made


def write_private(file: Path, text: str) -> None:
    """Write `text` to a file of mode 0400, replacing what is there."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
