"""Generated from protos/tidemill/training/v1: do not edit, run `make protos`."""
