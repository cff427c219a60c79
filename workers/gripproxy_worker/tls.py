"""TLS for clients whose sockets stay bare fds: what a client sends is decrypted, what it gets is encrypted, in memory.

All connections of a worker share two memory BIOs, one for each way. That works since each call begins and ends with
both empty: OpenSSL takes in all of its input before it asks for more, and its output is taken at once. So a connection
keeps nothing but OpenSSL's own state, no read buffer and no write buffer; and encrypted bytes are written, or wait in
a backlog, like anybody's.
"""

import contextlib
import ssl
from typing import Protocol

RECORD_MAX_BYTES = 16_384  # of content in one record (RFC 8446 section 5.1)


class Stream(Protocol):
    """What `ssl.SSLObject` wraps: the same calls without its 164 bytes, which only a handshake needs."""

    def read(self, size: int) -> bytes: ...
    def write(self, content: bytes | memoryview) -> int: ...
    def shutdown(self) -> object: ...


class TlsStreams(dict[int, Stream]):
    """The TLS clients by fd, also those in `handshakes`. `ended` are those that said their end, or broke the protocol.

    After each call that takes the client's bytes, also one that raises, `take_output` gives what must be written to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.handshakes: dict[int, ssl.SSLObject] = {}
        self.ended: set[int] = set()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def begin(self, fd: int, context: ssl.SSLContext) -> None:
        """Make a client a TLS client; the handshake is next."""
        wrapped = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.handshakes[fd] = wrapped
        self[fd] = wrapped._sslobj  # type: ignore[attr-defined]

    def take_output(self) -> bytes:
        """Give what OpenSSL has to say: handshake, alerts, answers to key updates."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def shake_hands(self, fd: int, data: bytes) -> bytes | None:
        """Take a part of the handshake: None while more is needed, then the decrypted bytes that came behind it.

        Raises:
            ssl.SSLError: there will be no connection.
        """
        self._incoming.write(data)
        try:
            self.handshakes[fd].do_handshake()
        except ssl.SSLWantReadError:
            return None
        except BaseException:
            self._incoming.read()  # of this client, and the next one must not get it
            raise
        del self.handshakes[fd]
        return self.decrypt(fd, b"")

    def decrypt(self, fd: int, data: bytes) -> bytes:
        """Give the content of the records that end in `data`. The rest of a record waits in OpenSSL."""
        self._incoming.write(data)
        read = self[fd].read
        parts = []
        try:
            while part := read(RECORD_MAX_BYTES):
                parts.append(part)
            self.ended.add(fd)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # an alert is in the output, if there is anything to say
            self.ended.add(fd)
        if self._incoming.pending:
            self._incoming.read()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def encrypt(self, fd: int, payload: bytes) -> bytes:
        """Give the records to write. They are numbered, so what is given must be written, and in order.

        Raises:
            ssl.SSLError: the connection is broken, or ended by us.
        """
        write = self[fd].write
        size = len(payload)
        try:
            count = write(payload)
            if count < size:
                view = memoryview(payload)
                while count < size:
                    count += write(view[count:])
        finally:
            output = self._outgoing.read()
        return output

    def encrypt_end(self, fd: int) -> bytes:
        """Give the record that tells the client that all has been sent. Nothing can be encrypted after it."""
        with contextlib.suppress(ssl.SSLError):  # it has not said so itself, or the connection is broken
            self[fd].shutdown()
        return self.take_output()

    def forget(self, fd: int) -> None:
        """Let go of a client, if it is one of these."""
        if self.pop(fd, None) is not None:
            self.ended.discard(fd)
            self.handshakes.pop(fd, None)
