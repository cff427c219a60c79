"""WebSocket sites with unmodified libraries, behind gripproxy and, to show that the tests ask for no more, Pushpin."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from tests.integration.deadline import wait_until
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import GRIPPROXY, PUSHPIN, Server
from tests.integration.sites.running import Sites, sites_behind
from tests.integration.websocket_client import ask, ending, messages_until, next_message, open_websocket

WAIT_S = 30.0


@dataclass(slots=True)
class Estate:
    """A proxy with the sites behind it, each by its own host."""

    server: Server
    sites: Sites

    @property
    def large(self) -> str:
        """A message as large as the server takes: Debian's Pushpin takes small frames from WebSocket origins."""
        return "0123456789" * (19_000 if self.server.plan.kind is GRIPPROXY else 3_000)

    def open(self, host: str, path: str, **query: str) -> AbstractContextManager[ClientConnection]:
        """Open a WebSocket through the proxy."""
        return open_websocket(self.server.http_port, f"{path}?{urlencode(query)}", host)

    def ask(self, host: str, path: str, **query: str) -> bytes:
        """Ask a site for a page, through the proxy, and give the whole answer."""
        answer = fetch(self.server.http_port, f"{path}?{urlencode(query, quote_via=quote)}", host=host)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return answer

    def seen(self, channel: str) -> list[tuple[str, str]]:
        """Give (connection id, type) of the events that the WSGI site has had for a channel."""
        body = self.ask("wsgi.test", "/seen", channel=channel).partition(b"\r\n\r\n")[2].decode()
        return [(connection, kind) for connection, kind in map(str.split, body.splitlines())]


def routes_to(sites: Sites) -> list[str]:
    return [
        f"django.test 127.0.0.1:{sites.django_port},over_http",
        f"wsgi.test 127.0.0.1:{sites.wsgi_port},over_http",
        f"express.test 127.0.0.1:{sites.express_port},over_http",
        f"express.test,path_beg=/socket 127.0.0.1:{sites.express_port}",
        f"websockets.test 127.0.0.1:{sites.websockets_port}",
    ]


@pytest.fixture(scope="module", params=[GRIPPROXY, PUSHPIN], ids=lambda kind: kind.program)
def estate(request: pytest.FixtureRequest) -> Iterator[Estate]:
    """All sites behind one server."""
    with sites_behind(request.param, routes_to) as (server, sites):
        yield Estate(server, sites)


def published(client: ClientConnection, estate: Estate, page: tuple[str, str], text: str, **query: str) -> str | bytes:
    """Publish until the client has something: a subscription is in place some time after its origin asked for it."""

    def take() -> str | bytes | None:
        estate.ask(*page, text=text, **query)
        with suppress(TimeoutError):
            return client.recv(timeout=0.5)
        return None

    return wait_until(take, f"{text!r} published by {page}", WAIT_S)


def test_django_echo(estate: Estate) -> None:
    """A site that remembers nothing: the name that it gave the connection comes with each request."""
    with estate.open("django.test", "/echo", channel="d1", user="anna") as client:
        assert ask(client, "hello") == "anna: hello"
        assert ask(client, "grüße") == "anna: grüße"
        assert ask(client, b"\x00\xff") == b"\x00\xff"
        assert ask(client, "") == "anna: "
        assert ask(client, estate.large) == "anna: " + estate.large
        assert ask(client, "forget me") == "forgotten"
        assert ask(client, "hello") == "nobody: hello"


def test_django_gets_all_messages_in_order(estate: Estate) -> None:
    """Messages that are sent while a request is under way come together in the next one; none is lost or moved."""
    with estate.open("django.test", "/echo", channel="d2", user="b") as client:
        for number in range(200):
            client.send(f"m{number}")
        assert [next_message(client) for _ in range(200)] == [f"b: m{number}" for number in range(200)]


def test_django_refuses(estate: Estate) -> None:
    """A view that answers with a page instead: the client's handshake is answered by that."""
    with pytest.raises(InvalidStatus) as refused, estate.open("django.test", "/echo", channel="d3", user="stranger"):
        pass
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"strangers stay outside\n"


