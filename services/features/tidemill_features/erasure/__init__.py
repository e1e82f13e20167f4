"""Carrying out erasures: look through every place, remove, look again, and report."""
