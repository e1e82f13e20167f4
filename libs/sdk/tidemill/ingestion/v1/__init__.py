"""Generated from protos/tidemill/ingestion/v1: do not edit, run `make protos`."""
