"""Migrations of the schema `serving`."""
