"""A view that was applied this moment is not denied by a server that does not know it yet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tidemill.errors import NotFound, Unavailable
from tidemill.project import loads, normalise
from tidemill_common.feature_views import ViewSpec, view_spec
from tidemill_features.finding import find

PROJECT = normalise(
    loads(
        """
project: shop
streams:
  visit: {key: [user], fields: {user: {type: string, required: true}}}
views:
  users: {stream: visit, entity: [user], aggregations: [{function: count, windows: [1h]}]}
"""
    ).project
)


class Views:
    def __init__(self, *views: str, generation: str = "1") -> None:
        self.generation = generation
        self.known = set(views)

    def spec(self, view: str, version: str = "") -> ViewSpec:
        if view not in self.known:
            raise NotFound(f"there is no feature view {view!r}")
        return view_spec(PROJECT, view)


class Registry:
    """Has a current generation; `meanwhile` happens while it is asked."""

    def __init__(self, current: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.current = current
        self.meanwhile = meanwhile

    async def confirm(self, known: Callable[[], str]) -> None:
        self.meanwhile()
        if known() != self.current:
            raise Unavailable("is being taken up")


async def test_a_view_that_is_known_is_found_whatever_the_registry_says() -> None:
    assert (await find(Views("users"), Registry("2"), "users")).name == "users"


async def test_what_the_current_project_does_not_have_is_denied() -> None:
    with pytest.raises(NotFound, match="no feature view 'user'"):
        await find(Views("users"), Registry("1"), "user")


async def test_what_a_newer_project_may_have_is_not_denied() -> None:
    with pytest.raises(Unavailable):
        await find(Views(), Registry("2"), "users")


async def test_what_is_taken_up_while_the_registry_is_asked_is_found() -> None:
    views = Views()

    def taken_up() -> None:
        views.generation = "2"
        views.known.add("users")

    assert (await find(views, Registry("2", taken_up), "users")).name == "users"
