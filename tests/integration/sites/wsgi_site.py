"""A plain WSGI application with gripcontrol, without any framework. GRIP_URL and GRIP_KEY come from the environment."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from gripcontrol import (
    Channel,
    GripPubControl,
    HttpResponseFormat,
    HttpStreamFormat,
    Response,
    WebSocketContext,
    WebSocketEvent,
    WebSocketMessageFormat,
    create_grip_channel_header,
    create_hold_response,
    decode_websocket_events,
    encode_websocket_events,
    parse_grip_uri,
    validate_sig,
)
from pubcontrol import Item

PUBLISHER = GripPubControl(parse_grip_uri(os.environ["GRIP_URL"]))
KEY = os.environ["GRIP_KEY"].encode()

Answer = tuple[list[tuple[str, str]], str | bytes]

seen_events: defaultdict[str, list[str]] = defaultdict(list)  # by channel; one process serves all requests


def hello(environ: WSGIEnvironment, channel: str) -> Answer:
    """Tell whether the request came through the proxy that signs with our key."""
    del channel
    is_signed = validate_sig(environ.get("HTTP_GRIP_SIG", ""), KEY, iss="pushpin")
    is_forged = validate_sig(environ.get("HTTP_GRIP_SIG", ""), b"another key of thirty-two bytes....")
    return [], f"signed: {is_signed}, forged: {is_forged}\n"


def poll(environ: WSGIEnvironment, channel: str) -> Answer:
    """Hold by an instruct in the body."""
    del environ
    response = Response(headers={"Content-Type": "text/plain"}, body="nothing\n")
    return [("Content-Type", "application/grip-instruct")], create_hold_response(channel, response, timeout=20)


def stream(environ: WSGIEnvironment, channel: str) -> Answer:
    """Hold by headers."""
    del environ
    return [("Grip-Hold", "stream"), ("Grip-Channel", create_grip_channel_header(channel))], "open\n"


def linked(environ: WSGIEnvironment, channel: str) -> Answer:
    """Hold a stream that asks its link for what it missed; the link knows where it stopped by Grip-Last."""
    last = environ.get("HTTP_GRIP_LAST")
    header = create_grip_channel_header(Channel(channel, prev_id="7" if last else "5"))
    headers = [
        ("Grip-Hold", "stream"),
        ("Grip-Channel", header),
        ("Grip-Link", f"</linked?channel={channel}>; rel=next"),
    ]
    return headers, f"missed after {last}\n" if last else "open\n"


def publish(environ: WSGIEnvironment, channel: str) -> Answer:
    """Publish through gripcontrol."""
    query = parse_qs(environ["QUERY_STRING"])
    text, item_id, prev_id = (query.get(key, [None])[0] for key in ("text", "id", "prev"))
    formats = [
        HttpResponseFormat(code=203, body=f"{text}\n"),
        HttpStreamFormat(f"{text}\n".encode()),
        WebSocketMessageFormat(text),
    ]
    PUBLISHER.publish(channel, Item(formats, id=item_id, prev_id=prev_id), blocking=True)
    return [], "published\n"


def socket(environ: WSGIEnvironment, channel: str) -> Answer:
    """Serve a WebSocket by the events in the body, and do as the client says."""
    events = decode_websocket_events(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    connection_id = environ["HTTP_CONNECTION_ID"]
    seen_events[channel] += [f"{connection_id} {event.type}" for event in events]
    context = WebSocketContext(connection_id, {}, events)
    if context.is_opening():
        context.accept()
        context.subscribe(channel)
    while context.can_recv():
        try:
            message = context.recv()
        except OSError:  # the client is lost
            break
        if message is None:
            context.close(context.close_code)
            break
        obey(context, message)
    return socket_answer(context)


def obey(context: WebSocketContext, message: str | bytes) -> None:
    """Do what a client's message says; anything else is echoed."""
    if isinstance(message, bytes):
        context.send_binary(message)
        return
    word, _, rest = message.partition(" ")
    if word == "leave":
        context.unsubscribe(rest)
    elif word == "detach":
        context.detach()
    elif word == "close":
        context.close(int(rest) if rest else None)
    elif word == "control":
        context.send_control(rest)
    else:
        context.send(f"echo {message}")


def socket_answer(context: WebSocketContext) -> Answer:
    """Encode what the context has gathered: gripcontrol leaves this to the framework's own package."""
    headers = [("Content-Type", "application/websocket-events")]
    events = list(context.out_events)
    if context.accepted:
        headers.append(("Sec-WebSocket-Extensions", "grip"))
        events.insert(0, WebSocketEvent("OPEN"))
    if context.closed:
        events.append(WebSocketEvent("CLOSE", context.out_close_code.to_bytes(2, "big")))
    return headers, encode_websocket_events(events)


def seen(environ: WSGIEnvironment, channel: str) -> Answer:
    """Tell the events that have come for a channel, a line each with the connection's id."""
    del environ
    return [], "".join(f"{event}\n" for event in seen_events[channel])


PATHS: dict[str, Callable[[WSGIEnvironment, str], Answer]] = {
    f"/{handler.__name__}": handler for handler in (hello, poll, stream, linked, publish, socket, seen)
}


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer by path; the channel is in the query."""
    channel = parse_qs(environ["QUERY_STRING"]).get("channel", [""])[0]
    headers, body = PATHS[environ["PATH_INFO"]](environ, channel)
    if not any(name == "Content-Type" for name, _ in headers):
        headers.append(("Content-Type", "text/plain"))
    data = body.encode() if isinstance(body, str) else body
    headers.append(("Content-Length", str(len(data))))
    start_response("200 OK", headers)
    return [data]
