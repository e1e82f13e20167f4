"""One file per published number; `python -m benchmarks` runs them all and prints a table."""
