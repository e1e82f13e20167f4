from benchmarks.peers.latency import Probes, event


def test_a_probe_took_from_its_append_to_its_count() -> None:
    probes = Probes(appended={b"probe1": 10.0})
    probes.seen(b"probe1", b"1", 10.25)
    assert probes.seconds == {b"probe1": 0.25}
    assert probes.wrong == 0


def test_a_probe_counted_twice_or_otherwise_is_wrong() -> None:
    probes = Probes(appended={b"probe1": 10.0, b"probe2": 10.0})
    probes.seen(b"probe1", b"1", 11.0)
    probes.seen(b"probe1", b"1", 12.0)
    probes.seen(b"probe2", b"2", 12.0)
    assert probes.wrong == 2
    assert probes.seconds == {b"probe1": 1.0}


def test_an_event_has_the_fields_that_the_programs_read() -> None:
    assert event(5, "k5").startswith(b'{"id":"5","key":"k5","at":')
