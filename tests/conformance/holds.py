"""How the scenarios of held requests spell what origins answer and publishers send."""

from collections.abc import Sequence

from tests.conformance.scenario import Publish, Send, Step, Subscribed, get, item
from tests.integration.origin import answer

HELLO = answer("200 OK", "Content-Type: text/plain", body=b"hello\n")
TEXT = "Content-Type: text/plain"
LINK = "Grip-Link: </next>; rel=next"
FOUND = answer("200 OK", TEXT, body=b"found\n")


def stream(channel: str, *headers: str, body: bytes = b"[open]\n", status: str = "200 OK") -> bytes:
    """Spell the answer that opens a stream on a channel."""
    return answer(status, TEXT, "Grip-Hold: stream", f"Grip-Channel: {channel}", *headers, body=body)


def poll(channel: str, *headers: str, body: bytes = b"nothing\n") -> bytes:
    """Spell the answer that starts a long-poll on a channel."""
    return answer("200 OK", TEXT, "Grip-Hold: response", f"Grip-Channel: {channel}", *headers, body=body)


def held(channel: str, target: str = "/hold", host: str = "plain.test", version: str = "1.1") -> Sequence[Step]:
    """Ask, and go on when the channel is subscribed to."""
    return [Send(get(target, host=host, version=version)), Subscribed(channel)]


def close(channel: str) -> Publish:
    """Publish the end of a channel's streams."""
    return Publish([item(channel, action="close")])


def numbered(channel: str, number: int | str, previous: int | str | None = None, **keys: object) -> dict[str, object]:
    """Spell an item whose content is its id, for streams and long-polls alike."""
    formats = {"http-stream": {"content": f"({number})\n"}, "http-response": {"body": f"({number})\n"}}
    ids = {"id": str(number)} if previous is None else {"id": str(number), "prev-id": str(previous)}
    return {"channel": channel, "formats": formats, **ids, **keys}


def items(*values: dict[str, object]) -> Publish:
    """Publish items in one request."""
    return Publish(values)
