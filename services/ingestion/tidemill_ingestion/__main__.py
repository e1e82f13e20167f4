"""Run ingestion: `python -m tidemill_ingestion` is the edge, with `bridge` the foreign topics."""

import sys

from tidemill_common.app import main
from tidemill_ingestion.settings import Settings

match sys.argv[1:]:
    case []:
        from tidemill_ingestion.service import serve

        main("ingestion", Settings, serve)
    case ["bridge"]:
        from tidemill_ingestion.bridging import bridge

        main("ingestion", Settings, bridge)
    case _:
        sys.exit("usage: python -m tidemill_ingestion [bridge]")
