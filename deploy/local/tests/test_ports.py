"""Ports of a stack."""

import socket
from pathlib import Path

from tidemill_local.ports import LOOPBACK, choose


def test_a_restart_gets_the_ports_of_last_time(tmp_path: Path) -> None:
    first = choose(["kafka", "postgres"], tmp_path / "ports.json")
    assert choose(["kafka", "postgres"], tmp_path / "ports.json") == first


def test_a_port_that_another_program_took_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = choose(["kafka", "postgres"], file)
    with socket.create_server((LOOPBACK, first["kafka"])):
        second = choose(["kafka", "postgres"], file)
    assert second["kafka"] != first["kafka"]
    assert second["postgres"] == first["postgres"]


def test_no_two_names_share_a_port(tmp_path: Path) -> None:
    chosen = choose([f"p{number}" for number in range(50)], tmp_path / "ports.json")
    assert len(set(chosen.values())) == 50


def test_a_broken_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    file.write_text("{")
    assert choose(["kafka"], file) == choose(["kafka"], file)
