"""PostgreSQL as services use it: a pool, migrations, whole transactions again, outbox and inbox."""

from tidemill_common.postgres.migrate import migrate, queries
from tidemill_common.postgres.outbox import Announced, announce, relay
from tidemill_common.postgres.pool import Connection, Isolation, Pool, connected

__all__ = [
    "Announced",
    "Connection",
    "Isolation",
    "Pool",
    "announce",
    "connected",
    "migrate",
    "queries",
    "relay",
]
