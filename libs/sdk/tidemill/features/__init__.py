"""Generated from protos/tidemill/features: do not edit, run `make protos`."""
