"""A WebSocket origin in the test's own process, by the `websockets` library: each path does something else."""

import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.certificates import make_pair

PART = b"x" * 100_000


class WebSocketOrigin:
    """Serves in threads: `/echo` sends back what comes, `/flood` sends without end, `/deaf` reads when it is `woken`.

    Args:
        directory: for the certificate; with it the origin speaks TLS.
    """

    def __init__(self, directory: Path | None = None) -> None:
        context = None
        if directory is not None:
            path = make_pair(directory, "origin.test")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path, path.with_suffix(".key"))
        self.opened: list[str] = []  # paths of handshakes
        self.ends: list[tuple[str, int]] = []  # paths and close codes of connections that are over
        self.sent_bytes = 0
        self.heard_bytes = 0
        self.woken = threading.Event()
        self._server: Server = serve(
            self._talk, "127.0.0.1", 0, ssl=context, compression=None, max_size=None, ping_interval=None
        )
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> "WebSocketOrigin":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.woken.set()
        self._server.shutdown()
        self._thread.join()

    def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        self.opened.append(path)
        try:
            if path == "/flood":
                while True:
                    connection.send(PART)
                    self.sent_bytes += len(PART)
            if path == "/die":
                connection.recv()
                connection.socket.shutdown(socket.SHUT_RDWR)  # without a close frame
            if path == "/deaf":
                self.woken.wait()
            for message in connection:
                self.heard_bytes += len(message)
                if path == "/echo":
                    connection.send(message)
        except ConnectionClosed:
            pass
        finally:
            connection.close()
            self.ends.append((path, connection.close_code or 1006))
