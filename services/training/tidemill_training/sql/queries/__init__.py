"""One statement a file, runnable in psql."""
