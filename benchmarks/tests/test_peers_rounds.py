from collections.abc import Callable, Iterator

from benchmarks.peers.processes import PeerFailed
from benchmarks.peers.rounds import Figures, Participant, run


def measured(rates: list[float], order: list[str], name: str) -> Callable[[], Figures]:
    coming: Iterator[float] = iter(rates)

    def work() -> Figures:
        order.append(name)
        return {"rate": next(coming), "exact": True}

    return work


def right() -> Figures:
    return {"exact": True}


def wrong() -> Figures:
    return {"exact": False}


def fails() -> Figures:
    raise PeerFailed("exit 1: no such wheel")


def told(people: list[Participant], rounds: int) -> Figures:
    kept: list[Figures] = []
    run(people, rounds, ["rate"], kept.append, lambda _: None)
    return kept[-1]


def test_rounds_alternate_and_the_median_is_kept() -> None:
    order: list[str] = []
    people = [
        Participant(name, {"how": name}, right, measured(rates, order, name))
        for name, rates in (("a", [1.0, 9.0, 2.0]), ("b", [5.0, 5.0, 5.0]))
    ]
    found = told(people, 3)
    assert order == ["a", "b"] * 3
    assert found["a"]["rate"] == 2.0
    assert len(found["a"]["rounds"]) == 3
    assert found["a"]["exact"]


def test_who_cannot_be_run_is_named_with_the_reason_and_the_others_go_on() -> None:
    order: list[str] = []
    people = [
        Participant("broken", {"how": "x"}, fails, measured([1.0], order, "broken")),
        Participant("late", {"how": "x"}, right, fails),
        Participant("good", {"how": "x"}, right, measured([1.0], order, "good")),
    ]
    found = told(people, 1)
    assert order == ["good"]
    assert found["broken"]["failed"] == found["late"]["failed"] == "exit 1: no such wheel"
    assert "rate" not in found["late"]
    assert found["good"]["rate"] == 1.0


def test_a_wrong_check_makes_the_whole_figure_not_exact() -> None:
    found = told([Participant("a", {}, wrong, measured([1.0], [], "a"))], 1)
    assert not found["a"]["exact"]


def test_what_is_found_is_kept_after_every_run() -> None:
    kept: list[Figures] = []
    people = [Participant(name, {}, right, measured([1.0], [], name)) for name in ("a", "b")]
    run(people, 1, ["rate"], kept.append, lambda _: None)
    assert [list(one) for one in kept] == [["a"], ["a", "b"]]