def test_django_without_websocket(estate: Estate) -> None:
    """django-grip tells a request without events from one with."""
    answer = fetch(estate.server.http_port, "/echo", host="django.test")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Request must contain WebSocket events.\n" in answer


def test_django_publishes_to_websockets(estate: Estate) -> None:
    """Text, bytes and a close with code and reason, as django-grip and gripcontrol publish them."""
    page = ("django.test", "/shout")
    with estate.open("django.test", "/echo", channel="d4", user="c") as client:
        assert published(client, estate, page, "to all", channel="d4") == "to all"
        estate.ask(*page, channel="d4", text="binär", binary="")
        assert messages_until(client, "binär".encode())[-1] == "binär".encode()
        estate.ask(*page, channel="d4", code="4001", reason="go away")
        assert ending(client) == (4001, "go away")


def test_django_answers_ping(estate: Estate) -> None:
    """django-grip answers pings, while it reads what comes."""
    with estate.open("django.test", "/echo", channel="d5", user="c") as client:
        pong = client.ping(b"are you there")
        assert ask(client, "hello") == "c: hello"
        assert pong.wait(10)


@pytest.mark.parametrize("code", [1000, 4000])
def test_django_close_by_the_client(estate: Estate, code: int) -> None:
    """The site is told the client's code and answers with it."""
    with estate.open("django.test", "/echo", channel="d6", user="c") as client:
        client.close(code)
        assert client.close_code == code


def test_wsgi_echo_and_close(estate: Estate) -> None:
    """gripcontrol's own context: the site closes with a code of its own."""
    with estate.open("wsgi.test", "/socket", channel="w1") as client:
        assert ask(client, "hello") == "echo hello"
        assert ask(client, b"\x00" * 1000) == b"\x00" * 1000
        client.send("close 4002")
        assert ending(client) == (4002, "")
    wait_until(lambda: estate.seen("w1")[-1][1] == "CLOSE", "the site has the client's close", WAIT_S)
    assert [kind for _, kind in estate.seen("w1")] == ["OPEN", "TEXT", "BINARY", "TEXT", "CLOSE"]
    assert len({connection for connection, _ in estate.seen("w1")}) == 1


def test_wsgi_close_without_code(estate: Estate) -> None:
    """gripcontrol writes 0 for no code, which no client takes from the wire: Pushpin sends it."""
    with estate.open("wsgi.test", "/socket", channel="w2") as client:
        client.send("close")
        assert ending(client) == ((1000, "") if estate.server.plan.kind is GRIPPROXY else (1006, ""))


def test_wsgi_unsubscribe(estate: Estate) -> None:
    """Who has left a channel gets nothing of it; who stayed does."""
    page = ("wsgi.test", "/publish")
    with (
        estate.open("wsgi.test", "/socket", channel="w3") as leaver,
        estate.open("wsgi.test", "/socket", channel="w3") as stayer,
    ):
        for client in (leaver, stayer):
            assert published(client, estate, page, "both", channel="w3") == "both"
        leaver.send("leave w3")
        messages_until_echo(leaver, "left")
        estate.ask(*page, channel="w3", text="after")
        messages_until(stayer, "after")
        assert messages_until_echo(leaver, "end") == ["echo end"]


def messages_until_echo(client: ClientConnection, word: str) -> list[str | bytes]:
    """Have a word echoed and give what came until it."""
    client.send(word)
    return messages_until(client, f"echo {word}")


def test_wsgi_detach(estate: Estate) -> None:
    """A detached client is the proxy's alone: it gets what is published, and what it sends goes nowhere."""
    page = ("wsgi.test", "/publish")
    with estate.open("wsgi.test", "/socket", channel="w4") as client:
        assert published(client, estate, page, "before", channel="w4") == "before"
        client.send("detach")
        wait_until(lambda: estate.seen("w4")[-1][1] == "CLOSE", "the site is told of the end", WAIT_S)
        client.send("lost")
        estate.ask(*page, channel="w4", text="after")
        assert "echo lost" not in messages_until(client, "after")
        client.close()
        assert client.close_code == 1000
    assert [kind for _, kind in estate.seen("w4")] == ["OPEN", "TEXT", "CLOSE"]


