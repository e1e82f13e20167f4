"""A definition is checked as a whole, and its version changes exactly when its values could."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tidemill.errors import Misconfigured
from tidemill_tiles import codec
from tidemill_tiles.definitions import (
    Aggregation,
    Field,
    Function,
    Gives,
    Source,
    ViewDefinition,
    default_hop,
    view_version,
)
from tidemill_tiles.fieldtypes import FieldType
from tidemill_tiles.plan import cost, plan_of
from tidemill_tiles.primitives import thresholds
from tidemill_tiles.testing.builders import FIELDS, SECOND, a_view
from tidemill_tiles.validation import checked, validate

HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND


@pytest.mark.parametrize(
    ("window", "hop"),
    [
        (SECOND, SECOND),
        (512 * SECOND, SECOND),
        (520 * SECOND, 10 * SECOND),
        (HOUR, 10 * SECOND),
        (3 * HOUR, 60 * SECOND),
        (DAY, 300 * SECOND),
        (7 * DAY, HOUR),
        (30 * DAY, DAY),
    ],
)
def test_the_default_hop_is_the_smallest_with_at_most_512_tiles(window: int, hop: int) -> None:
    assert default_hop(window) == hop


@pytest.mark.parametrize("window", [513 * SECOND, SECOND // 2, 513 * DAY, 86_401 * SECOND])
def test_a_window_without_a_fitting_hop_is_refused(window: int) -> None:
    with pytest.raises(Misconfigured):
        default_hop(window)


def test_a_good_view_has_no_mistakes() -> None:
    assert validate(a_view()) == ()


def test_every_mistake_is_named_at_once() -> None:
    wrong = a_view(
        name="Bad Name",
        streams=(),
        entity=(Field("speed", FieldType.FLOAT64),),
        fields=(*FIELDS, FIELDS[0], Field("zero", FieldType.FLOAT64, 0.0)),
        lateness_us=-1,
        ttl_us=0,
        filter="delay",
        aggregations=(
            Aggregation("a", Function.SUM),
            Aggregation("a", Function.SUM, "nope", HOUR),
            Aggregation("b", Function.LAST, "gate", HOUR),
            Aggregation("c", Function.DISTINCT, "gate", HOUR, bound=0),
            Aggregation("d", Function.COUNT, None, HOUR, 7),
            Aggregation("e", Function.COUNT, None, HOUR, SECOND),
            Aggregation("f", Function.COUNT, None, None, SECOND),
            Aggregation("g", Function.COUNT, None, 513 * SECOND),
            Aggregation("h", Function.COUNT, None, -5),
            Aggregation("i", Function.COUNT, None, HOUR, filter="SUM(delay) > 1"),
        ),
    )
    assert {mistake.field for mistake in validate(wrong)} == {
        "name", "streams", "entity.speed", "lateness", "ttl", "filter", "fields.delay",
        "fields.zero.resolution", "aggregations.a", "aggregations.a.field",
        "aggregations.b.function", "aggregations.c.bound", "aggregations.d.hop",
        "aggregations.e.hop", "aggregations.f.hop", "aggregations.g.window",
        "aggregations.h.window", "aggregations.i.filter",
    }  # fmt: skip
    with pytest.raises(Misconfigured, match="nope"):
        checked(wrong)
    with pytest.raises(Misconfigured):
        plan_of(wrong)


PARAMETERS = [
    (Aggregation("a", Function.RATE, None), "window"),
    (Aggregation("a", Function.EWMA, "delay", HOUR), "half_life"),
    (Aggregation("a", Function.EWMA, "delay", HOUR, half_life_us=2**50 + 1), "half_life"),
    (Aggregation("a", Function.EWMA, "gate", HOUR, half_life_us=1), "function"),
    (Aggregation("a", Function.HISTOGRAM, "delay", HOUR, place=0), "edges"),
    (Aggregation("a", Function.HISTOGRAM, "delay", HOUR, edges=(2.0, 1.0), place=0), "edges"),
    (Aggregation("a", Function.HISTOGRAM, "count", HOUR, edges=(0.1, 0.2), place=0), "edges"),
    (Aggregation("a", Function.HISTOGRAM, "delay", HOUR, edges=(1.0,), place=2), "place"),
    (Aggregation("a", Function.QUANTILE, "delay", HOUR, quantile=1.01), "quantile"),
    (Aggregation("a", Function.QUANTILE, "delay", HOUR, quantile=0.5, error=0.003), "error"),
    (Aggregation("a", Function.LAST_K, "delay", HOUR, place=33), "place"),
    (Aggregation("a", Function.TOP_K, "delay", HOUR, place=0, gives=Gives.COUNT), "place"),
    (Aggregation("a", Function.TOP_K, "delay", HOUR, place=1), "gives"),
    (Aggregation("a", Function.TOP_K, "gate", HOUR, place=1, gives=Gives.VALUE), "gives"),
    (Aggregation("a", Function.TOP_K, "gate", HOUR, place=1, gives=Gives.SHARE, bound=0), "bound"),
    (Aggregation("a", Function.SUM, "delay", HOUR, default=float("nan")), "default"),
    (Aggregation("a", Function.RATIO, operands=("n",)), "operands"),
    (Aggregation("a", Function.RATIO, operands=("n", "nobody")), "operands"),
    (Aggregation("a", Function.DIFFERENCE, operands=("n", "a")), "operands"),
]


@pytest.mark.parametrize(("wrong", "part"), PARAMETERS)
def test_a_function_without_its_parameters_is_refused(wrong: Aggregation, part: str) -> None:
    count = Aggregation("n", Function.COUNT, None, HOUR)
    assert [one.field for one in validate(a_view(aggregations=(count, wrong)))] == [
        f"aggregations.a.{part}"
    ]


def test_a_tile_whose_blocks_are_all_full_fits_into_one_record_of_the_log() -> None:
    many = tuple(
        Aggregation(f"a{n}", Function.TOP_K, "gate", HOUR, filter=f"count > {n}", bound=4_096,
                    place=1, gives=Gives.COUNT)
        for n in range(7)
    )  # fmt: skip
    assert "words a tile" in str(validate(a_view(aggregations=many))[0])
    fields = [Field(f"f{number}", FieldType.FLOAT64) for number in range(500)]
    wide = [Aggregation(one.name, Function.VAR, one.name, HOUR) for one in fields]
    plan = plan_of(a_view(fields=(*FIELDS, *fields), aggregations=(*many[:6], *wide)))
    words = int(plan.set_limits.sum())
    full = codec.Shape(entities=1, rows=1, key_bytes=codec.MAX_KEY_BYTES, values=words)
    assert codec.body_bytes(plan, full) <= codec.BODY_LIMIT


def test_a_view_of_ratios_only_is_refused() -> None:
    ratio = Aggregation("a", Function.RATIO, operands=("a", "a"))
    assert "more than ratios" in str(validate(a_view(aggregations=(ratio,))))


def test_the_versions_of_older_definitions_stay_as_they_were() -> None:
    older = (
        Aggregation("n", Function.COUNT, None, HOUR),
        Aggregation("m", Function.DISTINCT, "gate", HOUR, bound=7, filter="late"),
        Aggregation("s", Function.STD, "delay", None),
    )
    assert view_version(a_view(aggregations=older)) == "55b64be7d788"
    more = a_view(aggregations=older, filter="count > 2", ttl_us=HOUR)
    assert view_version(more) == "a2ec8073eaee"


def test_too_many_levels_or_distinct_values_are_refused() -> None:
    hops = tuple(
        Aggregation(f"a{hop}", Function.COUNT, None, hop * SECOND, hop * SECOND)
        for hop in range(1, 18)
    )
    assert "hops" in str(validate(a_view(aggregations=hops))[0])
    many = tuple(
        Aggregation(f"a{n}", Function.DISTINCT, "gate", HOUR, filter=f"count > {n}", bound=4_096)
        for n in range(4)
    )
    assert "distinct" in str(validate(a_view(aggregations=many))[0])


def test_the_version_ignores_how_defaults_are_written() -> None:
    one = Aggregation("n", Function.COUNT, None, HOUR)
    plain = a_view(aggregations=(one,))
    explicit = a_view(
        aggregations=(replace(one, hop_us=10 * SECOND),),
        fields=tuple(replace(field, resolution=field.step) for field in reversed(FIELDS)),
    )
    assert view_version(plain) == view_version(explicit)
    assert len(view_version(plain)) == 12


def test_the_version_changes_with_anything_a_value_depends_on() -> None:
    one = Aggregation("n", Function.COUNT, None, HOUR)
    view = a_view(aggregations=(one,))
    changes = [
        a_view(aggregations=(replace(one, window_us=2 * HOUR),)),
        a_view(aggregations=(replace(one, hop_us=60 * SECOND),)),
        a_view(aggregations=(replace(one, filter="late"),)),
        a_view(aggregations=(replace(one, default=0.0),)),
        *(
            a_view(aggregations=(one, other))
            for other in (
                Aggregation("q", Function.QUANTILE, "delay", HOUR, quantile=0.5),
                Aggregation("q", Function.QUANTILE, "delay", HOUR, quantile=0.9),
                Aggregation("q", Function.QUANTILE, "delay", HOUR, quantile=0.5, error=0.2),
                Aggregation("q", Function.EWMA, "delay", HOUR, half_life_us=1),
                Aggregation("q", Function.EWMA, "delay", HOUR, half_life_us=2),
                Aggregation("q", Function.LAST_K, "delay", HOUR, place=1),
                Aggregation("q", Function.LAST_K, "delay", HOUR, place=2),
                Aggregation("q", Function.RATIO, operands=("n", "n")),
            )
        ),
        replace(view, lateness_us=0),
        replace(view, ttl_us=HOUR),
        replace(view, streams=("arrivals",)),
        replace(view, filter="late"),
        replace(view, fields=(replace(FIELDS[0], resolution=1.0), *FIELDS[1:])),
    ]
    assert len({view_version(one) for one in [view, *changes]}) == len(changes) + 1


WEB = Source(
    "web",
    (Field("who", FieldType.STRING), Field("n", FieldType.INT64), Field("day", FieldType.INT64)),
    (("name", "who"), ("count", "n"), ("hour", "0 - day")),
    filter="n > 0",
)
TILL = Source(
    "till", (Field("name", FieldType.STRING),), (("name", "name"), ("count", "1"), ("hour", "2"))
)
UNION = ViewDefinition(
    "union",
    ("till", "web"),
    (Field("name", FieldType.STRING),),
    (Field("count", FieldType.INT64), Field("hour", FieldType.INT64)),
    (Aggregation("sum", Function.SUM, "count", HOUR, filter="hour > 1"),),
    lateness_us=0,
    sources=(TILL, WEB),
)


def test_sources_that_give_every_column_that_is_read_are_no_mistake() -> None:
    assert validate(UNION) == ()


@pytest.mark.parametrize(
    ("source", "where", "said"),
    [
        (replace(WEB, columns=WEB.columns[1:]), "sources.web.columns.name", "nothing gives it"),
        (replace(WEB, filter="m > 0"), "sources.web.filter", "there is no column m"),
        (replace(WEB, filter="n"), "sources.web.filter", "not bool"),
        (
            replace(WEB, columns=(*WEB.columns[:2], ("hour", "who"))),
            "sources.web.columns.hour",
            "gives string, not int64",
        ),
        (replace(WEB, stream="shop"), "sources", "one for each stream"),
    ],
)
def test_a_source_that_does_not_give_what_is_read_is_refused(
    source: Source, where: str, said: str
) -> None:
    (mistake,) = validate(replace(UNION, sources=(TILL, source)))
    assert mistake.field == where
    assert said in mistake.description


def test_the_version_changes_with_what_a_source_says_but_not_with_how_it_is_written() -> None:
    turned = replace(
        UNION, streams=("web", "till"), sources=(replace(WEB, columns=WEB.columns[::-1]), TILL)
    )
    assert view_version(turned) == view_version(UNION)
    changes = [
        replace(UNION, sources=(TILL, replace(WEB, filter=None))),
        replace(UNION, sources=(TILL, replace(WEB, columns=(*WEB.columns[:2], ("hour", "day"))))),
        replace(UNION, sources=()),
    ]
    assert len({view_version(one) for one in [UNION, *changes]}) == len(changes) + 1


def test_each_stream_of_a_view_keeps_tiles_of_its_own() -> None:
    one = replace(UNION, streams=("till",), sources=(TILL,))
    assert cost(UNION).rows_per_entity == 2 * cost(one).rows_per_entity
    assert cost(UNION).bytes_per_entity == 2 * cost(one).bytes_per_entity


def test_only_needed_primitives_are_laid_out_and_shared() -> None:
    count = Aggregation("n", Function.COUNT, "delay", HOUR)
    mean = Aggregation("m", Function.MEAN, "delay", HOUR)
    total = Aggregation("s", Function.SUM, "delay", DAY)
    cells = [len(plan_of(a_view(aggregations=some)).cells) for some in ((count,), (count, mean))]
    assert cells == [1, 3]
    plan = plan_of(a_view(aggregations=(count, mean, total)))
    assert len(plan.cells) == 3
    assert plan.features == ("n", "m", "s")
    assert plan.levels[:, 0].tolist() == [10 * SECOND, 300 * SECOND]


def test_the_cost_counts_every_tile_that_is_kept() -> None:
    one = Aggregation("n", Function.COUNT, None, HOUR)
    price = cost(a_view(aggregations=(one,), lateness_us=HOUR))
    assert price.rows_per_entity == 360 + 360 + 1
    assert price.levels == 1
    assert price.bytes_per_entity > price.rows_per_entity * price.bytes_per_row


def test_an_edge_on_the_grid_of_a_resolution_belongs_to_the_bin_above_it() -> None:
    assert thresholds((-1.0, -0.57, 0.0, 0.005, 0.29, 0.57, 1 / 3 + 1), 0.01) == (
        -100, -57, 0, 1, 29, 57, 134,
    )  # fmt: skip
