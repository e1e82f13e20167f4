"""What names an entity, and what does not."""

from __future__ import annotations

import pytest

from tidemill.errors import Invalid
from tidemill.keys import to_key


def test_the_fields_of_an_entity_are_its_key() -> None:
    assert dict(to_key({"card": "c1", "shop": ""}).fields) == {"card": "c1", "shop": ""}


@pytest.mark.parametrize("value", [7, 1.5, True, None, b"c1"])
def test_a_field_that_is_no_text_is_named(value: object) -> None:
    entity: dict[str, object] = {"shop": "a", "card": value}
    with pytest.raises(Invalid, match=r"entity field 'card': .* expected a str"):
        to_key(entity)


def test_a_text_is_no_entity() -> None:
    with pytest.raises(Invalid, match="'card' is no entity"):
        to_key("card")  # what one mapping in place of a list gives
