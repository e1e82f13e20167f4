"""Generated from protos/tidemill/serving: do not edit, run `make protos`."""
