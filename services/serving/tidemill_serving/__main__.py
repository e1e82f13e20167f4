"""Run serving: `python -m tidemill_serving`."""

from tidemill_common.app import main
from tidemill_serving.service import serve
from tidemill_serving.settings import Settings

main("serving", Settings, serve)
