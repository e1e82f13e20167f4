import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.tables import READS, put, table, write_all

VERDICT = {
    "compared": 30,
    "missing": 2,
    "unexpected": 0,
    "different": 1,
    "examples": ["k1 60 min: last is 1.0, not 3.0"],
}


def a_result(**participants: dict[str, Any]) -> dict[str, Any]:
    return {
        "measured": "2026-01-05T00:00:00+00:00",
        "machine": {"cores": 2},
        "took_seconds": 60,
        "scale": 0.5,
        "participants": participants,
    }


def a_peer(rate: float, *, exact: bool = True, **more: Any) -> dict[str, Any]:
    one = {"events": 1_000, "exact": exact, "verdict": VERDICT}
    return {
        "how": "as it comes",
        "exactly_once": True,
        "exact": exact,
        "events_per_second": rate / 2,
        "events_per_cpu_second": rate,
        "peak_mib": 10,
        "rounds": [one],
        **more,
    }


def test_a_line_says_how_many_times_faster_tidemill_is() -> None:
    made = table("windows", a_result(tidemill=a_peer(100_000), flink=a_peer(25_000)))
    assert "| flink | 1,000 | 12,500 | 25,000 | 4.0 x | 10 MiB | yes | exact |" in made


def test_who_reads_the_same_topic_is_compared_if_it_was_run() -> None:
    people = {"tidemill": a_peer(9), "tidemill-json-topic": a_peer(60_000)}
    made = table("windows", a_result(**people, flink=a_peer(20_000)))
    assert "| 3.0 x |" in made


def test_a_peer_that_is_faster_is_shown_as_such() -> None:
    made = table("windows", a_result(tidemill=a_peer(10_000), flink=a_peer(20_000)))
    assert "| 0.5 x |" in made


def test_a_wrong_answer_is_shown_with_its_difference() -> None:
    made = table("windows", a_result(faust=a_peer(5, exact=False)))
    assert (
        "different: 2 missing, 1 different of 30, such as k1 60 min: last is 1.0, not 3.0" in made
    )


def test_who_could_not_be_run_stands_there_with_the_reason() -> None:
    made = table("windows", a_result(faust={"how": "x", "failed": "exit 1: a | b\nmore"}))
    assert "could not be run: exit 1: a / b |" in made


def test_the_configuration_names_main_versions_only() -> None:
    versions = ["bytewax==0.21.1", "orjson==3.13.0"]
    made = table("windows", a_result(bytewax=a_peer(1, versions=versions)))
    assert "- **bytewax** (bytewax==0.21.1): as it comes." in made
    assert "orjson" not in made


def test_lost_rows_of_a_set_are_shown() -> None:
    one = {
        "labels": 100,
        "rows_lost": 9,
        "rows_repeated": 0,
        "rows_different": 0,
        "exact": False,
    }
    figures = {"rows_per_second": 10, "rows_per_cpu_second": 20, "peak_mib": 5, "rows_lost": 9}
    peer = {"how": "x", "exact": False, "rounds": [one], **figures}
    made = table("training-sets", a_result(feast=peer))
    assert "| feast | 100 | 10 | 20 | 5 MiB | 9 | different: 9 rows lost, 0 repeated" in made


PAGE = (
    "before\n<!-- windows: written by make bench-peers -->\nold\n<!-- end of windows -->\nafter\n"
)


def test_only_what_lies_between_the_marks_is_replaced() -> None:
    made = put(PAGE, "windows", "new")
    assert made == PAGE.replace("old", "new")
    assert put(made, "windows", "new") == made


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no marks"):
        put("nothing", "windows", "new")


def test_every_result_there_is_reaches_the_page(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(PAGE)
    result = a_result(tidemill=a_peer(7_000))
    (tmp_path / "peers-windows.json").write_text(json.dumps(result))
    write_all(page, tmp_path)
    assert "7,000" in page.read_text()
    assert "old" not in page.read_text()


def test_each_rate_of_the_freshness_row_has_its_line() -> None:
    one: dict[str, Any] = {"exact": True}
    figures: dict[str, Any] = {}
    for rate in (1_000, 20_000):
        one |= {f"probes_{rate}": 40, f"published_per_second_{rate}": rate - 1}
        figures |= {f"p50_ms_{rate}": 3.21, f"p99_ms_{rate}": 14.0}
    peer = {"how": "x", "exact": True, "rounds": [one], **figures}
    made = table("freshness", a_result(flink=peer))
    assert "| flink | 1,000 | 999 | 3.2 ms | 14.0 ms | 40 | exact |" in made
    assert "| flink | 20,000 | 19,999 | 3.2 ms | 14.0 ms | 40 | exact |" in made


def test_each_kind_of_read_has_its_line() -> None:
    figures = {
        f"{name}_{kind}": value
        for kind in READS
        for name, value in (("requests_per_second", 1_234), ("p50_ms", 0.5), ("p99_ms", 2.25))
    }
    figures |= {f"cpu_ms_{kind}": 0.3 for kind in READS}
    made = table("reads", a_result(tidemill={"how": "x", "rounds": [{}], "exact": True, **figures}))
    assert (
        "| tidemill | 1 entity, 10 clients | 1,234 | 0.50 ms | 2.25 ms | 0.30 ms | exact |" in made
    )


def test_participants_that_were_measured_apart_say_so() -> None:
    older = a_peer(1, measured="2025-12-31T00:00:00+00:00", scale=0.1)
    made = table("windows", a_result(tidemill=a_peer(2), flink=older))
    assert "Measured 2025-12-31 and 2026-01-05 on 2 cores" in made
    assert "0.1 and 0.5 of the full size" in made
