"""What waits for the end of the loop's turn: in order, bounded, and never past it."""

from collections.abc import Callable

from gripproxy_worker.outbox import SOON_MAX_BYTES, WAITING_MAX_COUNT, Outbox


class Bench:
    """An outbox, what it wrote, and what it asked the loop for."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []
        self.soon: list[Callable[[], None]] = []
        self.outbox: Outbox[str] = Outbox(lambda key, payload: self.written.append((key, payload)), self.soon.append)

    def end_turn(self) -> list[tuple[str, bytes]]:
        """Let the loop do what it was asked for; give all that was written so far."""
        soon, self.soon[:] = list(self.soon), []
        for callback in soon:
            callback()
        return self.written


def test_who_waits_is_known() -> None:
    bench = Bench()
    bench.outbox.put("a", b"1")
    assert "a" in bench.outbox and "b" not in bench.outbox
    bench.end_turn()
    assert "a" not in bench.outbox


def test_payloads_are_written_at_the_end_of_the_turn_and_joined() -> None:
    bench = Bench()
    for key, payload in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        bench.outbox.put(key, payload)
    assert bench.written == [] and len(bench.soon) == 1
    assert sorted(bench.end_turn()) == [("a", b"13"), ("b", b"2")]
    bench.outbox.put("a", b"4")
    assert bench.end_turn()[2:] == [("a", b"4")] and not bench.outbox


def test_large_payload_does_not_wait() -> None:
    """Its sender wants to know how much of it was taken. What waited comes before it."""
    bench = Bench()
    bench.outbox.put("a", b"1")
    bench.outbox.put("a", b"x" * SOON_MAX_BYTES)
    assert bench.written == [("a", b"1" + b"x" * SOON_MAX_BYTES)]
    assert len(bench.end_turn()) == 1


def test_many_connections_do_not_wait_for_each_other() -> None:
    bench = Bench()
    for number in range(WAITING_MAX_COUNT):
        bench.outbox.put(str(number), b"x")
    assert len(bench.written) == WAITING_MAX_COUNT
    bench.outbox.put("late", b"x")
    assert bench.end_turn()[-1] == ("late", b"x")


def test_payload_that_was_taken_is_not_written() -> None:
    bench = Bench()
    bench.outbox.put("a", b"1")
    assert (bench.outbox.take("a"), bench.outbox.take("a")) == (b"1", b"")
    assert bench.end_turn() == []
