"""Messages with descriptors over a unix socket, in parts, and what becomes of them when one side stops."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from gripproxy_worker.handover_link import HandoverLink, LinkClosed, close_all


class Pair:
    """Two links, joined."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.old, self.new = HandoverLink(self.loop, first), HandoverLink(self.loop, second)

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 20))

    def close(self) -> None:
        self.old.close()
        self.new.close()
        self.loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def open_count() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_messages_and_descriptors_come_in_order(pair: Pair) -> None:
    """More than go with one byte, more bytes than the kernel takes at once, and messages without any."""
    files = [os.memfd_create(str(number)) for number in range(600)]
    for number, fd in enumerate(files):
        os.write(fd, b"%d" % number)

    async def send() -> None:
        await pair.old.send(["small", b"\xff", "\udc80", None])
        await pair.old.send(["large", bytes(3_000_000)], files)
        await pair.old.send(["last"])

    async def receive() -> list[Any]:
        return [await pair.new.receive() for _ in range(3)]

    async def both() -> list[Any]:
        sending = pair.loop.create_task(send())
        received = await receive()
        await sending
        return received

    received = pair.run(both())
    assert [message[0] for message, _ in received] == ["small", "large", "last"]
    assert received[0][0][1:] == (b"\xff", "\udc80", None)
    assert len(received[1][0][1]) == 3_000_000
    assert [len(fds) for _, fds in received] == [0, 600, 0]
    assert [os.pread(fd, 10, 0) for fd in received[1][1]] == [b"%d" % number for number in range(600)]
    assert not any(os.get_inheritable(fd) for fd in received[1][1])
    close_all(files)
    close_all(received[1][1])


def test_message_in_time_or_later(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        pair.run(pair.new.receive(0.01))
    pair.old.put(["late"])
    assert pair.run(pair.new.receive(20)) == (("late",), [])


def test_end_of_the_other_side_comes_after_what_it_said(pair: Pair) -> None:
    pair.new.put(["unread"])  # which makes the end of its receiver a reset
    assert pair.old.put_now(["taken"])
    pair.old.close()
    assert pair.run(pair.new.receive()) == (("taken",), [])
    with pytest.raises(LinkClosed):
        pair.run(pair.new.receive())
    with pytest.raises(LinkClosed):
        pair.new.put(["to nobody"])
    with pytest.raises(LinkClosed):
        pair.new.put_now(["to nobody"])
    with pytest.raises(LinkClosed):
        pair.run(pair.old.receive())
    for put in (pair.old.put, pair.old.put_now):
        with pytest.raises(LinkClosed):
            put(["closed"])


def test_sender_that_waits_for_room_hears_that_nobody_takes_it(pair: Pair) -> None:
    sending = pair.loop.create_task(pair.old.send(["large", bytes(3_000_000)]))
    pair.run(asyncio.sleep(0))
    pair.new.close()
    with pytest.raises(LinkClosed):
        pair.run(sending)


def test_what_the_kernel_does_not_take_in_time(pair: Pair) -> None:
    """Then nothing can be put in between either, and the other side knows nothing of it."""
    assert pair.old.is_flushed
    pair.loop.remove_reader(pair.new._fd)  # it hangs
    with pytest.raises(TimeoutError):
        pair.run(pair.old.send(["large", bytes(3_000_000)], timeout_s=0.01))
    assert not pair.old.is_flushed
    assert not pair.old.put_now(["small"])
    pair.old.close()
    pair.loop.add_reader(pair.new._fd, pair.new._on_readable)
    with pytest.raises(LinkClosed):
        pair.run(pair.new.receive())


def test_small_message_waits_for_nobody(pair: Pair) -> None:
    count = 0
    while pair.old.put_now(["small", bytes(10_000)]):
        count += 1
        assert count < 1000
    assert pair.run(pair.new.receive())[0][0] == "small"


@pytest.mark.parametrize("is_said_first", [True, False])
def test_one_side_knows_what_the_other_said_in_time(pair: Pair, is_said_first: bool) -> None:
    """Whoever stops receiving knows of all that the other could send: a connection has one owner."""
    if is_said_first:
        assert pair.new.put_now(["mine"])
    assert pair.old.stop_receiving() == ([(("mine",), [])] if is_said_first else [])
    with pytest.raises(LinkClosed):
        pair.new.put_now(["mine"])
    pair.old.put(["not yours"])  # the other way is still open
    assert pair.run(pair.new.receive()) == (("not yours",), [])


def test_descriptors_that_nobody_takes_are_closed(pair: Pair) -> None:
    """Of whole messages and of such as are cut off."""
    before = open_count()
    file = os.memfd_create("")
    pair.old.put(["whole"], [file] * 3)
    pair.old.put(["cut off", bytes(3_000_000)], [file] * 300)
    until(pair, lambda: open_count() >= before + 1 + 3 + 300)
    os.close(file)
    pair.new.close()
    assert open_count() == before - 1


def test_damaged_message_ends_the_link(pair: Pair) -> None:
    file = os.memfd_create("")
    before = open_count()
    socket.send_fds(pair.old._sock, [b"\0\0\0\2\0\0\0\1\0\xc1\xc1"], [file])
    with pytest.raises(LinkClosed):
        pair.run(pair.new.receive())
    assert open_count() == before
    os.close(file)


def until(pair: Pair, condition: Callable[[], bool]) -> None:
    async def turn() -> None:
        while not condition():
            await asyncio.sleep(0)

    pair.run(turn())
