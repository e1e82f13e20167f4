"""Generated from protos/tidemill/ingestion: do not edit, run `make protos`."""