def test_wsgi_control_messages(estate: Estate) -> None:
    """Keep-alives in an interval, and a message that waits until it is told to go."""
    with estate.open("wsgi.test", "/socket", channel="w5") as client:
        keep_alive = {"type": "keep-alive", "content": "tick", "timeout": 1, "mode": "interval"}
        client.send("control " + json.dumps(keep_alive))
        assert [next_message(client) for _ in range(2)] == ["tick", "tick"]
        client.send('control {"type":"keep-alive"}')
        client.send('control {"type":"send-delayed","content":"later","timeout":600}')
        client.send("not yet")
        assert "later" not in messages_until(client, "echo not yet")
        client.send('control {"type":"flush-delayed"}')
        messages_until(client, "later")
        assert ask(client, "and on") == "echo and on"


def test_wsgi_is_told_of_a_lost_client(estate: Estate) -> None:
    """A client that is cut off: the site gets a DISCONNECT."""
    with estate.open("wsgi.test", "/socket", channel="w6") as client:
        assert ask(client, "hello") == "echo hello"
        client.close_socket()
    wait_until(lambda: estate.seen("w6")[-1][1] == "DISCONNECT", "the site is told that the client is lost", WAIT_S)


def test_express_chat(estate: Estate) -> None:
    """A chat of two by serve-grip: each hears what is said under the name that the other has chosen."""
    with (
        estate.open("express.test", "/chat/blue") as anna,
        estate.open("express.test", "/chat/blue") as ben,
        estate.open("express.test", "/chat/red") as other,
    ):
        for client, name in ((anna, "anna"), (ben, "ben"), (other, "zoe")):
            assert next_message(client) == f"welcome to {'red' if client is other else 'blue'}"
            assert ask(client, f"/name {name}") == f"hello {name}"
        for client in (anna, ben, other):
            published(client, estate, ("express.test", "/say"), f"for {room_of(client)}", channel=room_of(client))
        anna.send("hi ben")
        messages_until(ben, "anna: hi ben")
        messages_until(anna, "anna: hi ben")
        ben.send("hi anna")
        messages_until(anna, "ben: hi anna")
        other.send("all alone")
        assert set(messages_until(other, "zoe: all alone")) <= {"for red", "zoe: all alone"}
        estate.ask("express.test", "/kick", channel="blue")
        for client in (anna, ben):
            assert ending(client) == (4001, "")
        other.send("still here")
        messages_until(other, "zoe: still here")


def room_of(client: ClientConnection) -> str:
    assert client.request is not None
    return client.request.path.partition("?")[0].rpartition("/")[2]


def test_express_chat_is_left(estate: Estate) -> None:
    """serve-grip answers the client's close with its code."""
    with estate.open("express.test", "/chat/left") as client:
        assert next_message(client) == "welcome to left"
        client.close(4003)
        assert client.close_code == 4003


def test_express_answers_without_websocket(estate: Estate) -> None:
    """serve-grip asks for events; without them the application says what it likes."""
    with RawClient(estate.server.http_port) as client:
        client.send(b"POST /chat/x HTTP/1.1\r\nHost: express.test\r\nContent-Length: 0\r\n\r\n")
        client.receive_until(b"not a WebSocket\n")


def test_ws_server(estate: Estate) -> None:
    """The ws package as WebSocket origin, with a message prefix of its own."""
    with estate.open("express.test", "/socket", channel="n1") as client:
        assert ask(client, "hello") == "hello"
        assert ask(client, b"\x00\xff") == b"\x00\xff"
        assert ask(client, estate.large) == estate.large
        assert published(client, estate, ("express.test", "/say"), "published", channel="n1") == "published"
        client.close(4004, "enough")
        assert (client.close_code, client.close_reason) == (4004, "enough")


def test_websockets_server(estate: Estate) -> None:
    """The websockets library as WebSocket origin, with GRIP as one of its extensions."""
    with estate.open("websockets.test", "/", channel="s1") as client:
        assert ask(client, "hello") == "hello"
        assert ask(client, "c: is not for clients") == "c: is not for clients"
        assert ask(client, estate.large.encode()) == estate.large.encode()
        client.send(["fra", "gmen", "", "ted"])
        assert next_message(client) == "fragmented"
        assert published(client, estate, ("express.test", "/say"), "published", channel="s1") == "published"
        client.send('control {"type":"detach"}')
        estate.ask("express.test", "/say", channel="s1", text="after")
        messages_until(client, "after")


