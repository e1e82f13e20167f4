"""Run training: `python -m tidemill_training controller` or `… worker`."""

import os
import sys

# Processes are started by exec at once, so gRPC need not survive a fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from tidemill_common.app import main
from tidemill_training.settings import Settings, WorkerSettings

ROLES = ("controller", "worker")

if __name__ == "__main__":
    role = sys.argv[1] if len(sys.argv) == len(ROLES) else ""
    if role == "controller":
        from tidemill_training.service import serve

        main("training", Settings, serve)
    elif role == "worker":
        from tidemill_training.worker import work

        main("trainer", WorkerSettings, work)
    else:
        sys.exit("usage: python -m tidemill_training controller|worker")
