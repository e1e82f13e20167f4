"""Settings come from the environment, all mistakes at once, secrets from files and never shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest

from tidemill.errors import Misconfigured
from tidemill_common.settings import Common, Dsn, Secret, load, setting


class Mode(Enum):
    FAST = "fast"
    SAFE = "safe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Common):
    kafka: str
    postgres: Dsn
    triton_key: Secret | None = None
    window: float = setting(60.0, at_least=1.0, at_most=100.0)
    count: int = 3
    on: bool = False
    mode: Mode = Mode.SAFE
    engine: Literal["aio", "native"] = "aio"
    models: tuple[str, ...] = ()
    limit: int | None = None
    other: str = setting("x", env="SOMETHING_ELSE")


GOOD = {"TIDEMILL_KAFKA": "127.0.0.1:9092", "TIDEMILL_POSTGRES": "postgresql://u:secret@h/d"}


def mistakes(**environ: str) -> str:
    with pytest.raises(Misconfigured) as caught:
        load(Settings, "serving", {**GOOD, **environ})
    return caught.value.message


def test_what_is_not_set_has_its_default() -> None:
    found = load(Settings, "serving", GOOD)
    assert found == Settings(kafka="127.0.0.1:9092", postgres=Dsn("postgresql://u:secret@h/d"))


def test_every_type_is_read_from_its_text(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("abc\n")
    found = load(
        Settings,
        "serving",
        {
            **GOOD,
            "TIDEMILL_TRITON_KEY_FILE": str(key),
            "TIDEMILL_SERVING_WINDOW": "2.5",
            "TIDEMILL_SERVING_COUNT": "7",
            "TIDEMILL_SERVING_ON": "True",
            "TIDEMILL_SERVING_MODE": "fast",
            "TIDEMILL_SERVING_ENGINE": "native",
            "TIDEMILL_SERVING_MODELS": "delay, fraud",
            "TIDEMILL_SERVING_LIMIT": "9",
            "TIDEMILL_DATA": "/d",
            "SOMETHING_ELSE": "y",
        },
    )
    assert found.triton_key is not None
    assert found.triton_key.reveal() == "abc"
    assert (found.window, found.count, found.on, found.mode) == (2.5, 7, True, Mode.FAST)
    assert (found.engine, found.models, found.limit) == ("native", ("delay", "fraud"), 9)
    assert (found.data, found.other) == (Path("/d"), "y")


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        load(
            Settings, "serving", {"TIDEMILL_SERVING_WINDOW": "0.5", "TIDEMILL_SERVING_ON": "maybe"}
        )
    assert caught.value.message.splitlines() == [
        "TIDEMILL_KAFKA: is required (str)",
        "TIDEMILL_POSTGRES: is required (Dsn)",
        "TIDEMILL_SERVING_ON: 'maybe' is none of true, 1, yes, false, 0, no",
        "TIDEMILL_SERVING_WINDOW: 0.5 is less than 1",
    ]


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("TIDEMILL_SERVING_COUNT", "many", "'many' is no int"),
        ("TIDEMILL_SERVING_WINDOW", "101", "more than 100"),
        ("TIDEMILL_SERVING_MODE", "slow", "none of fast, safe"),
        ("TIDEMILL_SERVING_ENGINE", "x", "none of aio, native"),
        ("TIDEMILL_LOG_LEVEL", "loud", "none of DEBUG"),
        ("TIDEMILL_TRITON_KEY_FILE", "/nowhere/key", "cannot be read"),
    ],
)
def test_a_mistake_says_the_value_and_the_rule(name: str, text: str, rule: str) -> None:
    assert rule in mistakes(**{name: text})


def test_an_unknown_variable_of_the_service_is_refused_and_of_another_is_not() -> None:
    assert "TIDEMILL_SERVING_WINDOWS" in mistakes(TIDEMILL_SERVING_WINDOWS="1")
    load(Settings, "serving", {**GOOD, "TIDEMILL_TRAINING_X": "1", "TIDEMILL_SERVING": "h:1"})


def test_an_address_that_begins_like_a_service_is_no_setting_of_it() -> None:
    load(Settings, "ingestion", {**GOOD, "TIDEMILL_INGESTION_HTTP": "127.0.0.1:8080"})


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("hunter2")
    found = load(Settings, "serving", {**GOOD, "TIDEMILL_TRITON_KEY_FILE": str(key)})
    assert "hunter2" not in repr(found)
    assert "secret" not in repr(found)