def test_websockets_server_pings(estate: Estate) -> None:
    """Pings go through in both directions: the other side answers, not the proxy."""
    with estate.open("websockets.test", "/") as client:
        if estate.server.plan.kind is GRIPPROXY:  # Pushpin 1.36 loses what is in them
            assert client.ping(b"from the client").wait(10)
            assert ask(client, "ping") == "ponged"
        assert ask(client, "hello") == "hello"


def test_websockets_server_agrees_on_a_subprotocol(estate: Estate) -> None:
    """Subprotocols are between client and origin."""
    port = estate.server.http_port
    with open_websocket(port, "/", "websockets.test", subprotocols="chat.v1 chat.v0") as client:
        assert client.subprotocol == "chat.v1"


def test_websockets_server_refuses(estate: Estate) -> None:
    """What the origin answers instead of 101 is the client's answer."""
    with pytest.raises(InvalidStatus) as refused, estate.open("websockets.test", "/forbidden"):
        pass
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"not for you\n"


def test_websockets_server_closes(estate: Estate) -> None:
    """Code and reason of either side reach the other."""
    with estate.open("websockets.test", "/") as client:
        client.send("close 4005 that is all")
        assert ending(client) == (4005, "that is all")
    with estate.open("websockets.test", "/") as client:
        client.close(4006, "bye")
        assert (client.close_code, client.close_reason) == (4006, "bye")


def test_websockets_server_ends(estate: Estate) -> None:
    """An origin that ends says so, one that is killed does not; its clients come back when it does."""
    port = estate.sites.websockets_port
    for end, code in ((estate.sites.end, 1001), (estate.sites.kill, 1006)):
        with estate.open("websockets.test", "/") as client:
            assert ask(client, "hello") == "hello"
            end(port)
            assert ending(client)[0] == code
        estate.sites.restart(port)
    with estate.open("websockets.test", "/") as client:
        assert ask(client, "again") == "again"


def test_http_sites_restart_under_their_clients(estate: Estate) -> None:
    """Clients over HTTP do not notice that their site was away: what they said meanwhile is answered afterwards."""
    port = estate.sites.wsgi_port
    with ExitStack() as stack:
        clients = [stack.enter_context(estate.open("wsgi.test", "/socket", channel="w7")) for _ in range(20)]
        for number, client in enumerate(clients):
            assert ask(client, f"before {number}") == f"echo before {number}"
        estate.sites.kill(port)
        for number, client in enumerate(clients):
            client.send(f"meanwhile {number}")
        estate.server.publish({"channel": "w7", "formats": {"ws-message": {"content": "the proxy is here"}}})
        for client in clients:
            assert next_message(client) == "the proxy is here"
        estate.sites.restart(port)
        for number, client in enumerate(clients):
            assert next_message(client) == f"echo meanwhile {number}"
            assert ask(client, f"after {number}") == f"echo after {number}"


def test_http_site_restarts_politely_under_load(estate: Estate) -> None:
    """A site is restarted while its clients talk to it: none of them is lost, and every message is answered in turn."""
    if estate.server.plan.kind is PUSHPIN:
        pytest.skip("Pushpin gives up clients whose request the site's system had taken and the site had not")
    are_open, is_over = threading.Barrier(21, timeout=WAIT_S), threading.Event()

    def talk() -> int:
        """Say numbers and give how many were echoed."""
        count = 0
        with estate.open("wsgi.test", "/socket", channel="w8") as client:
            are_open.wait()
            while not is_over.is_set():
                assert ask(client, str(count)) == f"echo {count}"
                count += 1
        return count

    with ThreadPoolExecutor(max_workers=20) as pool:
        talks = [pool.submit(talk) for _ in range(20)]
        try:
            are_open.wait()
            for _ in range(2):
                estate.sites.end(estate.sites.wsgi_port)
                estate.sites.restart(estate.sites.wsgi_port)
            with estate.open("wsgi.test", "/socket", channel="w8") as client:
                assert ask(client, "is back") == "echo is back"
        finally:
            is_over.set()
        assert min(talk.result() for talk in talks) > 0
