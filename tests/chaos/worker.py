"""A features worker with one of the known mistakes: `python -m tests.chaos.worker <mutant>`."""

from __future__ import annotations

import sys

from tests.chaos.mutants import MUTANTS, put
from tidemill_common.app import main
from tidemill_features.settings import Settings
from tidemill_features.worker import work

if __name__ == "__main__":
    MUTANTS[sys.argv[1]].mistake(put)
    main("features", Settings, work, uvloop=False)
