"""Trigger policies, the run queue, and the workers that train."""
