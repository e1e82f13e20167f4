"""Statements of serving, one a file."""
