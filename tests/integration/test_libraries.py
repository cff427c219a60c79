"""Sites with unmodified GRIP libraries behind gripproxy, and behind Pushpin to show that the tests ask for no more."""

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from tests.integration.deadline import wait_until
from tests.integration.raw_client import RawClient
from tests.integration.server import GRIPPROXY, PUSHPIN, Server
from tests.integration.sites.running import Sites, sites_behind

ID_LINE = re.compile(rb"^id: (.*)$", re.MULTILINE)


@dataclass(slots=True)
class Estate:
    """A proxy with the sites behind it, each by its own host."""

    server: Server
    sites: Sites

    def ask(self, host: str, path: str, **query: str) -> bytes:
        """Give the body of an answer."""
        return body_of(self.server.http_port, f"{path}?{urlencode(query)}", host)

    def hold(self, host: str, path: str, *headers: str, **query: str) -> RawClient:
        """Ask for something that is held."""
        client = RawClient(self.server.http_port)
        client.get(f"{path}?{urlencode(query)}", *headers, host=host)
        return client


def body_of(port: int, target: str, host: str = "localhost") -> bytes:
    """Ask and give the body, taken out of its framing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", target, headers={"Host": host})
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return body
    finally:
        connection.close()


def routes_to(sites: Sites) -> list[str]:
    return [
        f"django.test 127.0.0.1:{sites.django_port}",
        f"wsgi.test 127.0.0.1:{sites.wsgi_port}",
        f"express.test 127.0.0.1:{sites.express_port}",
    ]


@pytest.fixture(scope="module", params=[GRIPPROXY, PUSHPIN], ids=lambda kind: kind.program)
def estate(request: pytest.FixtureRequest) -> Iterator[Estate]:
    """All sites behind one server."""
    with sites_behind(request.param, routes_to) as (server, sites):
        yield Estate(server, sites)


def published(client: RawClient, estate: Estate, host: str, text: str, **query: str) -> bytes:
    """Publish until the client has it: a hold is in place some time after its origin was asked."""
    marker = text.encode()

    def is_there() -> bool:
        estate.ask(host, "/publish", text=text, **query)
        client.poll(0.3)
        return marker in client.received

    wait_until(is_there, f"{text!r} published to {host}")
    return client.received


def event_ids(client: RawClient) -> list[bytes]:
    """Give the ids of the events that have come."""
    return ID_LINE.findall(client.received)


def test_django_knows_the_proxy(estate: Estate) -> None:
    """django-grip takes our signature, and reads what we say that we can."""
    told = json.loads(estate.ask("django.test", "/hello"))
    assert told["is_proxied"] is True
    assert {"status", "link:next", "filter:build-id", "filter:skip-users"} <= set(told["features"])
    assert json.loads(body_of(estate.sites.django_port, "/hello"))["is_proxied"] is False


def test_django_poll(estate: Estate) -> None:
    """A long-poll by django-grip is answered by what django-grip publishes."""
    with estate.hold("django.test", "/poll", channel="dp") as client:
        received = published(client, estate, "django.test", "polled", channel="dp")
    assert b"X-Id: -" in received


def test_django_poll_that_comes_late(estate: Estate) -> None:
    """A poll that names the id it has seen is answered by the origin if there is a newer one: it is asked again."""
    with estate.hold("django.test", "/poll", channel="dl") as client:
        published(client, estate, "django.test", "first", channel="dl")
    estate.ask("django.test", "/publish", channel="dl", text="second", id="2", prev="1")
    with estate.hold("django.test", "/poll", channel="dl", after="1") as client:
        client.receive_until(b"missed after 1\n")


def test_django_stream_with_keep_alive(estate: Estate) -> None:
    """A stream by django-grip, with its keep-alive between the items."""
    with estate.hold("django.test", "/stream", channel="ds") as client:
        client.receive_until(b"k%\n\n")
        published(client, estate, "django.test", "streamed", channel="ds")


def test_django_events_have_their_own_ids(estate: Estate) -> None:
    """The id that a browser will come back with is that of the event that it got last."""
    with estate.hold("django.test", "/events/", channel="time") as client:
        client.receive_until(b"stream-open")
        for number, text in enumerate(["one", "100% two", "three"], 1):
            estate.ask("django.test", "/send", channel="time", text=text)
            client.receive_until(b"id: ", count=number)
            client.receive_until(text.encode())
        ids = event_ids(client)
    first = int(ids[0].removeprefix(b"time:"))
    assert ids == [b"time:%d" % (first + number) for number in range(3)]
    assert b'{"text": "100% two"}' in client.received


def test_django_events_after_a_reconnect(estate: Estate) -> None:
    """A browser that comes back with Last-Event-ID gets what it missed, once and in order, then what comes."""
    with estate.hold("django.test", "/events/", channel="again") as client:
        client.receive_until(b"stream-open")
        estate.ask("django.test", "/send", channel="again", text="seen")
        client.receive_until(b"seen")
        last_id = event_ids(client)[-1].decode()
    for text in ("missed-1", "missed-2"):
        estate.ask("django.test", "/send", channel="again", text=text)
    with estate.hold("django.test", "/events/", f"Last-Event-ID: {last_id}", channel="again") as client:
        client.receive_until(b"missed-2")
        estate.ask("django.test", "/send", channel="again", text="live")
        client.receive_until(b"live")
        texts = re.findall(rb'"text": "([^"]+)"', client.received)
    assert texts == [b"missed-1", b"missed-2", b"live"]
    assert len(set(event_ids(client))) == 3


def test_django_events_published_around_the_hold(estate: Estate) -> None:
    """Events sent while clients connect are told once each: by the hold, or by the link that is asked for them."""
    clients = []
    for number in range(6):
        estate.ask("django.test", "/send", channel="busy", text=f"e{number}")
        clients.append(estate.hold("django.test", "/events/", "Last-Event-ID: busy:1", channel="busy"))
    estate.ask("django.test", "/send", channel="busy", text="e6")
    for client in clients:
        client.receive_until(b'"e6"')
        texts = re.findall(rb'"text": "([^"]+)"', client.received)
        assert texts == [b"e%d" % number for number in range(1, 7)]
        client.close()


def test_django_events_without_storage(estate: Estate) -> None:
    """A channel that keeps nothing has no ids; its events say that they want no filter."""
    with estate.hold("django.test", "/events/", channel="unstored") as client:
        client.receive_until(b"stream-open")
        estate.ask("django.test", "/send", channel="unstored", text="skipped", skip="anonymous")
        estate.ask("django.test", "/send", channel="unstored", text="100% plain")
        client.receive_until(b"100% plain")
    assert event_ids(client) == []
    assert b"skipped" not in client.received


def test_django_kick(estate: Estate) -> None:
    """Who loses the right to a channel is told so and thrown out; who holds another channel stays."""
    with (
        estate.hold("django.test", "/events/", channel="secret") as client,
        estate.hold("django.test", "/events/", channel="open") as other,
    ):
        client.receive_until(b"stream-open")
        other.receive_until(b"stream-open")
        estate.ask("django.test", "/forbid", channel="secret")
        client.receive_until(b"0\r\n\r\n")
        assert b"event: stream-error\nid: error\n" in client.received
        estate.ask("django.test", "/send", channel="open", text="still here")
        other.receive_until(b"still here")
    assert b"stream-error" not in other.received


def test_wsgi_site_checks_the_signature(estate: Estate) -> None:
    """gripcontrol takes a signature made with its key, and no other."""
    assert estate.ask("wsgi.test", "/hello") == b"signed: True, forged: False\n"


def test_wsgi_poll_by_json(estate: Estate) -> None:
    """A long-poll asked for in a body, answered with a status of the publisher's."""
    with estate.hold("wsgi.test", "/poll", channel="wp") as client:
        received = published(client, estate, "wsgi.test", "polled", channel="wp")
    assert received.startswith(b"HTTP/1.1 203 ")


