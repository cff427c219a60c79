"""A TLS client in the test's own process, whose every byte the test can send when it likes."""

import contextlib
import socket
import ssl
import tempfile
from functools import cache
from pathlib import Path

from gripproxy_worker.certificates import load_pair, new_context
from tests.certificates import make_pair
from tests.worker.bench import Client


@cache
def server_context() -> ssl.SSLContext:
    """Make a listener's context that has one certificate for every name."""
    with tempfile.TemporaryDirectory() as directory:
        make_pair(Path(directory), "a.test")
        pair = load_pair(directory, "a.test")
    context = new_context()

    def choose(stream: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        stream.context = pair

    context.sni_callback = choose
    return context


class TlsPeer:
    """TLS in memory: `outgoing` is what the client would send."""

    def __init__(self, server_name: str | None = "a.test", version: ssl.TLSVersion | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if version is not None:
            context.maximum_version = version
        self.incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.stream = context.wrap_bio(self.incoming, self._outgoing, server_hostname=server_name)
        self.received = bytearray()
        self.has_heard_end = False
        self.is_shaken = False

    def outgoing(self) -> bytes:
        return self._outgoing.read()

    def hello(self) -> bytes:
        """Give the first message."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.stream.do_handshake()
        return self.outgoing()

    def encrypt(self, content: bytes) -> bytes:
        self.stream.write(content)
        return self.outgoing()

    def end(self) -> bytes:
        """Give the notice that nothing more comes."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.stream.unwrap()
        return self.outgoing()

    def take(self, data: bytes) -> None:
        """Take in what the server sent."""
        self.incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            if not self.is_shaken:
                self.stream.do_handshake()
                self.is_shaken = True
            while part := self.stream.read(65_536):
                self.received += part
            self.has_heard_end = True


class TlsClient(Client):
    """A bench's client by TLS. It sends its part of the handshake by itself, unless `is_manual`."""

    def __init__(self, sock: socket.socket, peer: TlsPeer | None = None, is_manual: bool = False) -> None:
        super().__init__(sock)
        self.peer = peer or TlsPeer()
        self.is_manual = is_manual
        self.raw = bytearray()
        if not is_manual:
            sock.sendall(self.peer.hello())

    def send(self, payload: bytes) -> None:
        self.sock.sendall(self.peer.encrypt(payload))

    def send_raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def pump(self) -> None:
        start = len(self.received)
        super().pump()
        data = bytes(self.received[start:])
        if data and not self.is_manual:
            self.peer.take(data)
            answer = self.peer.outgoing()
            if answer:
                self.sock.sendall(answer)
        self.raw += data
        self.received[start:] = self.peer.received
        self.peer.received.clear()
