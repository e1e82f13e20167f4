"""Run the registry: `python -m tidemill_registry`."""

from tidemill_common.app import main
from tidemill_registry.service import serve
from tidemill_registry.settings import Settings

main("registry", Settings, serve)
