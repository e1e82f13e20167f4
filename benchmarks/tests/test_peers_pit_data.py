import numpy as np

from benchmarks.peers.pit_data import FEATURES, WITHOUT, PitData

DATA = PitData(2_000)


def test_a_label_finds_the_newest_earlier_row_of_its_entity() -> None:
    found = DATA.found()
    for label in range(0, DATA.labels, 7):
        mine = DATA.feature_entity == DATA.label_entity[label]
        earlier = np.flatnonzero(mine & (DATA.feature_time_us < DATA.label_time_us[label]))
        assert found[label] == (earlier[-1] if len(earlier) else -1)


def test_entities_without_any_feature_row_have_labels() -> None:
    without = DATA.label_entity % WITHOUT == 0
    assert without.any()
    assert (DATA.found()[without] == -1).all()


def right() -> tuple[np.ndarray, np.ndarray]:
    found = DATA.found()
    values = np.where((found >= 0)[:, None], DATA.cents[found] / 100, np.nan)
    return np.arange(DATA.labels), values


def test_the_right_rows_are_exact_in_any_order() -> None:
    label, values = right()
    order = np.random.default_rng(1).permutation(DATA.labels)
    verdict = DATA.judge(label[order], values[order])
    assert verdict == {
        "rows": DATA.labels,
        "rows_lost": 0,
        "rows_repeated": 0,
        "rows_different": 0,
    }


def test_lost_repeated_and_different_rows_are_counted() -> None:
    label, values = right()
    label, values = np.append(label[3:], label[-1]), np.vstack([values[3:], values[-1]])
    values[0] = np.zeros(len(FEATURES))
    verdict = DATA.judge(label, values)
    assert verdict["rows_lost"] == 3
    assert verdict["rows_repeated"] == 1
    assert verdict["rows_different"] == 1


def test_a_value_in_the_place_of_an_empty_one_is_different() -> None:
    label, values = right()
    empty = int(np.flatnonzero(DATA.found() == -1)[0])
    values[empty] = 0.0
    assert DATA.judge(label, values)["rows_different"] == 1
