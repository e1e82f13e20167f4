"""Chaos: load with a ledger, faults from a seed, and checkers that say what may never happen."""
