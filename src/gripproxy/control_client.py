"""How `gripproxy top` and `tail` reach the control port of a running proxy: by its configuration, or by a URL."""

import argparse
import base64
import contextlib
import dataclasses
import http.client
import json
import time
from collections.abc import Iterator

from gripproxy.config_file import Overrides, load_settings
from gripproxy.errors import GripProxyError
from gripproxy.publish_sender import HttpTarget, decode_grip_url, is_http
from gripproxy.settings import Settings
from gripproxy.signing_keys import read_publish_key

TIMEOUT_S = 10.0
SILENCE_S = 60.0  # of a stream that tells every 15 s that it is there
ERROR_BODY_MAX_BYTES = 65_536
UNAUTHORIZED, NOT_FOUND = 401, 404
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}


class ControlPortError(GripProxyError):
    """No answer, or not the one that was asked for. The text says what to do."""


class UnreachableError(ControlPortError):
    """Nobody answers; that may change."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which proxy is meant."""
    add = parser.add_argument
    add("--config", metavar="FILE", help="the proxy's configuration file; without it: the one that a start would find")
    add("--id", metavar="N", type=int, help="the proxy's instance number, if it was started with --id")
    add("--url", metavar="URL", help="the proxy's control port instead: http://HOST:PORT[?iss=NAME&key=KEY]")
    add("-B", "--bearer", metavar="TOKEN", help="the key of the control port, or a token made with it")


def find_client(options: argparse.Namespace) -> "ControlClient":
    """Give the client of the control port that the options name.

    Raises:
        GripProxyError: the options make no sense, or the configuration has no such port.
    """
    authorization = None if options.bearer is None else f"Bearer {options.bearer}"
    if options.url is not None:
        if not is_http(options.url):
            raise ControlPortError(f"--url is not of the form http://HOST:PORT: {options.url!r}")
        decode_grip_url(options.url, time.time(), authorization)  # which sends no typed token over a network as it is
        return ControlClient(options.url, authorization)
    settings, _ = load_settings(options.config, Overrides(id=options.id))
    return ControlClient(control_url(settings), authorization or control_authorization(settings))


def control_url(settings: Settings) -> str:
    """Give the URL of a configuration's control port, seen from the same host.

    Raises:
        ControlPortError: it has none.
    """
    if settings.push_in_http_port is None:
        raise ControlPortError("the configuration has no control port: push_in_http_port is not set")
    host = _ANY_ADDRESS.get(settings.push_in_http_addr, settings.push_in_http_addr)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.push_in_http_port}"


def control_authorization(settings: Settings) -> str | None:
    """Give what a configuration's control port asks for, if the configuration says it: not of a public key.

    Raises:
        ConfigError: the key cannot be read.
    """
    key = read_publish_key(settings)
    if key is None or key.algorithm != "HS256":
        return None
    return "Bearer base64:" + base64.b64encode(key.secret).decode()


class ControlClient:
    """Asks one control port: that of a GRIP URL. `authorization`: a header's value, instead of what the URL says."""

    def __init__(self, url: str, authorization: str | None = None) -> None:
        self._url = url
        self._authorization = authorization
        self._target = self._find_target()  # a URL that makes no sense is found out now

    def _find_target(self) -> HttpTarget:
        """Decode the URL; `path` is then what stands before all paths of the control port."""
        target = decode_grip_url(self._url, time.time())
        authorization = self._authorization or target.authorization
        return dataclasses.replace(target, path=target.path.removesuffix("/publish/"), authorization=authorization)

    def fetch_json(self, path: str) -> object:
        """GET a document.

        Raises:
            ControlPortError: there is none.
        """
        with self._opened(path, "application/json", TIMEOUT_S) as response:
            try:
                return json.loads(response.read())
            except ValueError:
                raise ControlPortError(f"{self._target.netloc}{path}: the answer is no JSON") from None

    def lines(self, path: str, accept: str) -> Iterator[bytes]:
        """GET an endless answer, and give its lines as they come, without line ends, until it ends.

        An empty line comes first, when the answer has begun.

        Raises:
            ControlPortError: there is none, or it broke off.
        """
        with self._opened(path, accept, SILENCE_S) as response:
            yield b""
            while line := response.readline():
                yield line.rstrip(b"\r\n")

    @contextlib.contextmanager
    def _opened(self, path: str, accept: str, timeout_s: float) -> Iterator[http.client.HTTPResponse]:
        self._target = target = self._find_target()  # a token of it lives for an hour only
        connection_class = http.client.HTTPSConnection if target.is_https else http.client.HTTPConnection
        connection = connection_class(target.host, target.port, timeout=TIMEOUT_S)
        headers = {"Host": target.netloc, "Accept": accept}
        if target.authorization is not None:
            headers["Authorization"] = target.authorization
        try:
            connection.request("GET", target.path + path, headers=headers)
            connection.sock.settimeout(timeout_s)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise ControlPortError(self._refusal(response, path))
            yield response
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            hint = "; is gripproxy running, and is this its control port?" if isinstance(error, ConnectionError) else ""
            raise UnreachableError(f"{target.netloc}: {reason}{hint}") from None
        finally:
            connection.close()

    def _refusal(self, response: http.client.HTTPResponse, path: str) -> str:
        text = response.read(ERROR_BODY_MAX_BYTES).decode("utf-8", "replace").strip()
        answer = f"{self._target.netloc}{self._target.path}{path}: {response.status} {response.reason}"
        if response.status == UNAUTHORIZED:
            return (
                f"{answer}; the control port asks for its key: give it with --bearer KEY or --url 'http://..?key=KEY'"
            )
        if response.status == NOT_FOUND:
            return f"{answer}; is this the control port of gripproxy? Pushpin's has no such page"
        return f"{answer}; {text}" if text and not text.startswith("<") else answer
