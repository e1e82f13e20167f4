"""Turn the environment into a frozen dataclass, or say everything that is wrong with it at once."""

from __future__ import annotations

import dataclasses
import os
import re
import types
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from tidemill.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PREFIX = "TIDEMILL_"
SHARED = frozenset(
    {
        *("kafka", "postgres", "triton", "triton_key", "zipkin", "artifacts", "archive"),
        *("registry", "ingestion", "ingestion_http", "features", "training", "serving"),
        *("monitoring", "listen", "metrics_listen", "data", "log_level", "trace_ratio"),
    }
)
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_RULES = "tidemill"
_MAX_SECRET_BYTES = 65_536

S = TypeVar("S", bound="Common")


class Dsn(str):
    """An address that may carry a password; its repr does not."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Hide what stands between `//user:` and `@`."""
        return repr(re.sub(r"(//[^:/@]*):[^@]*@", r"\1:…@", str(self)))


class Secret:
    """Text that was read from a file and never shows itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Keep `text`; nothing but `reveal` gives it back."""
        self._text = text

    def reveal(self) -> str:
        """Return the text; never log it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a setting must keep to, beside its type."""

    env: str = ""
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[object, ...] = ()


def setting(
    default: Any = dataclasses.MISSING,
    *,
    env: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    choices: Iterable[object] = (),
) -> Any:
    """Declare a field with rules; `env` gives it another variable than its name says."""
    rules = Rules(env, at_least, at_most, tuple(choices))
    return dataclasses.field(default=default, metadata={_RULES: rules})


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What `app.main` itself needs; every service's settings extend this."""

    log_level: str = setting("INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    metrics_listen: str = ""
    zipkin: str = ""
    trace_ratio: float = setting(0.05, at_least=0.0, at_most=1.0)
    data: Path = Path(".tidemill/data")


def load(cls: type[S], service: str, environ: Mapping[str, str] | None = None) -> S:
    """Build `cls` from the environment; Misconfigured names every error in it.

    A field named in SHARED is read from TIDEMILL_<FIELD>, any other from
    TIDEMILL_<SERVICE>_<FIELD>; a Secret from the file named by the variable with _FILE at its end.
    An empty variable counts as not set. A variable of this service that no field knows is an error.
    """
    known = os.environ if environ is None else environ
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    errors: list[str] = []
    names: set[str] = set()
    for field in dataclasses.fields(cls):
        kind = hints[field.name]
        name = variable(field, kind, service)
        names.add(name)
        try:
            value = _value(field, kind, known.get(name, "").strip())
        except ValueError as error:
            errors.append(f"{name}: {error}")
        else:
            if value is not dataclasses.MISSING:
                values[field.name] = value
    errors.extend(_unknown(service, names, known))
    if errors:
        raise Misconfigured("\n".join(sorted(errors)), hint="set or correct the named variables")
    return cls(**values)


def variable(field: dataclasses.Field[Any], kind: Any, service: str) -> str:
    """Return the environment variable that `field` is read from."""
    rules: Rules = field.metadata.get(_RULES, Rules())
    if rules.env:
        return rules.env
    middle = "" if field.name in SHARED else f"{service.upper()}_"
    ending = "_FILE" if Secret in (kind, *get_args(kind)) else ""
    return f"{PREFIX}{middle}{field.name.upper()}{ending}"


def _unknown(service: str, names: set[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Name the variables of this service that no field reads."""
    shared = {f"{PREFIX}{name.upper()}{end}" for name in SHARED for end in ("", "_FILE")}
    for name in environ:
        if name.startswith(f"{PREFIX}{service.upper()}_") and name not in names | shared:
            yield f"{name}: {service} has no such setting"


def _value(field: dataclasses.Field[Any], kind: Any, text: str) -> object:
    """Return the value of one field, MISSING to leave its default; ValueError says the rule."""
    if not text:
        optional = types.NoneType in get_args(kind)
        has_default = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if has_default:
            return dataclasses.MISSING
        if optional:
            return None
        raise ValueError(f"is required ({_name_of(kind)})")
    value = _parse(kind, text)
    rules: Rules = field.metadata.get(_RULES, Rules())
    if rules.at_least is not None and isinstance(value, int | float) and value < rules.at_least:
        raise ValueError(f"{value} is less than {rules.at_least:g}")
    if rules.at_most is not None and isinstance(value, int | float) and value > rules.at_most:
        raise ValueError(f"{value} is more than {rules.at_most:g}")
    if rules.choices and value not in rules.choices:
        raise ValueError(f"{text!r} is none of {', '.join(map(str, rules.choices))}")
    return value


def _parse(kind: Any, text: str) -> object:
    """Read `text` as a value of type `kind`."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _parse(next(arg for arg in get_args(kind) if arg is not types.NoneType), text)
    if origin is tuple:
        return tuple(_parse(get_args(kind)[0], part.strip()) for part in text.split(","))
    if origin is Literal:
        return _choice(text, {str(choice): choice for choice in get_args(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice(text, {str(member.value): member for member in kind})
    return _simple(kind, text)


def _simple(kind: Any, text: str) -> object:
    """Read a value of one of the plain types and say in words what is wrong with it."""
    if kind is bool:
        return _choice(text.lower(), _TRUTH)
    if kind is Secret:
        return _secret(Path(text))
    if kind not in (str, int, float, Path, Dsn):
        message = f"a setting cannot be a {_name_of(kind)}"
        raise TypeError(message)
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no {_name_of(kind)}") from error


def _choice(text: str, choices: Mapping[str, object]) -> object:
    """Return the value that `text` stands for."""
    if text not in choices:
        raise ValueError(f"{text!r} is none of {', '.join(choices)}")
    return choices[text]


def _secret(path: Path) -> Secret:
    """Read a secret from its file, without the line end."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_BYTES)
        text = content.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}") from error
    if not text:
        raise ValueError(f"{path} is empty")
    return Secret(text)


def _name_of(kind: Any) -> str:
    """Name a type for people."""
    return getattr(kind, "__name__", str(kind))
