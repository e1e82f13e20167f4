"""Generated from protos/tidemill/features/v1: do not edit, run `make protos`."""
