"""The broker's settings file."""

from pathlib import Path

from tidemill_local.kafka import properties_of


def test_everything_binds_loopback_and_nothing_needs_a_second_broker() -> None:
    text = properties_of(Path("log"), 9092, 9093)
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert settings["listeners"] == "BROKER://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    factors = [value for name, value in settings.items() if name.endswith("replication.factor")]
    assert set(factors) == {"1"}
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["transaction.partition.verification.enable"] == "false"
