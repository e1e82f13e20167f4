"""Generated from protos/tidemill/monitoring: do not edit, run `make protos`."""
