"""Tidemill beside its peers, on the same work."""
