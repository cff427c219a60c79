"""How ``gripproxy publish`` reaches a proxy: a GRIP URL over HTTP, or a ZeroMQ PUSH socket.

Each run sends one item, so what it needs is imported where it is used: ZeroMQ, HTTP and JWT take longer to load than
the item takes to travel.
"""

import base64
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gripproxy.errors import GripProxyError

if TYPE_CHECKING:
    from http.client import HTTPResponse

ZMQ_TRANSPORTS = ("tcp://", "ipc://", "tipc://", "ws://", "wss://", "vmci://")
TOKEN_LIFETIME_S = 3600  # what the Python client library uses
ERROR_BODY_MAX_BYTES = 65_536  # an error text to show; more is not one


class SendError(GripProxyError):
    """The item was not taken: the address is wrong, nobody is there, or the answer was no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """Where to POST, from a GRIP URL."""

    is_https: bool
    host: str  # an IPv6 address has no brackets here
    port: int
    netloc: str  # for Host
    path: str  # of the publish endpoint
    authorization: str | None


def is_http(spec: str) -> bool:
    """Tell a GRIP URL from a ZeroMQ address."""
    return spec.startswith(("http:", "https:"))


def decode_grip_url(url: str, now: float, authorization: str | None = None) -> HttpTarget:
    """Decode ``http[s]://[USER:PASSWORD@]HOST[:PORT][/PATH][?iss=..&key=..]``.

    `key` with `iss` makes a JWT, `key` alone is a bearer token; other query parameters are for origins and ignored.

    Args:
        url: the GRIP URL.
        now: seconds since the epoch, for the token's expiry.
        authorization: from the command line, instead of what the URL says.

    Raises:
        SendError: the URL has no host or a bad port, or a password would go over plain HTTP to another machine.
    """
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
        user, password, host = parts.username, parts.password, parts.hostname
    except ValueError as error:
        raise SendError(f"invalid URL {url!r}: {error}") from None
    if not host:
        raise SendError(f"invalid URL {url!r}: no host")
    is_https = parts.scheme == "https"
    if authorization is None and user is not None:
        authorization = basic_authorization(f"{unquote(user)}:{unquote(password or '')}")
    if authorization is not None and not is_https and not _is_own_machine(host):
        raise SendError("Authentication requires https")
    if authorization is None:
        # "+" is a character of base64 keys and stands for itself, so parse_qs would be wrong.
        query = dict([part.partition("=")[::2] for part in parts.query.split("&")])
        if key := query.get("key"):
            authorization = _bearer_authorization(unquote(query.get("iss", "")), unquote(key), now)
    return HttpTarget(
        is_https=is_https,
        host=host,
        port=port if port is not None else 443 if is_https else 80,
        netloc=parts.netloc.rpartition("@")[2],
        path=parts.path.rstrip("/") + "/publish/",
        authorization=authorization,
    )


def _is_own_machine(host: str) -> bool:
    from gripproxy.listen_address import is_loopback_host

    return is_loopback_host(host)


def basic_authorization(user_and_password: str) -> str:
    """Make the header of ``USER:PASSWORD``."""
    return "Basic " + base64.b64encode(user_and_password.encode("utf-8", "surrogateescape")).decode()


def _bearer_authorization(issuer: str, key: str, now: float) -> str:
    if not issuer:
        return f"Bearer {key}"
    import warnings

    import jwt

    try:
        secret = base64.b64decode(key[7:]) if key.startswith("base64:") else key.encode()
    except ValueError as error:
        raise SendError(f"the key in the URL is not base64: {error}") from None
    with warnings.catch_warnings():
        # The proxy's key is what it is; a warning here would reach the terminal on each publish.
        warnings.simplefilter("ignore")
        token = jwt.encode({"iss": issuer, "exp": int(now) + TOKEN_LIFETIME_S}, secret, algorithm="HS256")
    return f"Bearer {token}"


def send_http(target: HttpTarget, body: bytes, timeout_s: float) -> None:
    """POST `body`, as HTTP/1.0 like the reference's tool.

    Raises:
        SendError: no connection, no answer within `timeout_s`, or a status other than 200: then the answer's text.
    """
    import http.client

    connection_class = http.client.HTTPSConnection if target.is_https else http.client.HTTPConnection
    connection = connection_class(target.host, target.port, timeout=timeout_s)
    vars(connection).update(_http_vsn=10, _http_vsn_str="HTTP/1.0")
    headers = {"Host": target.netloc, "Content-Type": "application/json", "Content-Length": str(len(body))}
    if target.authorization is not None:
        headers["Authorization"] = target.authorization
    try:
        connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        text = response.read(ERROR_BODY_MAX_BYTES).decode("utf-8", "replace").strip()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        hint = "; is the proxy running, and is this its publish port?" if isinstance(error, ConnectionError) else ""
        raise SendError(f"{target.netloc}: {reason}{hint}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise SendError(_refusal(response, text, target))


def _refusal(response: "HTTPResponse", text: str, target: HttpTarget) -> str:
    """Say why the item was not taken: in the proxy's own words, or that something else answers there."""
    if text and response.status != 404 and not text.startswith("<"):
        return text
    answer = f"{target.netloc}{target.path}: {response.status} {response.reason}"
    return f"{answer}; is this the proxy's publish port?"


