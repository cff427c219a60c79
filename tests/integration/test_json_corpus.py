"""Every JSON text of the corpus through the publish inputs of a running server: the right verdict, and it lives on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import zmq

from tests.integration.raw_client import RawClient
from tests.integration.server import Server, ServerPlan, post
from tests.json_corpus import DOCUMENTS, verdicts

pytestmark = pytest.mark.gripproxy_only  # what is for a reader to choose the reference chooses otherwise
END = "(end)"
DELIVERY_S = 60.0


@dataclass(slots=True)
class Case:
    """An item with a text of the corpus in it, or a whole document changed by one; `mark` is its content."""

    name: str
    mark: str
    is_read: bool
    rest: bytes = b""
    change: Callable[[bytes], bytes] = lambda document: document

    def item(self, channel: str) -> bytes:
        return b'{"channel":"%s","http-stream":{"content":"%s"}%s}' % (channel.encode(), self.mark.encode(), self.rest)


def cases() -> Iterator[Case]:
    for number, (name, (text, is_read)) in enumerate(verdicts().items()):
        yield Case(name, f"({number})", is_read, b',"x":' + text)
    for number, (name, (change, is_read)) in enumerate(DOCUMENTS.items()):
        yield Case(f"document {name}", f"(d{number})", is_read, change=change)


@pytest.fixture
def server(start_server: Callable[[ServerPlan], Server]) -> Server:
    return start_server(ServerPlan(routes=["* test"]))


@pytest.fixture
def stream(server: Server) -> Iterator[RawClient]:
    """A client that gets what is published, as it is."""
    with RawClient(server.http_port) as client:
        client.get("/stream?channel=corpus", version="1.0")
        client.receive_until(b"[stream opened]\n")
        yield client


def published(server: Server, stream: RawClient) -> str:
    """Give all that was published, after the server has shown that it still lives."""
    server.publish_stream("corpus", END)
    stream.receive_until(END.encode(), DELIVERY_S)
    return stream.received.partition(b"[stream opened]\n")[2].decode()


def test_over_http(server: Server, stream: RawClient) -> None:
    """200, or 400 in the reference's words; what was refused reaches nobody."""
    wrong = []
    for case in cases():
        answer = post(server.control_port, case.change(b'{"items":[%s]}' % case.item("corpus")))
        if answer != ((200, b"Published\n") if case.is_read else (400, b"Body is not valid JSON.\n")):
            wrong.append((case.name, answer))
    assert wrong == []
    assert published(server, stream) == "".join(case.mark for case in cases() if case.is_read) + END


def test_over_zeromq(server: Server, stream: RawClient, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    """What cannot be read is skipped, and what follows it is not."""
    push = context.socket(zmq.PUSH)
    push.connect(f"tcp://127.0.0.1:{server.push_port}")
    marks = ""
    for case in cases():
        push.send(b"J" + case.change(case.item("corpus")))
        marks += case.mark if case.is_read else ""
    push.send(b'J{"channel":"corpus","http-stream":{"content":"(last)"}}')
    stream.receive_until(b"(last)", DELIVERY_S)
    assert published(server, stream) == marks + "(last)" + END
