"""Settings that a running server takes at SIGHUP, each seen from outside; tests/settings_twins.py has all of them."""

import dataclasses
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.deadline import wait_until
from tests.integration.origin import WAIT, ScriptedOrigin, answer
from tests.integration.ports import free_ports
from tests.integration.raw_client import RawClient, fetch
from tests.integration.server import Server, ServerPlan, post

pytestmark = pytest.mark.gripproxy_only

ITEM = json.dumps({"items": [{"channel": "c", "http-stream": {"content": "x"}}]}).encode()
HOLD = answer("200 OK", "Grip-Hold: stream", "Grip-Channel: one, two", body=b"[open]\n")
NUMBERS = itertools.count()
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover"
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


class Site:
    """A server with one worker before an origin, and what a probe needs."""

    def __init__(self, server: Server, origin: ScriptedOrigin, metrics_port: int) -> None:
        self.server = server
        self.origin = origin
        self.metrics_port = metrics_port

    def ask(self, *headers: str, target: str = "/") -> bytes:
        return fetch(self.server.http_port, target, *headers)

    def asked(self, *headers: str) -> dict[str, str]:
        """Give the headers that the origin got of a request."""
        self.ask(*headers)
        return dict(self.origin.requests[-1].headers)

    def send(self, data: bytes) -> bytes:
        """Send it on a connection of its own and give the answer, all of it."""
        with RawClient(self.server.http_port) as client:
            client.send(data)
            return client.receive_all()

    def handshake(self, *headers: str) -> bytes:
        with RawClient(self.server.http_port) as client:
            client.get("/ws", *WEBSOCKET, *headers, host="test.host")
            return client.receive_until(b"\r\n\r\n")

    def take(self, section: str, key: str, value: str) -> None:
        """Write the setting and tell the server."""
        sections = {name: dict(keys) for name, keys in self.server.plan.sections.items()}
        sections.setdefault(section, {})[key] = value
        self.server.plan = dataclasses.replace(self.server.plan, sections=sections)
        self.server.config_path.write_text(self.server.config_text())
        assert self.server.process is not None
        self.server.process.signal(signal.SIGHUP)


@pytest.fixture
def site(start_server: Callable[[ServerPlan], Server]) -> Iterator[Site]:
    origin = ScriptedOrigin()
    origin.play({"/": answer(body=b"origin"), "/slow": [WAIT, answer(body=b"late")], "/hold": HOLD})
    origin.start()
    (metrics_port,) = free_ports(1)
    sections = {"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"}}
    routes = ["test.host test", f"* 127.0.0.1:{origin.port}"]
    yield Site(start_server(ServerPlan(workers=1, routes=routes, sections=sections)), origin, metrics_port)
    origin.stop()


def is_closed_when_idle(site: Site) -> bool:
    with RawClient(site.server.http_port) as client:
        client.poll(0.5)
        return client.is_ended


def is_slow_origin_given_up(site: Site) -> bool:
    with RawClient(site.server.http_port) as client:
        client.get("/slow", "Connection: close")
        client.poll(0.7)
        return b" 504 " in client.received or b" 502 " in client.received


def is_second_channel_ignored(site: Site) -> bool:
    with RawClient(site.server.http_port) as client:
        client.get("/hold", version="1.0")
        client.receive_until(b"[open]\n")
        site.server.publish_stream("two", "second\n")
        site.server.publish_stream("one", "first\n")
        return b"second" not in client.receive_until(b"first\n")


def last_line(site: Site) -> str:
    """Give the log's line about a request that is made now, in whatever form."""
    mark = f"/mark{next(NUMBERS)}."

    def lines() -> list[str]:
        return [line for line in site.server.output().splitlines() if mark in line]

    site.ask("User-Agent: probe", target=mark)
    wait_until(lambda: len(lines()) == 1, "the request is logged")
    return lines()[0]


