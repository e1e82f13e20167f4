"""Finds a view, and denies it for good only when the project that is known is the current one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tidemill.errors import NotFound

if TYPE_CHECKING:
    from tidemill_common.currency import Registry
    from tidemill_common.feature_views import ViewSpec


class Views(Protocol):
    """The views of one generation."""

    generation: str

    def spec(self, view: str, version: str = "") -> ViewSpec:
        """Return one view; NotFound if there is none such."""


async def find(views: Views, registry: Registry, view: str, version: str = "") -> ViewSpec:
    """Return one view; NotFound only of the current project, else Unavailable."""
    try:
        return views.spec(view, version)
    except NotFound:
        await registry.confirm(lambda: views.generation)
    return views.spec(view, version)
