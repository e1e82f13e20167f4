"""Generated from protos/tidemill/serving/v1: do not edit, run `make protos`."""
