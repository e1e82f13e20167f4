"""Run ingestion: `python -m tidemill_ingestion`."""

from tidemill_common.app import main
from tidemill_ingestion.service import serve
from tidemill_ingestion.settings import Settings

main("ingestion", Settings, serve)
