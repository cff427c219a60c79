"""The demo's origin answers as any GRIP origin does."""

import json

import pytest

from gripproxy.demo.origin import Answer, Request, answer, load_page, publish_item

JSON_TYPE = "application/json"


class Publisher:
    """Takes items in place of the proxy."""

    def __init__(self, refusal: str | None = None) -> None:
        self.items: list[dict[str, object]] = []
        self._refusal = refusal

    def __call__(self, item: dict[str, object]) -> None:
        if self._refusal:
            raise OSError(self._refusal)
        self.items.append(item)


def ask(
    method: str, target: str, publish: Publisher | None = None, body: bytes = b"", content_type: str = ""
) -> Answer:
    return answer(Request(method, target, content_type, body), b"<page>", publish or Publisher())


def test_stream_is_held_with_keep_alive() -> None:
    """The instruct of the README, from a real origin."""
    reply = ask("GET", "/stream?channel=news")
    assert (reply.status, reply.body) == (200, b"event: message\ndata: stream open\n\n")
    assert dict(reply.headers) == {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache",
        "Grip-Hold": "stream",
        "Grip-Channel": "news",
        "Grip-Keep-Alive": ":\\n\\n; format=cstring; timeout=20",
    }


def test_poll_is_held_as_response() -> None:
    """The body is what the client gets when the time is up."""
    reply = ask("GET", "/poll?channel=news")
    assert reply.body == b"nothing was published within 25 seconds\n"
    headers = dict(reply.headers)
    assert (headers["Grip-Hold"], headers["Grip-Channel"], headers["Grip-Timeout"]) == ("response", "news", "25")


@pytest.mark.parametrize("path", ["/stream", "/poll"])
def test_channel_must_be_given(path: str) -> None:
    """Without a channel there is no instruct: a plain answer goes through."""
    reply = ask("GET", path)
    assert (reply.status, reply.body) == (400, b"missing parameter: channel\n")
    assert not any(name.startswith("Grip-") for name, _ in reply.headers)


@pytest.mark.parametrize("query", ["a%0d%0aSet-Cookie:x", "a,b", "a;filter=skip-self", "a%20b", "x" * 65])
def test_channel_cannot_smuggle_headers_or_parameters(query: str) -> None:
    """The name goes into a header that the proxy obeys."""
    assert ask("GET", f"/stream?channel={query}").status == 400


def test_publish_makes_one_item_for_all_holds() -> None:
    """One item reaches the stream, ends the long-poll and is a message on the WebSocket."""
    publisher = Publisher()
    reply = ask("POST", "/publish", publisher, json.dumps({"channel": "demo", "text": "a\nb"}).encode(), JSON_TYPE)
    assert (reply.status, reply.body) == (200, b"published\n")
    assert publisher.items == [
        {
            "channel": "demo",
            "formats": {
                "http-stream": {"content": "data: a\ndata: b\n\n"},
                "http-response": {"body": "a\nb\n"},
                "ws-message": {"content": "a\nb"},
            },
        }
    ]


def test_empty_text_is_still_an_event() -> None:
    """A blank event without data would be dropped by browsers."""
    assert publish_item("c", "")["formats"] == {
        "http-stream": {"content": "data: \n\n"},
        "http-response": {"body": "\n"},
        "ws-message": {"content": ""},
    }


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"channel":"a b","text":""}', b'{"channel":1,"text":""}', b'{"channel":"a","text":1}']
)
def test_bad_publish_body_is_refused(body: bytes) -> None:
    """Nothing goes to the proxy unless all of it makes sense."""
    publisher = Publisher()
    assert ask("POST", "/publish", publisher, body, JSON_TYPE).status == 400
    assert publisher.items == []


def test_foreign_form_cannot_publish() -> None:
    """Browsers send forms to any site without asking it; they cannot send JSON so."""
    publisher = Publisher()
    body = b'{"channel":"demo","text":"x"}'
    assert ask("POST", "/publish", publisher, body, "text/plain").status == 415
    assert publisher.items == []


def test_refusal_of_the_proxy_is_told() -> None:
    """Whoever presses the button sees why nothing came."""
    reply = ask("POST", "/publish", Publisher("Connection refused"), b'{"channel":"demo","text":"x"}', JSON_TYPE)
    assert (reply.status, reply.body) == (502, b"gripproxy did not take the item: Connection refused\n")


EVENTS_TYPE = "application/websocket-events"


def chat(
    body: bytes, publish: Publisher | None = None, page_origin: str = "", target: str = "/chat?channel=c"
) -> Answer:
    """Send a WebSocket's events as the proxy does."""
    request = Request("POST", target, EVENTS_TYPE, body, "demo.test:7999", page_origin)
    return answer(request, b"<page>", publish or Publisher())


def test_chat_is_opened_with_grip() -> None:
    """The answer that makes a WebSocket out of a request."""
    reply = chat(b"OPEN\r\n", page_origin="http://demo.test:7999")
    assert reply.status == 200
    assert dict(reply.headers) == {"Content-Type": EVENTS_TYPE, "Sec-WebSocket-Extensions": "grip"}
    assert reply.body.startswith(b"OPEN\r\nTEXT ")


def test_chat_message_is_published() -> None:
    """What is said on a WebSocket reaches every panel."""
    publisher = Publisher()
    assert chat(b"TEXT 2\r\nhi\r\n", publisher).body == b""
    assert publisher.items == [publish_item("c", "hi")]


def test_chat_is_for_the_demos_own_page() -> None:
    """Any page that a browser shows may open WebSockets to here; only our own may talk."""
    publisher = Publisher()
    for page_origin in ("http://elsewhere.test", "null"):
        assert chat(b"OPEN\r\nTEXT 2\r\nhi\r\n", publisher, page_origin).status == 403
    assert publisher.items == []


def test_chat_refuses_what_no_proxy_sends() -> None:
    """A broken body, another type of body, no channel."""
    assert chat(b"OPEN").status == 400
    assert chat(b"OPEN\r\n", target="/chat").status == 400
    assert ask("POST", "/chat?channel=c", body=b"OPEN\r\n", content_type="text/plain").status == 415


def test_page_shows_the_publish_command_escaped() -> None:
    """The command holds quotes, and may hold a path with an ampersand."""
    page = load_page("a&b 'x'")
    assert b"a&amp;b &#x27;x&#x27;" in page
    assert b"{{" not in page


def test_page_needs_nothing_from_elsewhere() -> None:
    """The demo works on a machine without a network."""
    page = load_page("x")
    assert b"https://" not in page
    assert b"http://" not in page


def test_page_is_the_start() -> None:
    """`/` is what the banner says to open."""
    reply = ask("GET", "/")
    assert (reply.status, reply.body) == (200, b"<page>")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/x", 404), ("POST", "/", 405), ("GET", "/publish", 405), ("GET", "/chat?channel=a", 405)],
)
def test_other_requests_are_refused(method: str, target: str, status: int) -> None:
    """An origin says no by itself; the proxy passes it on."""
    assert ask(method, target).status == status
