"""WebSockets between a client and a WebSocket origin, with the real program: TLS, slow sides, losses and attacks.

The frames themselves are `test_websocket_cases`' matter.
"""

import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from websockets.sync.client import connect

from gripproxy.protocol.websocket_frame import BINARY, CLOSE, PING, PONG, TEXT, Frame
from gripproxy.protocol.websocket_reader import FrameReader
from tests.certificates import make_pair
from tests.conftest import StartServer
from tests.integration.deadline import wait_until
from tests.integration.ports import free_ports
from tests.integration.process_view import private_memory_bytes
from tests.integration.raw_client import RawClient
from tests.integration.server import Server, ServerPlan
from tests.integration.tls_client import TlsClient, client_context
from tests.integration.websocket_client import open_websocket
from tests.integration.websocket_origin import PART, WebSocketOrigin
from tests.worker.socket_bench import masked

COUNT = int(os.environ.get("GRIPPROXY_HOSTILE_COUNT", "200"))
LARGE_BYTES = 16_777_216
MESSAGE_MAX_BYTES = 1_000_000
# Of the worker that is in the middle. A slow side may leave it what its own buffers hold, some 400 KB.
GROWTH_MAX_BYTES = 10_000_000
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", KEY)

pytestmark = pytest.mark.gripproxy_only


@pytest.fixture
def origin() -> Iterator[WebSocketOrigin]:
    with WebSocketOrigin() as origin:
        yield origin


@pytest.fixture
def server(start_server: StartServer, origin: WebSocketOrigin) -> Server:
    """One worker, so that everybody is in everybody's way."""
    sections = {"runner": {"client_max_message_size": MESSAGE_MAX_BYTES}}
    return start_server(ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], workers=1, sections=sections))


def opened(stack: ExitStack, server: Server, path: str) -> RawClient:
    """Connect a raw client, its handshake done; `received` holds what came behind that."""
    client = stack.enter_context(RawClient(server.http_port))
    client.get(path, *HANDSHAKE)
    client.receive_until(b"\r\n\r\n", timeout_s=30.0)
    head, _, client.received = client.received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client


def frames_of(received: bytes) -> list[Frame]:
    """Decode what a client received."""
    reader = FrameReader(is_client=False)
    frames = reader.feed(received)
    assert reader.error is None, reader.error
    return frames


def memory_bytes(server: Server) -> int:
    """Give the memory of the only worker."""
    (worker,) = server.child_pids("gripproxy: worker")
    return private_memory_bytes(worker)


def check_echo(server: Server) -> None:
    """Somebody else is served."""
    with open_websocket(server.http_port, "/echo") as client:
        client.send("still there?")
        assert client.recv(timeout=30.0) == "still there?"


def test_tls_on_both_legs(start_server: StartServer, short_path: Path) -> None:
    """Messages of many records, whole and in order, both ways at once."""
    with WebSocketOrigin(short_path / "origin") as origin:
        (port,) = free_ports(1)
        plan = ServerPlan(
            routes=[f"* 127.0.0.1:{origin.port},ssl,insecure"], sections={"runner": {"https_ports": port}}
        )
        server = start_server(plan)
        make_pair(server.directory / "runner" / "certs", "a.test")
        plain = RawClient(port)
        messages = [b"%d " % number + os.urandom(200_000) for number in range(20)]
        with connect(
            "wss://a.test/echo", sock=plain.socket, ssl=client_context(), max_size=None, compression=None, proxy=None
        ) as client:
            sender = threading.Thread(target=lambda: [client.send(message) for message in messages])
            sender.start()
            assert [client.recv(timeout=60.0) for _ in messages] == messages
            sender.join()
            client.close(4321, "over")
            assert client.close_code == 4321
        wait_until(lambda: origin.ends == [("/echo", 4321)], "the origin hears the client's code")


def test_tls_client_that_is_cut_off(start_server: StartServer, origin: WebSocketOrigin) -> None:
    """Its origin hears of the end of TLS as of any other."""
    (port,) = free_ports(1)
    server = start_server(ServerPlan(routes=[f"* 127.0.0.1:{origin.port}"], sections={"runner": {"https_ports": port}}))
    make_pair(server.directory / "runner" / "certs", "a.test")
    client = TlsClient(port)
    client.get("/echo", *HANDSHAKE)
    client.receive_until(b"\r\n\r\n")
    with suppress(ssl.SSLError, OSError):
        client.tls.unwrap()
    client.close()
    wait_until(lambda: origin.ends == [("/echo", 1006)], "the origin hears of the client's end")


