"""Events as lines: the reference's words, and no secrets."""

from gripproxy.protocol.event_line import EventLines
from gripproxy.protocol.telemetry import HoldRecord, Outcome, PublishRecord, RequestRecord

PLAIN = EventLines(has_address=False, has_user_agent=False)
FULL = EventLines(has_address=True, has_user_agent=True)


def request(**changes: object) -> RequestRecord:
    values: dict[str, object] = {
        "at": 5.0,
        "id": "0-1f-a",
        "client_ip": "10.0.0.1",
        "method": "GET",
        "url": "http://a/b?key=5",
        "route": "",
        "target": "",
        "status": 200,
        "outcome": Outcome.ANSWERED,
        "body_bytes": 12,
        "duration_s": 0.00123,
    }
    return RequestRecord(**{**values, **changes})  # type: ignore[arg-type]


def test_request_in_the_references_words() -> None:
    """Programs that read Pushpin's logs read these; what is ours stands behind."""
    assert PLAIN.texts(request()) == ["GET http://a/b?key=*** code=200 12 id=0-1f-a time=0.0012"]
    full = request(
        route="r1",
        target="127.0.0.1:80",
        outcome=Outcome.HELD,
        is_retry=True,
        referer="http://c/?token=7",
        user_agent="Agent (1)",
        last_ids=[["room", "5"], ["b", ""]],
    )
    assert FULL.texts(full) == [
        "GET http://a/b?key=*** -> 127.0.0.1:80 from=10.0.0.1 ref=http://c/?token=*** route=r1 accept retry"
        " ua=Agent (1) #room=5 #b= id=0-1f-a time=0.0012"
    ]
    assert " error id=" in PLAIN.texts(request(outcome=Outcome.FAILED, status=0))[0]


def test_websocket_in_the_references_words() -> None:
    """Its answer is a 101, which a hold has not, and a target that is asked over HTTP has a mark."""
    opened = request(url="ws://a/b", target="b:1", status=101, body_bytes=0, outcome=Outcome.HELD, is_over_http=True)
    assert PLAIN.texts(opened) == ["GET ws://a/b -> b:1[http] code=101 0 id=0-1f-a time=0.0012"]
    values = PLAIN.values(opened)
    assert (values["target"], values["outcome"], values["is_over_http"]) == ("b:1", "held", True)
    assert "is_over_http" not in PLAIN.values(request())


def test_who_asks_is_named_only_if_that_is_wanted() -> None:
    """In both forms: addresses and programs are about people."""
    record = request(user_agent="Agent")
    assert "10.0.0.1" not in str([PLAIN.texts(record), PLAIN.values(record)])
    assert "Agent" not in str([PLAIN.texts(record), PLAIN.values(record)])
    assert FULL.values(record)["client_ip"] == "10.0.0.1"
    assert FULL.values(record)["user_agent"] == "Agent"


def test_request_as_values() -> None:
    """The names are the record's; what most requests lack is left out."""
    assert PLAIN.values(request(outcome=Outcome.FAILED, status=0)) == {
        "event": "request",
        "id": "0-1f-a",
        "method": "GET",
        "url": "http://a/b?key=***",
        "route": "",
        "target": "",
        "status": 0,
        "outcome": "failed",
        "body_bytes": 12,
        "duration_s": 0.00123,
        "is_retry": False,
    }
    values = PLAIN.values(request(referer="http://c/?sid=1", last_ids=[["a", "1"]]))
    assert (values["referer"], values["last_ids"]) == ("http://c/?sid=***", [["a", "1"]])


def test_hold_has_a_line_for_each_channel() -> None:
    """As in the reference; as JSON it is one object."""
    record = HoldRecord(5.0, "0-1f-a", "http://a/?key=1", "r", "stream", ["a", "b"], True)
    assert PLAIN.texts(record) == [
        "subscribe http://a/?key=*** channel=a retry id=0-1f-a",
        "subscribe http://a/?key=*** channel=b retry id=0-1f-a",
    ]
    assert PLAIN.values(record) == {
        "event": "hold",
        "id": "0-1f-a",
        "url": "http://a/?key=***",
        "route": "r",
        "mode": "stream",
        "channels": ["a", "b"],
        "is_retry": True,
    }


def test_publish_names_all_receivers() -> None:
    """As in the reference, with input and id behind."""
    record = PublishRecord(5.0, "room", "7", "http", 1, 2, 3)
    assert PLAIN.texts(record) == ["publish channel=room receivers=6 source=http item-id=7"]
    assert PLAIN.texts(PublishRecord(5.0, "room", None, "pull", 0, 0, 0)) == [
        "publish channel=room receivers=0 source=pull"
    ]
    assert PLAIN.values(record) == {
        "event": "publish",
        "channel": "room",
        "item_id": "7",
        "source": "http",
        "receivers": 6,
        "responses": 1,
        "streams": 2,
        "messages": 3,
    }


def test_request_of_our_own_has_no_client() -> None:
    """It is in the log as the reference has it, and a program can tell it from a client's."""
    record = request(client_ip="", is_link=True)
    assert FULL.texts(record) == ["GET http://a/b?key=*** code=200 12 id=0-1f-a time=0.0012"]
    assert FULL.values(record)["is_link"] is True
    assert "client_ip" not in FULL.values(record)
    assert "is_link" not in FULL.values(request())
