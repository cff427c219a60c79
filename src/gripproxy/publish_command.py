"""``gripproxy publish``, also installed as ``gripproxy-publish``: publish one item from the command line.

Options, texts and bytes on the wire are those of Pushpin's own tool, so scripts need only change the name. Added:
content from standard input, ``--bearer``, ``--timeout``, GRIP URLs with credentials.
"""

import argparse
import base64
import os
import sys
import time
from typing import BinaryIO

from gripproxy import __version__
from gripproxy.errors import GripProxyError
from gripproxy.publish_sender import (
    basic_authorization,
    decode_curve,
    decode_grip_url,
    is_http,
    send_http,
    send_zmq,
)

DEFAULT_SPEC = "http://localhost:5561"
DEFAULT_TIMEOUT_S = 10.0
TIMEOUT_MAX_S = 86_400  # a day; ZeroMQ counts milliseconds in 32 bits

_EXAMPLES = """
content:
  TEXT    is sent as it is; long-polls and streams get a newline after it unless --no-eol is given
  @FILE   is replaced by the bytes of the file; no newline is added
  -       is replaced by standard input, which is also read if there is no CONTENT and it is not a terminal
  WebSockets get no newline, and a binary message if this is not UTF-8

spec:
  http://HOST:PORT[/PATH][?iss=NAME&key=KEY]   POST to /publish/; with a key: as bearer (JWT, if there is an iss)
  tcp://HOST:PORT, ipc://PATH                  ZeroMQ PUSH; the socket that push_in_spec names, port 5560

examples:
  %(prog)s test "hello world"
  %(prog)s --no-eol test $'event: message\\ndata: hello world\\n\\n'
  %(prog)s --id 2 --prev-id 1 --sender alice room "second line"
  %(prog)s -H "Content-Type: application/json" --code 201 orders '{"done":true}'
  %(prog)s --patch orders '[{"op":"replace","path":"/done","value":true}]'
  %(prog)s --close test
  date | %(prog)s --spec tcp://localhost:5560 test
"""


class UsageError(GripProxyError):
    """The command line makes no sense."""


