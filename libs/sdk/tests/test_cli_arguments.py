"""Words of the command line, as several commands read them."""

from __future__ import annotations

import pytest

from tidemill.cli.arguments import pairs
from tidemill.cli.erasures import to_be_erased
from tidemill.errors import Invalid


def test_words_name_values_which_may_be_empty_or_hold_an_equals_sign() -> None:
    assert pairs(["card=c1", "shop=", "note=a=b"]) == {"card": "c1", "shop": "", "note": "a=b"}


@pytest.mark.parametrize("word", ["card", "=c1", ""])
def test_a_word_without_a_name_or_a_value_is_refused(word: str) -> None:
    with pytest.raises(Invalid, match="is not name=value"):
        pairs([word])


def test_a_name_that_is_given_twice_is_refused_instead_of_the_first_being_dropped() -> None:
    with pytest.raises(Invalid, match="'card' is given twice: 'c1' and 'c2'"):
        pairs(["card=c1", "card=c2"])


def test_an_erasure_of_a_key_without_a_value_is_taken_for_a_mistake() -> None:
    assert to_be_erased(["card=c1", "shop=s2"]) == {"card": "c1", "shop": "s2"}
    with pytest.raises(Invalid, match="shop has no value, and an erasure is for ever"):
        to_be_erased(["card=c1", "shop="])