def test_client_that_does_not_read_stops_its_origin(server: Server, origin: WebSocketOrigin) -> None:
    """What the origin sends without end stays with the origin; the message that comes at last is whole."""
    with ExitStack() as stack:
        before_bytes = memory_bytes(server)
        client = opened(stack, server, "/flood")
        wait_until(lambda: origin.sent_bytes > 10 * len(PART), "the origin sends")
        for _ in range(20):  # each takes turns of the worker's loop and of the origin's threads
            check_echo(server)
        assert memory_bytes(server) - before_bytes < GROWTH_MAX_BYTES
        while len(client.received) < 300 * len(PART):
            client.poll(30.0)
        content, ends = b"", []
        for frame in frames_of(client.received):  # messages may have been cut anew
            content += frame.payload
            if frame.is_final:
                ends.append(len(content))
        assert ends == [len(PART) * (number + 1) for number in range(len(ends))] and len(ends) > 290
        assert set(content) == set(PART)
        assert memory_bytes(server) - before_bytes < GROWTH_MAX_BYTES


def test_origin_that_does_not_read_stops_its_client(server: Server, origin: WebSocketOrigin) -> None:
    """Until it reads, and then it gets everything."""
    count = 600  # of messages of 100,000 bytes, more than all buffers on the way hold
    before_bytes = memory_bytes(server)
    with ExitStack() as stack:
        client = opened(stack, server, "/deaf")
        client.socket.settimeout(60.0)
        sent_count = 0

        def send() -> None:
            nonlocal sent_count
            for _ in range(count):
                client.send(masked(BINARY, PART))
                sent_count += 1

        sender = threading.Thread(target=send)
        sender.start()
        wait_until(lambda: sent_count > 10, "the client sends")
        for _ in range(20):
            check_echo(server)
        assert sent_count < count, "somebody has taken it all"
        assert memory_bytes(server) - before_bytes < GROWTH_MAX_BYTES
        origin.heard_bytes = 0
        origin.woken.set()
        wait_until(lambda: origin.heard_bytes == count * len(PART), "the origin has heard all", 60.0)
        sender.join()
        assert memory_bytes(server) - before_bytes < GROWTH_MAX_BYTES


@pytest.mark.parametrize("is_reset", [False, True])
def test_origin_hears_of_a_client_that_is_lost(server: Server, origin: WebSocketOrigin, is_reset: bool) -> None:
    """What it had said before comes first; there is no close frame."""
    with ExitStack() as stack:
        client = opened(stack, server, "/echo")
        client.send(masked(TEXT, b"last words"))
        if is_reset:
            client.receive_until(b"last words")
            client.reset()
        else:
            client.close()
        wait_until(lambda: origin.ends == [("/echo", 1006)], "the origin hears of it")
        assert origin.heard_bytes == len("last words")


def test_client_hears_of_an_origin_that_is_lost(server: Server, origin: WebSocketOrigin) -> None:
    """Its connection ends without a close frame, as the origin's did."""
    with ExitStack() as stack:
        client = opened(stack, server, "/die")
        client.send(masked(TEXT, b"die"))
        assert client.receive_all() == b""


def test_frames_behind_a_close_are_not_for_the_origin(server: Server, origin: WebSocketOrigin) -> None:
    with ExitStack() as stack:
        client = opened(stack, server, "/echo")
        client.send(masked(CLOSE, b"\x03\xe8") + masked(TEXT, b"one more thing") * 1000)
        assert frames_of(client.receive_all()) == [Frame(CLOSE, b"\x03\xe8")]
        wait_until(lambda: origin.ends == [("/echo", 1000)], "the origin hears of the close")
        assert origin.heard_bytes == 0


