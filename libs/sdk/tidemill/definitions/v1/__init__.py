"""Generated from protos/tidemill/definitions/v1: do not edit, run `make protos`."""
