"""The command line: `tidemill --help`."""

from tidemill.cli.app import main

__all__ = ["main"]
