from aiokafka import ConsumerRecord

from tidemill_common.kafka.broker import Record, in_parts, to_records


def a_found(offset: int) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("rides", 1, offset, 17, 0, b"k", b"v", None, 1, 1, (("a", b"b"),))


def a_record(size: int | None) -> Record:
    return Record("rides", 0, 0, 0, None, None if size is None else bytes(size), ())


def test_records_of_the_client_become_ours_in_their_order() -> None:
    found = to_records([a_found(4), a_found(5)])
    assert found == [Record("rides", 1, at, 17, b"k", b"v", (("a", b"b"),)) for at in (4, 5)]
    assert [type(one) for one in found] == [Record, Record]
    assert found[1].timestamp_ms == 17


def test_parts_hold_everything_in_order_and_no_more_than_they_may() -> None:
    records = [a_record(size) for size in (3, None, 4, 2, 1, 9, 1)]
    parts = in_parts(records, 6)
    assert [one for part in parts for one in part] == records
    sizes = [[len(one.value or b"") for one in part] for part in parts]
    assert all(sum(part) <= 6 or len(part) == 1 for part in sizes)


def test_what_fits_stays_together() -> None:
    records = [a_record(2)] * 3
    assert in_parts(records, 6) == [records]
