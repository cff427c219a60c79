"""Two hubs talk on a unix socket, and pass descriptors."""

import asyncio
import os
import socket

import pytest

from gripproxy.bus.hub_link import CHUNK_MAX_COUNT, HubLink
from gripproxy.errors import InternalError
from tests.bus.bench import BusBench


def pair(bench: BusBench) -> tuple[HubLink, HubLink]:
    ends = [HubLink(bench.loop, end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)]
    for end in ends:
        bench.opened.callback(end.close)
    return ends[0], ends[1]


def test_messages_come_whole_and_in_order(bench: BusBench) -> None:
    """Also one that is larger than the socket takes at once."""
    one, other = pair(bench)
    large = b"x" * 3_000_000

    async def talk() -> list[object]:
        sending = asyncio.gather(one.send("a", "\ud800", None, 1.5), one.send_all("b", range(CHUNK_MAX_COUNT + 1)))
        got: list[object] = [await other.receive() for _ in range(3)]
        await sending
        sending = asyncio.gather(one.send("c", large))
        got.append(await other.receive())
        await sending
        return got

    assert bench.run(talk()) == [
        ("a", ["\ud800", None, 1.5], []),
        ("b", [list(range(CHUNK_MAX_COUNT))], []),
        ("b", [[CHUNK_MAX_COUNT]], []),
        ("c", [large], []),
    ]


def test_descriptors_go_with_their_message(bench: BusBench) -> None:
    """They are others there, of the same file."""
    one, other = pair(bench)
    out, into = os.pipe()

    async def talk() -> list[tuple[str, list[object], list[int]]]:
        await one.send("plain")
        await one.send("with", fds=[into])
        return [await other.receive(), await other.receive()]

    plain, with_fd = bench.run(talk())
    assert plain[2] == []
    os.write(with_fd[2][0], b"hello")
    assert os.read(out, 10) == b"hello"
    for fd in (out, into, *with_fd[2]):
        os.close(fd)


def test_end_and_damage_are_told(bench: BusBench) -> None:
    """Neither may be taken for a message."""
    one, other = pair(bench)
    one.close()
    with pytest.raises(ConnectionResetError):
        bench.run(other.receive())
    raw, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    link = HubLink(bench.loop, end)
    bench.opened.callback(link.close)
    bench.opened.callback(raw.close)
    raw.send(b"\0\0\0\1\xc1" + b"\xff\xff\xff\xff")
    for _ in range(2):
        with pytest.raises(InternalError):
            bench.run(link.receive())


def test_same_user_is_trusted(bench: BusBench) -> None:
    """Others cannot open the socket's file either."""
    assert all(end.is_trusted for end in pair(bench))