def test_half_closed_client_gets_its_answer(server: Server) -> None:
    """It has closed its side right behind its close frame."""
    with ExitStack() as stack:
        client = opened(stack, server, "/echo")
        client.send(masked(CLOSE, b"\x0f\xa0bye"))
        client.socket.shutdown(1)
        assert frames_of(client.receive_all()) == [Frame(CLOSE, b"\x0f\xa0bye")]


def test_large_message_is_refused_by_its_head(server: Server, origin: WebSocketOrigin) -> None:
    """Nobody waits for 16 MB that are more than may come, and nobody keeps room for them."""
    before_bytes = memory_bytes(server)
    head = b"\x82\xff" + LARGE_BYTES.to_bytes(8, "big") + b"mask"
    with ExitStack() as stack:
        clients = [opened(stack, server, "/echo") for _ in range(COUNT)]
        for client in clients:
            client.send(head)
        for client in clients:
            (close,) = frames_of(client.receive_all(30.0))
            assert close.opcode == CLOSE and close.payload[:2] == (1009).to_bytes(2, "big")
        wait_until(lambda: len(origin.ends) == COUNT, "all origins are told", 30.0)
        assert memory_bytes(server) - before_bytes < GROWTH_MAX_BYTES + COUNT * 20_000


def test_clients_that_promise_much_and_send_little(server: Server) -> None:
    """A frame of nearly 1 MB, of which a byte comes now and then: only what came is kept, and others go on."""
    before_bytes = memory_bytes(server)
    head = b"\x82\xff" + (MESSAGE_MAX_BYTES - 1).to_bytes(8, "big") + b"mask"
    with ExitStack() as stack:
        clients = [opened(stack, server, "/echo") for _ in range(COUNT)]
        for byte in head + b"begun":
            for client in clients:
                client.send(bytes([byte]))
        check_echo(server)
        assert memory_bytes(server) - before_bytes < GROWTH_MAX_BYTES + COUNT * 20_000
        assert not any(client.poll(0) for client in clients)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x81\x05hello", 1002),  # not masked
        (b"\xc1\x80mask", 1002),  # compressed, which was not agreed
        (b"\x83\x80mask", 1002),  # of a kind that does not exist
        (masked(TEXT, b"\xff"), 1007),
        (b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", 1002),
    ],
)
def test_breach_is_answered_and_is_not_the_origins_matter(
    server: Server, origin: WebSocketOrigin, payload: bytes, code: int
) -> None:
    """It comes with the handshake, too, so it may be what a smuggler has hidden there."""
    with ExitStack() as stack:
        client = stack.enter_context(RawClient(server.http_port))
        request = "\r\n".join(["GET /echo HTTP/1.1", "Host: localhost", *HANDSHAKE, "", ""])
        client.send(request.encode() + payload)
        head, _, behind = client.receive_all().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        (close,) = frames_of(behind)
        assert close.opcode == CLOSE and int.from_bytes(close.payload[:2], "big") == code
        wait_until(lambda: origin.ends == [("/echo", 1006)], "the origin hears of the end")
        assert origin.opened == ["/echo"] and origin.heard_bytes == 0


@pytest.mark.parametrize("lines", [("Content-Length: 31",), ("Transfer-Encoding: chunked",)])
def test_handshake_with_a_body_is_refused(server: Server, origin: WebSocketOrigin, lines: tuple[str, ...]) -> None:
    """What follows is neither frames nor a request: the connection ends."""
    with ExitStack() as stack:
        client = stack.enter_context(RawClient(server.http_port))
        client.get("/echo", *HANDSHAKE, *lines)
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.receive_all()
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1") == 1
        assert origin.opened == []
        check_echo(server)


def test_flood_of_pings(server: Server) -> None:
    """They are the origin's to answer; meanwhile others have their turn."""
    with ExitStack() as stack:
        flooders = [opened(stack, server, "/echo") for _ in range(4)]
        flood = masked(PING, b"p") * 5000
        threads = [threading.Thread(target=client.send, args=(flood,)) for client in flooders]
        for thread in threads:
            thread.start()
        check_echo(server)
        for client in flooders:
            client.receive_until(b"\x8a\x01p", timeout_s=60.0, count=5000)
            assert {(frame.opcode, frame.payload) for frame in frames_of(client.received)} == {(PONG, b"p")}
        for thread in threads:
            thread.join()
