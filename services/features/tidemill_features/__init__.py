"""Windowed feature state per entity, the archive of events, and training sets."""
