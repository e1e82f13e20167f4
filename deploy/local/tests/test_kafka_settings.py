"""The broker's settings file."""

from pathlib import Path

from tidemill_local.kafka import Edge, properties_of


def test_everything_binds_loopback_and_nothing_needs_a_second_broker() -> None:
    text = properties_of(Path("log"), 9092, 9093)
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert settings["listeners"] == "BROKER://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    factors = [value for name, value in settings.items() if name.endswith("replication.factor")]
    assert set(factors) == {"1"}
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["transaction.partition.verification.enable"] == "false"


def test_a_client_that_comes_by_an_edge_is_told_the_port_of_the_proxy() -> None:
    edge = Edge("INGESTION", port=9094, advertised=9095)
    text = properties_of(Path("log"), 9092, 9093, [edge])
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert "INGESTION://127.0.0.1:9094" in settings["listeners"].split(",")
    assert "INGESTION://127.0.0.1:9095" in settings["advertised.listeners"].split(",")
    assert "INGESTION:PLAINTEXT" in settings["listener.security.protocol.map"].split(",")