# Setting, value, and what is so with it and not before.
TAKEN: list[tuple[str, str, str, Callable[[Site], bool]]] = [
    ("proxy", "cdn_loop", "edge", lambda site: site.asked().get("CDN-Loop") == "edge"),
    ("proxy", "x_forwarded_for", "append", lambda site: site.asked().get("X-Forwarded-For") == "127.0.0.1"),
    ("proxy", "sig_key", "", lambda site: "Grip-Sig" not in site.asked()),
    (
        *("proxy", "accept_x_forwarded_protocol", "true"),
        lambda site: site.asked("X-Forwarded-Proto: https").get("X-Forwarded-Proto") == "https",
    ),
    (
        *("proxy", "auto_cross_origin", "true"),
        lambda site: b"Access-Control-Allow-Origin: http://a" in site.ask("Origin: http://a"),
    ),
    ("proxy", "origin_timeout", "0.2", is_slow_origin_given_up),
    ("proxy", "log_user_agent", "true", lambda site: "probe" in last_line(site)),
    (
        *("runner", "client_max_body_size", "5"),
        lambda site: (
            b" 413 "
            in site.send(b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 9\r\n\r\n123456789")[:20]
        ),
    ),
    ("runner", "client_buffer_size", "600", lambda site: b" 431 " in site.ask("X: " + "x" * 900)),
    ("runner", "allow_compression", "true", lambda site: b"permessage-deflate" in site.handshake(DEFLATE)),
    ("runner", "keepalive_timeout", "0.1", is_closed_when_idle),
    ("runner", "log_format", "json", lambda site: last_line(site).startswith("{")),
    ("handler", "connection_subscription_max", "1", is_second_channel_ignored),
    ("handler", "push_in_http_max_body_size", "9", lambda site: post(site.server.control_port, ITEM)[0] in (400, 413)),
    ("handler", "push_in_http_key", "secret", lambda site: post(site.server.control_port, b"{}")[0] == 401),
    ("handler", "prometheus_prefix", "px_", lambda site: b"\npx_gripproxy_" in fetch(site.metrics_port, "/metrics")),
]


def test_settings_take_effect_one_after_the_other(site: Site) -> None:
    """No process is started anew for any of them, and a stream that is held through all of it gets its items."""
    site_pids = site.server.child_pids("gripproxy")
    with RawClient(site.server.http_port) as stream:
        stream.get("/stream", host="test.host", version="1.0")
        stream.receive_until(b"[stream opened]\n")
        site.server.publish_stream("test", "before\n")
        for section, key, value, is_so in TAKEN:
            assert not is_so(site), f"{key} has an effect before it is set"
            site.take(section, key, value)
            wait_until(partial(is_so, site), f"{key}={value} takes effect")
            assert f"{key} (" in site.server.output()
        site.take("handler", "push_in_http_key", "")
        site.take("handler", "push_in_http_max_body_size", "1000000")
        wait_until(lambda: post(site.server.control_port, ITEM)[0] == 200, "publishers need no key any more")
        site.server.publish_stream("test", "after\n")
        stream.receive_until(b"before\nafter\n")
    assert site.server.child_pids("gripproxy") == site_pids


def test_routes_file_of_another_name_is_read_and_watched(site: Site) -> None:
    """The file that the configuration names now, not the one that it named at the start."""
    other = Path(site.server.directory, "other")
    other.write_text("* test\n")
    site.take("proxy", "routesfile", "other")
    wait_until(lambda: b"test handler" in site.ask(), "the other file's route is followed")
    other.write_text(f"* 127.0.0.1:{site.origin.port}\n")
    wait_until(lambda: site.ask().endswith(b"origin"), "its change is seen")


def test_what_needs_a_restart_is_said_and_left_alone(site: Site) -> None:
    """Also by a worker that is forked later."""
    (port,) = free_ports(1)
    site.take("runner", "workers", "2")
    text = "settings that stay until a restart or `gripproxy upgrade`: workers (1 -> 2)"
    wait_until(lambda: text in site.server.output(), "it is said")
    assert len(site.server.child_pids("gripproxy: worker")) == 1
    site.take("handler", "push_in_http_port", str(port))
    wait_until(lambda: f"-> {port})" in site.server.output(), "it is said")
    (hub,) = site.server.child_pids("gripproxy: hub")
    os.kill(hub, signal.SIGKILL)
    wait_until(lambda: "hub is ready again" in site.server.output(), "the hub is back")
    wait_until(lambda: post(site.server.control_port, ITEM)[0] == 200, "publishers are served where they were")
