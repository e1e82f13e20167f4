"""Generated from protos/tidemill/registry: do not edit, run `make protos`."""