@dataclass(frozen=True, slots=True)
class CurvePair:
    """For a server that speaks CURVE: its public key, and our own pair. All in Z85."""

    server: bytes
    public: bytes
    secret: bytes


def decode_curve(server_key: str, own_key: str | None) -> CurvePair:
    """Read the keys of the command line: Z85 or ``file:PATH``. Without a secret key of our own, one is made up.

    Raises:
        ConfigError: one cannot be used.
    """
    import zmq

    from gripproxy.bus.curve import read_curve_key

    server = read_curve_key("--curve-server-key", server_key, "public")
    if own_key is None:
        return CurvePair(server, *zmq.curve_keypair())
    secret = read_curve_key("--curve-key", own_key, "secret")
    return CurvePair(server, zmq.curve_public(secret), secret)


def send_zmq(spec: str, frame: bytes, timeout_s: float, curve: CurvePair | None = None) -> None:
    """Push `frame` to whoever pulls at `spec`, and wait until it left this process.

    Raises:
        SendError: the address is no ZeroMQ address, or nobody took the item within `timeout_s`.
    """
    if not spec.startswith(ZMQ_TRANSPORTS):
        raise SendError(f"invalid spec {spec!r}: it starts with none of http://, https://, {', '.join(ZMQ_TRANSPORTS)}")
    import zmq

    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    # Without IMMEDIATE the item would be queued for a connection that may never come about, and the send succeed.
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.IPV6, int("[" in spec))  # on for IPv4 too, "localhost" would mean ::1 only
    socket.setsockopt(zmq.SNDTIMEO, max(1, int(timeout_s * 1000)))
    socket.setsockopt(zmq.LINGER, 0)
    if curve is not None:
        socket.setsockopt(zmq.CURVE_SERVERKEY, curve.server)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, curve.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, curve.secret)
    try:
        socket.connect(spec)
        socket.send(frame)
        socket.setsockopt(zmq.LINGER, max(1, int(timeout_s * 1000)))
    except zmq.Again:
        hint = "" if curve is None else "; is it the server's key, and does the server know ours?"
        raise SendError(f"{spec}: nobody accepted the item within {timeout_s:g} s{hint}") from None
    except zmq.ZMQError as error:
        raise SendError(f"{spec}: {error}") from None
    finally:
        closing_since = time.monotonic()
        socket.close()
        context.term()
    # ZeroMQ does not say whether it gave up, but only then it takes all the time it was given.
    if time.monotonic() - closing_since >= timeout_s:
        raise SendError(f"{spec}: the item was not read within {timeout_s:g} s")
