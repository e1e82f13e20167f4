"""Migrations of the schema `monitoring`."""
