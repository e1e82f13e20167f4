"""What every service of Tidemill stands on: settings, Kafka, PostgreSQL, gRPC, telemetry."""
