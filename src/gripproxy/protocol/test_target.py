"""The built-in responder behind the target ``test``: enough of an origin to try holds and publishing without one."""

from urllib.parse import unquote_to_bytes

BODY_MAX_BYTES = 100_000  # same as Pushpin
DEFAULT_CHANNEL = b"test"

Answer = tuple[int, bytes, list[tuple[bytes, bytes]], bytes]  # status, reason, headers, body


def answer(target: bytes, path_beg: bytes = b"", body_bytes: int = 0) -> Answer:
    """Answer an HTTP request of any method as an origin would; the holds go through the usual instruct decoding.

    Args:
        target: path and query as the origin would get them, that is after the route's rewriting.
        path_beg: of the route; taken off the path except for its final ``/``.
        body_bytes: the request body's length.

    Source: Pushpin's test handler. Unlike there, a channel that holds a control character is refused (400), as it
    would end the header, and an empty one is left out.
    """
    if body_bytes > BODY_MAX_BYTES:
        return _plain(400, b"Bad Request", b"request too large\n")
    raw_path, _, query = target.partition(b"?")
    path = _resource(unquote_to_bytes(raw_path), unquote_to_bytes(path_beg))
    if path == b"/":
        return _plain(200, b"OK", b"Hello from the Pushpin test handler!\n")
    if path not in (b"/response", b"/stream"):
        return _plain(404, b"Not Found", b"no such test resource\n")
    channels = _channels(query)
    if any(byte < 0x20 or byte == 0x7F for channel in channels for byte in channel):
        return _plain(400, b"Bad Request", b"channel has a control character\n")
    is_stream = path == b"/stream"
    body = b"[stream opened]\n" if is_stream else b"nothing for now\n"
    status, reason, headers, body = _plain(200, b"OK", body)
    headers.append((b"Grip-Hold", b"stream" if is_stream else b"response"))
    headers.append((b"Grip-Channel", b", ".join(channels)))
    return status, reason, headers, body


def _plain(status: int, reason: bytes, body: bytes) -> Answer:
    return status, reason, [(b"Content-Type", b"text/plain")], body


def _resource(path: bytes, path_beg: bytes) -> bytes:
    prefix = path_beg.removesuffix(b"/")
    if path.startswith(path_beg):
        path = path[len(prefix) :]
    return path.removesuffix(b"/") or b"/"


def _channels(query: bytes) -> list[bytes]:
    pairs = [pair.partition(b"=") for pair in query.split(b"&")]
    names = [unquote_to_bytes(value) for name, _, value in pairs if unquote_to_bytes(name) == b"channel"]
    return [name for name in names if name] or [DEFAULT_CHANNEL]
