"""The error of the local stack: its text is for a person and says what to do."""

from __future__ import annotations


class LocalError(Exception):
    """The stack cannot be installed, started or stopped."""
