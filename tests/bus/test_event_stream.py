"""``/events``: who is told what, in which form, and how much of it."""

import json

import pytest

from gripproxy.bus import event_stream
from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.control_stream import ControlStream
from gripproxy.bus.event_stream import EVENTS_PER_S, LISTENERS_MAX_COUNT, EventStream
from gripproxy.bus.watches import Watches
from gripproxy.protocol.event_line import EventLines
from gripproxy.protocol.telemetry import HoldRecord, Outcome, PublishRecord, RequestRecord
from gripproxy.scoreboard import Field, Watch
from tests.bus.bench import BusBench

REQUEST = RequestRecord(1.5, "0-7-1", "::1", "GET", "/a\x1b[2J", "shop", "origin:80", 200, Outcome.ANSWERED, 3, 0.25)
HOLD = HoldRecord(2.0, "0-7-1", "/a", "shop", "stream", ["news"])
PUBLISH = PublishRecord(3.0, "news", "i1", "http", 0, 2, 0)


class Transport:
    """What a stream needs of asyncio's transport, joined."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def set_write_buffer_limits(self, high: int) -> None:
        """Never full."""


class Site:
    """A stream of events and its watch bits."""

    def __init__(self, bench: BusBench) -> None:
        self._row = bench.scoreboard.row(0)
        lines = EventLines(has_address=False, has_user_agent=False)
        self.events = EventStream(bench.loop, Watches(self._row), lines)
        bench.opened.callback(self.events.close)

    @property
    def watched(self) -> Watch:
        return Watch(self._row[Field.WATCHED])

    def listen(self, target: bytes = b"/events", accept: bytes | None = None) -> tuple[ControlStream, Transport]:
        response = self.events.respond(ControlRequest(b"GET", target, accept, b""))
        assert isinstance(response, ControlStream)
        transport = Transport()
        response.attach(transport, is_chunked=False)  # type: ignore[arg-type]
        return response, transport


@pytest.fixture
def site(bench: BusBench) -> Site:
    return Site(bench)


def test_lines_are_json_unless_something_else_is_accepted(site: Site) -> None:
    """`curl` accepts anything, and a script reads JSON."""
    _, transport = site.listen(accept=b"*/*")
    for event in (REQUEST, HOLD, PUBLISH):
        site.events.note(event)
    request, hold, publish = map(json.loads, transport.written.splitlines())
    assert request["event"] == "request"
    assert request["time"] == "1970-01-01T00:00:01.500Z"
    assert request["status"] == 200
    assert (hold["event"], hold["channels"]) == ("hold", ["news"])
    assert (publish["event"], publish["receivers"]) == ("publish", 2)


def test_server_sent_events_are_named_by_their_kind(site: Site) -> None:
    """What an `EventSource` reads."""
    _, transport = site.listen(accept=b"text/event-stream")
    site.events.note(PUBLISH)
    name, data = transport.written.removesuffix(b"\n\n").split(b"\n")
    assert name == b"event: publish"
    assert json.loads(data.removeprefix(b"data: "))["channel"] == "news"


def test_text_is_worded_as_the_log_is_and_moves_no_cursor(site: Site) -> None:
    """`gripproxy tail` writes it to a terminal as it comes, and clients choose their URLs."""
    _, transport = site.listen(accept=b"text/plain")
    site.events.note(REQUEST)
    site.events.note(HOLD)
    lines = transport.written.decode().splitlines()
    assert lines[0].endswith(r" GET /a\x1b[2J -> origin:80 route=shop code=200 3 id=0-7-1 time=0.2500")
    assert lines[1].endswith(" subscribe /a channel=news id=0-7-1")


def test_workers_tell_only_while_somebody_listens(site: Site) -> None:
    """And only what the listeners there are can see."""
    assert site.watched == Watch(0)
    of_route, _ = site.listen(b"/events?route=shop")
    assert site.watched == Watch.EVENTS
    publishes, _ = site.listen(b"/events?kind=publish")
    assert site.watched == Watch.EVENTS | Watch.MESSAGES
    of_route.on_gone()
    assert site.watched == Watch.MESSAGES
    publishes.on_gone()
    assert site.watched == Watch(0)


def test_each_listener_has_a_filter_of_his_own(site: Site) -> None:
    """Two terminals follow two channels."""
    _, news = site.listen(b"/events?channel=news")
    _, other = site.listen(b"/events?channel=other")
    site.events.note(PUBLISH)
    assert b"news" in news.written
    assert other.written == b""


def test_flood_is_cut_and_counted(site: Site, bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads a hundred thousand lines a second, and the hub has other things to do than to write them."""
    monkeypatch.setattr(event_stream, "SECOND_S", 0.05)
    _, transport = site.listen()
    for _ in range(EVENTS_PER_S + 7):
        site.events.note(PUBLISH)
    assert transport.written.count(b"\n") == EVENTS_PER_S
    bench.run_until(lambda: transport.written.count(b"\n") > EVENTS_PER_S)
    assert json.loads(transport.written.splitlines()[-1]) == {"event": "lost", "count": 7}
    site.events.note(PUBLISH)
    assert transport.written.count(b"\n") == EVENTS_PER_S + 2


def test_silent_stream_says_that_it_is_there(site: Site, bench: BusBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what lies between drops it, and nobody would know."""
    monkeypatch.setattr(event_stream, "SECOND_S", 0.05)
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.1)
    _, lines = site.listen()
    _, sse = site.listen(accept=b"text/event-stream")
    bench.run_until(lambda: b"\n" in lines.written and b": still here\n\n" in sse.written)
    assert set(lines.written) == {ord("\n")}


def test_so_many_may_listen_and_one_who_leaves_makes_room(site: Site) -> None:
    """Each of them costs the hub time."""
    streams = [site.listen()[0] for _ in range(LISTENERS_MAX_COUNT)]
    refused = site.events.respond(ControlRequest(b"GET", b"/events", None, b""))
    assert isinstance(refused, ControlAnswer)
    assert refused.status == 503
    streams[0].on_gone()
    site.listen()


def test_head_begins_no_stream(site: Site) -> None:
    """Nobody would ever end it."""
    answer = site.events.respond(ControlRequest(b"HEAD", b"/events", b"text/plain", b""))
    assert isinstance(answer, ControlAnswer)
    assert answer.content_type == b"text/plain"
    assert site.watched == Watch(0)


def test_hub_that_stops_ends_the_streams(site: Site) -> None:
    """In order, so that listeners know that it was not the network."""
    _, transport = site.listen()
    site.events.close()
    assert transport.is_closed
