"""Migrations of schema ingestion."""
