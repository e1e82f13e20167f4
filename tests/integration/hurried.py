"""A features worker that gives the broker a second for each step instead of fifteen."""

from __future__ import annotations

from tidemill_common.app import main
from tidemill_common.kafka import transactions
from tidemill_features.settings import Settings
from tidemill_features.worker import work

if __name__ == "__main__":
    transactions._STEP_SECONDS = 1.0
    main("features", Settings, work)
