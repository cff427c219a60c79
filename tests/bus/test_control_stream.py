"""Answers that go on: pieces, their framing, and what becomes of those that nobody takes."""

from gripproxy.bus.control_stream import BUFFER_MAX_BYTES, ControlStream


class Transport:
    """What a stream needs of asyncio's transport, on a list."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False
        self.limit_bytes: int | None = None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def set_write_buffer_limits(self, high: int) -> None:
        self.limit_bytes = high


class Listener:
    """A stream with a transport of its own."""

    def __init__(self, is_chunked: bool = False) -> None:
        self.closed_count = 0
        self.transport = Transport()
        self.stream = ControlStream(b"text/plain", lambda count: b"lost %d;" % count, self._on_closed)
        self.stream.attach(self.transport, is_chunked)  # type: ignore[arg-type]

    def _on_closed(self) -> None:
        self.closed_count += 1


def test_pieces_are_chunks_or_plain_bytes() -> None:
    """HTTP/1.0 knows no chunks; and an empty chunk would be the end."""
    for is_chunked, expected in ((True, [b"2\r\nhi\r\n", b"0\r\n\r\n"]), (False, [b"hi"])):
        listener = Listener(is_chunked)
        listener.stream.send(b"hi")
        listener.stream.send(b"")
        listener.stream.close()
        assert listener.transport.written == expected
        assert listener.transport.is_closed
        assert listener.closed_count == 1


def test_slow_listener_loses_pieces_and_is_told_how_many() -> None:
    """He must not fill the hub's memory, nor believe that he saw everything."""
    listener = Listener()
    assert listener.transport.limit_bytes == BUFFER_MAX_BYTES
    listener.stream.set_full(True)
    listener.stream.send(b"a")
    listener.stream.send(b"b")
    assert listener.transport.written == []
    listener.stream.set_full(False)
    listener.stream.send(b"c")
    assert listener.transport.written == [b"lost 2;", b"c"]


def test_who_is_gone_is_sent_nothing_and_told_once() -> None:
    """A handler stops its work when it hears of it."""
    listener = Listener()
    listener.stream.on_gone()
    listener.stream.on_gone()
    listener.stream.send(b"a")
    listener.stream.close()
    assert listener.transport.written == []
    assert not listener.stream.is_open
    assert listener.closed_count == 1
