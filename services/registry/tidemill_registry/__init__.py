"""Definitions, model versions, aliases, gates, lineage and audit."""
