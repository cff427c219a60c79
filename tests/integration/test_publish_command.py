"""The publish tool as a process: real sockets, real exit status, and never a hang."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from gripproxy.protocol.publish_item import decode_frame, decode_publish_request

SOURCES = Path(__file__).parents[2] / "src"
RUN_MAX_S = 30.0


def publish(*arguments: str, stdin: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[bytes]:
    code = "import sys; from gripproxy.publish_command import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=RUN_MAX_S,
        env={**os.environ, "PYTHONPATH": str(SOURCES), **environment},
    )


class OneAnswer:
    """An HTTP server that takes one request, answers as told and closes."""

    def __init__(self, answer: bytes) -> None:
        self.request = b""
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while b"\r\n\r\n" not in self.request or not self.request.endswith(b"}]}"):
                self.request += connection.recv(65_536)
            connection.sendall(self._answer)

    def close(self) -> None:
        self._listener.close()
        self._thread.join(RUN_MAX_S)


@pytest.fixture
def puller() -> Iterator[tuple[zmq.Socket[bytes], str]]:
    """A PULL socket and its address."""
    context = zmq.Context()
    pull = context.socket(zmq.PULL)
    pull.setsockopt(zmq.RCVTIMEO, int(RUN_MAX_S * 1000))
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    yield pull, f"tcp://127.0.0.1:{port}"
    pull.close(linger=0)
    context.term()


def test_item_goes_out_over_zmq(puller: tuple[zmq.Socket[bytes], str]) -> None:
    """One frame, complete even if it is larger than the socket buffers."""
    pull, spec = puller
    content = b"x" * 4_000_000
    thread_result: list[bytes] = []
    thread = threading.Thread(target=lambda: thread_result.append(pull.recv()))
    thread.start()
    result = publish("--spec", spec, "test", "-", stdin=content)
    thread.join()
    assert (result.returncode, result.stdout, result.stderr) == (0, b"Published\n", b"")
    stream = decode_frame(thread_result[0]).http_stream
    assert stream is not None and stream.content == content


def test_request_is_the_references() -> None:
    """HTTP/1.0 and four headers: older control servers know no more."""
    server = OneAnswer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nPublished\n")
    result = publish("test", "hello", GRIP_URL=f"{server.url}/base/")
    server.close()
    assert (result.returncode, result.stdout, result.stderr) == (0, b"Published\n", b"")
    head, _, body = server.request.partition(b"\r\n\r\n")
    host = server.url.removeprefix("http://").encode()
    assert head.split(b"\r\n") == [
        b"POST /base/publish/ HTTP/1.0",
        b"Host: " + host,
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
    ]
    assert [item.channel for item in decode_publish_request(body)] == ["test"]


def test_refusal_of_the_server_is_shown() -> None:
    """Its text says which field is wrong."""
    server = OneAnswer(b"HTTP/1.0 400 Bad Request\r\n\r\nInvalid format: no formats specified\n")
    result = publish("--spec", server.url, "test", "hello")
    server.close()
    assert (result.returncode, result.stderr) == (1, b"Error: Invalid format: no formats specified\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 403 Forbidden\r\n\r\n",
        b"HTTP/1.0 403 Forbidden\r\n\r\n<html>\n<title>no</title>\n</html>\n",
    ],
)
def test_refusal_that_is_not_the_proxys_shows_where_it_came_from(answer: bytes) -> None:
    """A wrong port is often a web server's: its page says nothing here, its address does."""
    server = OneAnswer(answer)
    result = publish("--spec", server.url, "test", "hello")
    server.close()
    text = f"Error: {server.url[7:]}/publish/: 403 Forbidden; is this the proxy's publish port?\n"
    assert (result.returncode, result.stderr) == (1, text.encode())


def test_key_in_the_url_authenticates() -> None:
    """The header is there, and the key is not in the request line."""
    server = OneAnswer(b"HTTP/1.0 200 OK\r\n\r\nPublished\n")
    result = publish("--spec", f"{server.url}?iss=me&key=changeme", "test", "hello")
    server.close()
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"\r\nAuthorization: Bearer ey" in server.request
    assert b"changeme" not in server.request


def test_nobody_there_is_an_error_not_a_hang() -> None:
    """A script must learn that its item went nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for spec in (f"http://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}", "ipc:///nonexistent/socket"):
        result = publish("--spec", spec, "--timeout", "0.5", "test", "hello")
        assert result.returncode == 1
        assert result.stderr.startswith(b"Error: ")


def test_silent_server_is_an_error_not_a_hang() -> None:
    """It accepts, and then nothing comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for spec in (f"http://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}"):
            result = publish("--spec", spec, "--timeout", "0.5", "test", "hello")
            assert result.returncode == 1
            assert result.stderr.startswith(b"Error: ")


def test_reader_that_stops_reading_is_an_error_not_a_hang() -> None:
    """It greets as a PULL socket does, so the item is on its way, and then its buffers are full."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def greet() -> None:
            connection, _ = listener.accept()
            accepted.append(connection)
            connection.sendall(greeting + b"\x04" + bytes([len(ready)]) + ready)

        thread = threading.Thread(target=greet)
        thread.start()
        spec = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        result = publish("--spec", spec, "--timeout", "1", "test", "-", stdin=b"x" * 5_000_000)
        thread.join()
        accepted[0].close()
    assert result.returncode == 1
    assert result.stderr == f"Error: {spec}: the item was not read within 1 s\n".encode()


def test_item_above_the_limit_of_zmq_inputs_is_refused_here(puller: tuple[zmq.Socket[bytes], str]) -> None:
    """There it would be dropped without an answer."""
    _, spec = puller
    result = publish("--spec", spec, "test", "-", stdin=b"x" * 6_000_000)
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: the item has 18000187 bytes")
