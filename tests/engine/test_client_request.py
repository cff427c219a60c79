"""How one client's request is answered on routes for pages of other origins: plain, as a script, held or not."""

from gripproxy.engine.effects import AskOrigin, Collect, Effect, Finish, Park, Relay, Respond
from gripproxy.protocol.http1 import Headers
from tests.engine.conversation import LONG_POLL, STREAM, Conversation, answer, client, request

ROUTE = "*,aco origin:80"
CORS = (
    b"Access-Control-Allow-Methods: OPTIONS, HEAD, GET, POST, PUT, DELETE\r\nAccess-Control-Allow-Credentials: true\r\n"
    b"Access-Control-Allow-Origin: http://page.test\r\nAccess-Control-Max-Age: 3600\r\n"
)
PAGE: Headers = [(b"Origin", b"http://page.test")]
SCRIPT_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/javascript\r\nContent-Length: %d\r\n\r\n"


def script(body: bytes) -> bytes:
    """Give the response that carries a script."""
    return SCRIPT_HEAD % len(body) + body


def sent(effects: list[Effect]) -> bytes:
    """Give what these effects write to the client."""
    return b"".join(
        [
            effect.head if isinstance(effect, Relay) else effect.payload
            for effect in effects
            if isinstance(effect, Relay | Respond | Park | Finish)
        ]
    )


def test_a_link_is_relative_to_what_the_origin_was_asked() -> None:
    """The route has rewritten the request, and a script tag has meant another one."""
    asked = client(request(b"/in/a?b"), "*,path_beg=/in/,replace_beg=/out/,as_host=o.test:81 origin:80")
    assert str(asked.url) == "http://o.test:81/out/a?b"


def test_every_answer_can_be_read_by_the_page() -> None:
    """Relayed ones, those to long-polls, and our own."""
    talk = Conversation(ROUTE)
    talk.asks(1, request(headers=PAGE))
    assert CORS in sent(talk.origin_answers(1))
    talk.gets_held(2, LONG_POLL, head=request(headers=PAGE))
    assert CORS in sent(talk.publish(answer(b"hi")))
    talk.asks(3, request(headers=PAGE))
    assert CORS in sent(talk.origin_fails(3))


def test_a_script_is_asked_for_and_made() -> None:
    """The origin gets the request that is meant, with its body, and the client the whole response as one call."""
    talk = Conversation(ROUTE)
    (ask,) = talk.asks(1, request(b"/a?callback=cb&_method=PUT&_body=xy", headers=PAGE))
    assert isinstance(ask, AskOrigin)
    assert ask.head.startswith(b"PUT /a HTTP/1.1\r\n") and ask.head.endswith(b"\r\nContent-Length: 2\r\n\r\nxy")
    (collect,) = talk.origin_answers(1, [(b"X-A", b"1"), (b"Content-Length", b"3")], 404)
    assert isinstance(collect, Collect)
    assert sent(talk.origin_sent(1, b"no\n")) == script(
        b'/**/cb({"code": 404, "reason": "OK", "headers": {"Content-Length":"3","X-A":"1"}, "body": "no\\n"});\n'
    )


def test_our_own_answers_are_scripts_too() -> None:
    """A script tag cannot see a status."""
    talk = Conversation(ROUTE)
    talk.asks(1, request(b"/?callback=cb"))
    assert sent(talk.origin_fails(1)) == script(
        b'/**/cb({"code": 502, "reason": "Bad Gateway", "headers": {"Content-Length":"32","Content-Type":"text/plain"}'
        b', "body": "Error while proxying to origin.\\n"});\n'
    )


def test_what_cannot_be_a_script_is_an_error() -> None:
    """Compressed bytes are no text; the status tells, as it can be no script."""
    talk = Conversation(ROUTE)
    talk.asks(1, request(b"/?callback=cb"))
    talk.origin_answers(1, [(b"Content-Encoding", b"gzip")])
    payload = sent(talk.origin_sent(1, b"\x1f"))
    assert payload.startswith(b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n")
    assert payload.endswith(b"\r\n\r\nUpstream response could not be JSON-P encoded.\n")


def test_bad_parameters_are_answered_in_the_open() -> None:
    """There is no callback to call."""
    payload = sent(Conversation(ROUTE).asks(1, request(b"/?callback=1", headers=PAGE)))
    assert payload.startswith(b"HTTP/1.1 400 Bad Request\r\n") and CORS in payload
    assert payload.endswith(b"\r\n\r\nInvalid callback parameter.\n")


def test_a_long_poll_ends_with_a_script() -> None:
    """In the other spelling, and with the headers of the held response."""
    talk = Conversation(ROUTE)
    talk.gets_held(1, [*LONG_POLL, (b"X-A", b"1")], head=request(b"/?callback=cb", headers=PAGE))
    body = b'/**/cb({"body":"hi","code":200,"headers":{"Content-Type":"text/plain","X-A":"1"},"reason":"OK"});\n'
    assert sent(talk.publish(answer(b"hi"))) == (
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Type: application/javascript\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)
    )


def test_a_stream_stays_a_stream() -> None:
    """A script runs when it is whole, which a stream never is."""
    talk = Conversation(ROUTE)
    payload = sent(talk.gets_held(1, STREAM, b"open\n", request(b"/?callback=cb", headers=PAGE)))
    assert payload.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + CORS)
    assert payload.endswith(b"\r\n\r\n5\r\nopen\n\r\n")
