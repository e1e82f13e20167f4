"""Generated from protos/tidemill/registry/v1: do not edit, run `make protos`."""
