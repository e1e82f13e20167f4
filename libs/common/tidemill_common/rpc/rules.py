"""What may be called, by whom, for how long: a method without a rule does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DEADLINE_SECONDS: Final = 5.0
CAP_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of one method.

    `scope` is what a caller must hold. `deadline` is given to calls that bring none, `cap` bounds
    what a caller may ask for; None is no bound, for streams and long calls. A `hot` method gets a
    span only when its caller's is sampled, and keeps its deadline itself (`rpc.remaining`).
    """

    scope: str = ""
    deadline: float | None = DEADLINE_SECONDS
    cap: float | None = CAP_SECONDS
    hot: bool = False

    def seconds(self, asked: float | None) -> float | None:
        """Return how long a call may take that has `asked` seconds left by its own deadline."""
        wanted = self.deadline if asked is None else asked
        if wanted is None or self.cap is None:
            return wanted
        return min(wanted, self.cap)


PUBLIC: Final = Rule("", deadline=None, cap=None)
ALWAYS: Final = {
    "/grpc.health.v1.Health/Check": PUBLIC,
    "/grpc.health.v1.Health/Watch": PUBLIC,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": PUBLIC,
}


def rules(service: str, methods: Mapping[str, Rule]) -> dict[str, Rule]:
    """Return the rules of one service's methods by their full names."""
    return {f"/{service}/{name}": rule for name, rule in methods.items()}


def admit(rule: Rule, context: Any) -> None:
    """Let the caller pass, or raise Unauthenticated or Forbidden: identity is enforced here.

    Until callers have an identity every server listens on loopback only, and a call is admitted if
    its method has a rule.
    """
    del rule, context