def test_wsgi_stream(estate: Estate) -> None:
    """A stream asked for in headers."""
    with estate.hold("wsgi.test", "/stream", channel="ws") as client:
        client.receive_until(b"open\n")
        published(client, estate, "wsgi.test", "streamed", channel="ws")


def test_wsgi_link_tells_what_was_missed(estate: Estate) -> None:
    """An item that does not follow makes the proxy ask the link, and the next one that follows is sent."""
    with estate.hold("wsgi.test", "/linked", channel="wl") as client:
        client.receive_until(b"open\n")
        estate.ask("wsgi.test", "/publish", channel="wl", text="gap", id="7", prev="6")
        client.receive_until(b"missed after wl; last-id=5\n")
        estate.ask("wsgi.test", "/publish", channel="wl", text="next", id="8", prev="7")
        client.receive_until(b"next\n")
    assert b"gap" not in client.received


def test_express_knows_the_proxy(estate: Estate) -> None:
    """serve-grip takes our signature."""
    assert json.loads(estate.ask("express.test", "/hello")) == {"isProxied": True, "isSigned": True}


def test_express_poll(estate: Estate) -> None:
    """A long-poll by serve-grip is answered by its publisher, which spells its status as text."""
    with estate.hold("express.test", "/poll", channel="xp") as client:
        published(client, estate, "express.test", "polled", channel="xp")


def test_express_events(estate: Estate) -> None:
    """Server-sent events by serve-grip, with its keep-alive."""
    with estate.hold("express.test", "/events", channel="xe") as client:
        client.receive_until(b"event: open")
        client.receive_until(b":\n\n")
        published(client, estate, "express.test", "streamed", channel="xe")
