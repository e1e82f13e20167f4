"""Drift, quality, alerts and reports."""
