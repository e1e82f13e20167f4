"""Generated from protos/tidemill/definitions: do not edit, run `make protos`."""
