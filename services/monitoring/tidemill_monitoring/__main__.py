"""Run monitoring: `python -m tidemill_monitoring`."""

from tidemill_common.app import main
from tidemill_monitoring.service import serve
from tidemill_monitoring.settings import Settings

main("monitoring", Settings, serve)
