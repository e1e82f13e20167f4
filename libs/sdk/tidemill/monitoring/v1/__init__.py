"""Generated from protos/tidemill/monitoring/v1: do not edit, run `make protos`."""
