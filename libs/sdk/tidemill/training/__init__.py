"""Generated from protos/tidemill/training: do not edit, run `make protos`."""
