"""The inference edge: route, hydrate, coalesce, call Triton, log."""
