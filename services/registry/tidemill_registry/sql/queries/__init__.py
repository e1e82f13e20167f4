"""Statements of the registry, one a file."""