def main(argv: list[str] | None = None) -> int:
    """Publish as `argv` says (default: the process's own arguments); give the exit status.

    Raises:
        SystemExit: after ``--help`` and ``--version`` (0), and for unknown options (2).
    """
    options = new_parser().parse_intermixed_args(argv)
    try:
        item = build_item(options, sys.stdin.buffer if sys.stdin is not None else None)
        send(item, options)
    except (GripProxyError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # what a shell reports for a program that SIGINT ended
    print("Published")
    return 0


def build_item(options: argparse.Namespace, stdin: BinaryIO | None) -> dict[str, object]:
    """Build the item as tnetstring sends it: names as str, payloads as bytes.

    Raises:
        UsageError: an option's value is bad, or content is missing.
    """
    item: dict[str, object] = {"channel": _text(options.channel, "channel"), "formats": _build_formats(options, stdin)}
    # As with the reference's tool, an empty one is none: what a script writes whose variable is not set.
    if options.id:
        item["id"] = _text(options.id, "id")
    if options.prev_id:
        item["prev-id"] = _text(options.prev_id, "prev-id")
    meta = {"sender": _text(options.sender, "sender")} if options.sender else {}
    for pair in options.meta:
        name, equals, value = _text(pair, "meta").partition("=")
        if not equals:
            raise UsageError('meta must be in the form "name=value"')
        meta[name] = value
    if meta:
        item["meta"] = meta
    if options.no_seq:
        item["no-seq"] = True
    return item


def encode_json_body(item: dict[str, object]) -> bytes:
    """Encode the body for HTTP: payloads become text, or base64 in their ``-bin`` field if they are not UTF-8."""
    import orjson

    formats = item["formats"]
    assert isinstance(formats, dict)
    plain = {name: dict([_json_field(key, value) for key, value in fields.items()]) for name, fields in formats.items()}
    return orjson.dumps({"items": [{**item, "formats": plain}]})


def send(item: dict[str, object], options: argparse.Namespace) -> None:
    """Hand the item over as ``--spec`` says.

    Raises:
        SendError: nobody took it.
        UsageError: the credentials do not fit.
    """
    authorization = None
    if options.user is not None and options.bearer is not None:
        raise UsageError("only one authentication method can be specified")
    if options.user is not None:
        authorization = basic_authorization(options.user)
    elif options.bearer is not None:
        authorization = f"Bearer {options.bearer}"
    spec = options.spec or os.environ.get("GRIP_URL") or DEFAULT_SPEC
    if is_http(spec):
        send_http(decode_grip_url(spec, time.time(), authorization), encode_json_body(item), options.timeout)
        return
    from gripproxy.protocol.publish_item import ITEM_MAX_BYTES
    from gripproxy.protocol.tnetstring import encode

    frame = encode(item)
    if len(frame) > ITEM_MAX_BYTES:
        # The ZeroMQ input would drop it, and this side would never know.
        raise UsageError(f"the item has {len(frame)} bytes in all its formats, at most {ITEM_MAX_BYTES} are taken")
    curve = decode_curve(options.curve_server_key, options.curve_key) if options.curve_server_key else None
    send_zmq(spec, frame, options.timeout, curve)


def _build_formats(options: argparse.Namespace, stdin: BinaryIO | None) -> dict[str, dict[str, object]]:
    if options.hint:
        return {name: {"action": "hint"} for name in ("http-response", "http-stream", "ws-message")}
    if options.close:
        return {name: {"action": "close"} for name in ("http-stream", "ws-message")}
    payload, is_verbatim = _read_content(options.content, stdin)
    response: dict[str, object] = {"code": _decode_code(options.code)}
    if options.header:
        response["headers"] = [_decode_header(line) for line in options.header]
    if options.patch:
        response["body-patch"] = _decode_patch(payload)
        return {"http-response": response}
    line = payload if is_verbatim or options.no_eol else payload + b"\n"
    response["body"] = line
    return {"http-response": response, "http-stream": {"content": line}, "ws-message": {"content": payload}}


def _read_content(content: str | None, stdin: BinaryIO | None) -> tuple[bytes, bool]:
    """Read the content; true in second place means that nothing is added to it."""
    if content is None:
        payload = b"" if stdin is None or stdin.isatty() else stdin.read()
        if not payload:
            # Also for an empty standard input: under cron or in a service it is /dev/null.
            raise UsageError("must specify content: TEXT, @FILE or -")
        return payload, True
    if content == "-":
        return (b"" if stdin is None else stdin.read()), True
    if content.startswith("@"):
        try:
            with open(content[1:], "rb") as file:
                return file.read(), True
        except OSError as error:
            raise UsageError(f"can't read file {content[1:]}: {error.strerror}") from None
    return os.fsencode(content), False


def _decode_code(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise UsageError("code must be an integer between 0 and 999")
    return int(text)


def _decode_header(line: str) -> list[str]:
    name, colon, value = _text(line, "header").partition(":")
    if not colon:
        raise UsageError('header must be in the form "name: value"')
    return [name, value.strip()]


def _decode_patch(payload: bytes) -> list[object]:
    from gripproxy.protocol.json_text import decode_json

    try:
        patch = decode_json(payload)
    except ValueError:
        patch = None
    if not isinstance(patch, list):
        raise UsageError("patch content must be a JSON array")
    return patch


def _text(argument: str, name: str) -> str:
    """Refuse an argument whose bytes are not UTF-8: names are text everywhere."""
    if not argument.isascii():
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{name} is not UTF-8: {os.fsencode(argument)!r}") from None
    return argument


def _json_field(key: str, value: object) -> tuple[str, object]:
    if not isinstance(value, bytes):
        return key, value
    try:
        return key, value.decode()
    except UnicodeDecodeError:
        return f"{key}-bin", base64.b64encode(value).decode()


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= TIMEOUT_MAX_S:
        raise argparse.ArgumentTypeError(f"not a number of seconds above 0, at most {TIMEOUT_MAX_S}: {text!r}")
    return seconds


def new_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    name = os.path.basename(sys.argv[0])
    parser = argparse.ArgumentParser(
        prog="gripproxy publish" if name in ("gripproxy", "__main__.py") else name,
        description="Publish an item to a channel.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("channel", metavar="CHANNEL", help="channel to publish to")
    add("content", metavar="CONTENT", nargs="?", help="text, @FILE or - (see below)")
    add("--id", help="id of the item")
    add("--prev-id", metavar="ID", help="id of the item before it")
    add("--sender", metavar="NAME", help="sender, as --meta sender=NAME")
    add("-M", "--meta", metavar="K=V", action="append", default=[], help="meta variable (repeatable)")
    add("--code", metavar="N", default="200", help="status code for long-polls (default: 200)")
    add("-H", "--header", metavar="'K: V'", action="append", default=[], help="header for long-polls (repeatable)")
    add("--hint", action="store_true", help="send no content: let the proxy ask the origin again")
    add(
        "--close",
        action="store_true",
        help="send no content: end WebSockets and streams (with --prev-id, if they track ids)",
    )
    add("--patch", action="store_true", help="the content is a JSON patch of the held response")
    add("--no-seq", action="store_true", help="deliver at once, whatever the previous id")
    add("--no-eol", action="store_true", help="add no newline for long-polls and streams")
    add("--spec", help=f"where to publish (default: $GRIP_URL or {DEFAULT_SPEC})")
    add("-u", "--user", metavar="USER:PASSWORD", help="basic authentication (by https, or on this machine)")
    add("-B", "--bearer", metavar="TOKEN", help="bearer authentication (by https, or on this machine)")
    add("--curve-server-key", metavar="KEY", help="ZeroMQ with CURVE: the server's public key, Z85 or file:PATH")
    add("--curve-key", metavar="KEY", help="our secret key, where the server lets in only keys that it knows")
    add("--timeout", metavar="S", type=_timeout, default=DEFAULT_TIMEOUT_S, help="seconds to wait (default: 10)")
    add("-V", "--version", action="version", version=f"gripproxy-publish {__version__}")
    return parser
