"""CURVE on the ZeroMQ sockets that publishers use: what they send is encrypted, and only those with a key get in.

The hub is CURVE's server on all of them, also where it connects, unless `push_in_sub_server_key` names the key of those
that it connects to, such as relays. Publishers need its public key; with
`zmq_curve_client_keys` their own must be one of the list (ZAP, RFC 27).
"""

import asyncio
import logging
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq
import zmq.utils.z85

from gripproxy.bus.refusal_log import RefusalLog
from gripproxy.bus.watched_socket import AnyContext, AnySocket, WatchedSocket
from gripproxy.errors import ConfigError
from gripproxy.key_file import read_key_file
from gripproxy.scoreboard import Field
from gripproxy.settings import Settings

log = logging.getLogger(__name__)

WARN_PERIOD_S = 10.0  # a publisher that is turned away comes again ten times a second
# A client without CURVE sees as soon as the server that they do not match, and may leave first, for good. Then the
# server is told only that the handshake came to nothing, as with whoever just looks whether the port is open.
_FAILURES = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_FILE_PREFIX = "file:"
_CERTIFICATE_LINE = re.compile(r"""^\s*(?P<kind>secret|public)-key\s*=\s*"(?P<key>[^"\n]*)"\s*$""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """Keys as Z85 text. `clients`: empty lets everybody in who knows the public key."""

    secret: bytes
    public: bytes
    clients: frozenset[bytes]


def read_curve_keys(settings: Settings) -> CurveKeys | None:
    """Read the keys that the settings name; None if there are none.

    Raises:
        ConfigError: one cannot be used, there are keys for clients only, or ZeroMQ was built without CURVE.
    """
    if settings.push_in_sub_server_key:
        if not settings.push_in_sub_connect:
            raise ConfigError("push_in_sub_server_key without push_in_sub_connect: who is connected to is the server")
        read_sub_server_key(settings)
    name, text = "zmq_curve_secret_key", settings.zmq_curve_secret_key
    if not text:
        if settings.zmq_curve_client_keys:
            raise ConfigError("zmq_curve_client_keys without zmq_curve_secret_key: nobody would be kept out")
        return None
    if not zmq.has("curve"):
        raise ConfigError(f"{name}: ZeroMQ was built without CURVE")
    secret = read_curve_key(name, text, "secret")
    clients = frozenset(
        read_curve_key("zmq_curve_client_keys", key, "public") for key in settings.zmq_curve_client_keys
    )
    return CurveKeys(secret, zmq.curve_public(secret), clients)


def read_curve_key(name: str, text: str, kind: str) -> bytes:
    """Read Z85 text, or ``file:PATH`` of it or of a certificate of zmq.auth, which may hold both kinds.

    Args:
        name: of the setting or option, for the refusal.
        kind: ``secret`` or ``public``.

    Raises:
        ConfigError: there is no such key in it.
    """
    path = None
    if text.startswith(_FILE_PREFIX):
        path = text.removeprefix(_FILE_PREFIX)
        content = read_key_file(name, path).decode("latin-1")
        found = {match["kind"]: match["key"] for match in _CERTIFICATE_LINE.finditer(content)}
        text = found.get(kind, "") if found else content.strip()
    try:
        key = text.encode("ascii")
        if len(key) != 40 or len(zmq.utils.z85.decode(key)) != 32:
            raise ValueError
    except (ValueError, KeyError, struct.error):
        raise ConfigError(f"{name}: no {kind} key in Z85, which has 40 characters", path) from None
    return key


def read_sub_server_key(settings: Settings) -> bytes:
    """Read `push_in_sub_server_key`, which must not be empty.

    Raises:
        ConfigError: it cannot be used.
    """
    return read_curve_key("push_in_sub_server_key", settings.push_in_sub_server_key, "public")


def become_client(zmq_socket: AnySocket, server_key: bytes, secret_key: bytes | None) -> None:
    """Make a socket CURVE's client of whoever has `server_key`; without a key of its own it gets a new one."""
    pair = zmq.curve_keypair() if secret_key is None else (zmq.curve_public(secret_key), secret_key)
    zmq_socket.setsockopt(zmq.CURVE_SERVER, 0)
    zmq_socket.setsockopt(zmq.CURVE_SERVERKEY, server_key)
    zmq_socket.setsockopt(zmq.CURVE_PUBLICKEY, pair[0])
    zmq_socket.setsockopt(zmq.CURVE_SECRETKEY, pair[1])


class CurveGate:
    """A ZeroMQ context whose sockets let in only whom `keys` allows. Those that are turned away count in `row`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        keys: CurveKeys,
        row: memoryview,
        list_name: str = "zmq_curve_client_keys",
    ) -> None:
        self.context: AnyContext = zmq.Context()
        self._loop = loop
        self._row = row
        self._list_name = list_name  # of the clients' keys, for the log
        self._watches: list[WatchedSocket] = []
        self._refusals = RefusalLog("attempts", WARN_PERIOD_S)
        self.use_clients(keys)
        zap = self.context.socket(zmq.REP)
        zap.bind("inproc://zeromq.zap.01")
        self._watch(zap, lambda: self._answer_zap(zap))
        self.context.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        self.context.setsockopt(zmq.CURVE_SERVER, 1)

    def use_clients(self, keys: CurveKeys) -> None:
        """Let these clients in from now on. Who is in already stays until his connection ends."""
        self._clients = {zmq.utils.z85.decode(key) for key in keys.clients}

    def watch(self, name: str, zmq_socket: AnySocket) -> None:
        """Log and count who is turned away from a socket of this context, and make sure that it has CURVE.

        A SUB socket has a monitor already, and can have one only: there it is seen only whose key is unknown.

        Raises:
            ConfigError: it has not.
        """
        if zmq_socket.getsockopt(zmq.MECHANISM) != zmq.CURVE:
            raise ConfigError(f"{name}: ZeroMQ refuses CURVE for it")
        if zmq_socket.getsockopt(zmq.TYPE) != zmq.SUB:
            monitor = zmq_socket.get_monitor_socket(_FAILURES)
            self._watch(monitor, lambda: self._read_event(name, monitor))

    def close(self) -> None:
        """Close what is open in the context, which ends its sockets."""
        for watch in self._watches:
            watch.close()
        self.context.destroy(0)

    def _watch(self, zmq_socket: AnySocket, read: Callable[[], None]) -> None:
        def read_batch() -> bool:
            try:
                read()
            except zmq.Again:
                return False
            return True

        self._watches.append(WatchedSocket(self._loop, zmq_socket, read_batch))

    def _read_event(self, name: str, monitor: AnySocket) -> None:
        frames = monitor.recv_multipart(zmq.NOBLOCK)
        (event,) = struct.unpack_from("=H", frames[0])
        if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self._row[Field.UNAUTHORIZED] += 1
        self._say(f"{name}: a client did not get in: it has to use CURVE with this server's public key")

    def _say(self, text: str) -> None:
        line = self._refusals.note(text, time.monotonic())
        if line is not None:
            log.warning("%s", line)

    def _answer_zap(self, zap: AnySocket) -> None:
        """Answer one question of ZeroMQ's: may the client with this public key come in?"""
        version, request_id, _, address, _, mechanism, key = zap.recv_multipart(zmq.NOBLOCK)
        is_known = mechanism == b"CURVE" and (not self._clients or key in self._clients)
        status = (b"200", b"OK") if is_known else (b"400", b"No access")
        zap.send_multipart([version, request_id, *status, b"", b""])
        if not is_known:
            whose = address.decode("ascii", "replace")
            self._row[Field.UNAUTHORIZED] += 1
            self._say(f"turned a ZeroMQ client at {whose} away: its key is not in {self._list_name}")
