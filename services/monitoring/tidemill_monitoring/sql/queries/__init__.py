"""One statement per file; each can be run in psql."""
