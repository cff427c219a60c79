"""Two supervisors' socket, both ends in this process."""

import os
import socket
from collections.abc import Iterator

import pytest

from gripproxy.supervisor.conversation import Conversation, Said

Pair = tuple[Conversation, Conversation]


def new_pair() -> Pair:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Conversation(one), Conversation(other)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = new_pair()
    yield pair
    for end in pair:
        end.close()


def test_words_arrive_whole_and_in_order(pair: Pair) -> None:
    """Each is a datagram: nobody has to look for ends."""
    one, other = pair
    one.say("hello", version=1)
    one.say("ready")
    assert other.hear() == [Said("hello", {"version": 1}), Said("ready")]
    assert other.hear() == []
    assert not other.is_over


def test_descriptors_come_with_the_word_and_are_closed_at_exec(pair: Pair) -> None:
    """A program that is started later must not have them."""
    one, other = pair
    read_fd, write_fd = os.pipe()
    one.say("welcome", [write_fd], pid=7)
    os.close(write_fd)
    said = other.wait(10.0)
    assert said is not None and said.number("pid") == 7
    (passed_fd,) = said.fds
    assert not os.get_inheritable(passed_fd)
    os.write(passed_fd, b"x")
    assert os.read(read_fd, 1) == b"x"
    os.close(passed_fd)
    os.close(read_fd)


def test_end_of_the_other_side_is_heard_after_its_words(pair: Pair) -> None:
    """The last one is the reason."""
    one, other = pair
    one.say("failed", reason="broken")
    one.close()
    assert [said.text("reason") for said in other.hear()] == ["broken"]
    assert other.is_over
    other.say("off")
    assert other.wait(0.01) is None


def test_silence_ends(pair: Pair) -> None:
    """A supervisor that hangs holds nobody."""
    assert pair[0].wait(0.01) is None
    assert not pair[0].is_over


@pytest.mark.parametrize("data", [b"{", b"[]", b"7", b'{"no": "word"}', b"\xff"])
def test_what_makes_no_sense_is_no_word(data: bytes) -> None:
    """Another version may say anything."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    conversation = Conversation(one)
    other.send(data)
    assert conversation.hear() == [Said("")]
    conversation.close()
    other.close()


def test_values_of_other_types_are_harmless() -> None:
    """The same."""
    said = Said("hello", {"version": "1", "program": 5})
    assert (said.number("version"), said.number("pid"), said.text("program"), said.text("x")) == (0, 0, "5", "")
