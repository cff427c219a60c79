"""A new program before it has a supervisor, with the old one's end of the socket in the test's hand."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gripproxy.errors import ConfigError
from gripproxy.handover import HANDOVER_VERSION
from gripproxy.supervisor.conversation import Conversation
from gripproxy.supervisor.elder import Elder
from gripproxy.supervisor.successor import TAKEOVER_VARIABLE


@dataclass
class Sides:
    """Both."""

    old: Conversation
    elder: Elder
    spare_fd: int


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setenv(TAKEOVER_VARIABLE, f"{theirs.detach()}:{os.dup(2)}")
    elder = Elder.from_environment()
    assert elder is not None
    spare_fd = os.open(os.devnull, os.O_RDONLY)
    yield Sides(Conversation(ours), elder, spare_fd)
    ours.close()
    elder.conversation.close()
    os.close(spare_fd)


def test_ordinary_start_has_no_elder() -> None:
    """Nor have the programs that a new version starts in its turn."""
    assert Elder.from_environment() is None


def test_variable_is_not_passed_on(sides: Sides) -> None:
    """The descriptors mean something else there."""
    assert TAKEOVER_VARIABLE not in os.environ
    assert not os.get_inheritable(sides.elder.conversation.fileno())


def test_introduction_gets_the_legacy(sides: Sides) -> None:
    """The descriptors belong to the names in their order."""
    sides.old.say(
        "welcome",
        [sides.spare_fd, sides.spare_fd],
        generation=4,
        workers=3,
        pid=77,
        lock_path="/run/g/lock",
        local_paths=["/run/g/sock"],
        listeners=["0.0.0.0:80"],
        later="unknown",
    )
    legacy = sides.elder.introduce("/run/g/lock")
    assert (legacy.generation, legacy.workers_count, legacy.pid, sides.elder.pid) == (4, 3, 77, 77)
    assert list(legacy.local_fds) == ["/run/g/sock"]
    assert legacy.listeners == {"0.0.0.0:80"}
    for fd in (legacy.lock_fd, *legacy.local_fds.values()):
        os.close(fd)
    hello = sides.old.wait(10.0)
    assert hello is not None
    assert (hello.word, hello.number("version"), hello.number("pid")) == ("hello", HANDOVER_VERSION, os.getpid())


def test_refusal_has_its_reason(sides: Sides) -> None:
    """It is the only line of the new program's log."""
    sides.old.say("off", reason="not today")
    with pytest.raises(ConfigError, match="the version before refuses: not today"):
        sides.elder.introduce("/run/g/lock")


def test_other_instance_is_not_taken_over(sides: Sides) -> None:
    """The configuration has changed where it runs: its lock and sockets would be elsewhere."""
    sides.old.say("welcome", [sides.spare_fd], lock_path="/run/g/lock")
    with pytest.raises(ConfigError, match="/run/h/lock instead of /run/g/lock; restart instead"):
        sides.elder.introduce("/run/h/lock")


def test_elder_that_is_gone_is_no_elder(sides: Sides) -> None:
    """The new program ends; whoever has ended the old one starts another."""
    sides.old.close()
    with pytest.raises(ConfigError, match="does not answer"):
        sides.elder.introduce("/run/g/lock")


def test_failure_is_told(sides: Sides) -> None:
    """The old version passes it on to whoever asked."""
    sides.elder.fail("g.conf:3: no")
    said = sides.old.wait(10.0)
    assert said is not None
    assert (said.word, said.text("reason")) == ("failed", "g.conf:3: no")
