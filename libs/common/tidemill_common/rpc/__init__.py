"""gRPC as services use it: one server wrapper, one way to call, one table of errors."""

from tidemill_common.rpc.client import call, connected, stream
from tidemill_common.rpc.deadline import remaining
from tidemill_common.rpc.health import Health
from tidemill_common.rpc.rules import Rule, rules
from tidemill_common.rpc.server import Engine, Limits, Service, serve
from tidemill_common.rpc.status import to_error, to_status

__all__ = [
    "Engine",
    "Health",
    "Limits",
    "Rule",
    "Service",
    "call",
    "connected",
    "remaining",
    "rules",
    "serve",
    "stream",
    "to_error",
    "to_status",
]
