"""Run features: `python -m tidemill_features worker` or `python -m tidemill_features server`."""

import sys

from tidemill_common.app import main
from tidemill_features.settings import Settings

ROLES = ("worker", "server")

if __name__ == "__main__":
    role = sys.argv[1] if len(sys.argv) == len(ROLES) else ""
    if role == "worker":
        from tidemill_features.worker import work

        main("features", Settings, work)
    elif role == "server":
        from tidemill_features.service import serve

        main("features", Settings, serve)
    else:
        sys.exit("usage: python -m tidemill_features worker|server")
