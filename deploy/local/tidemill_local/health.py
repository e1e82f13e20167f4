"""Ask a service for its health: `python -m tidemill_local.health HOST:PORT`, exit 0 if it lives."""

from __future__ import annotations

import sys

from tidemill_local.probes import grpc_health
from tidemill_local.program import Readiness


def main() -> int:
    """Alive is enough for a container: a service without a project yet is not to be restarted."""
    return 0 if grpc_health(sys.argv[1]) is not Readiness.NO else 1


if __name__ == "__main__":
    sys.exit(main())
