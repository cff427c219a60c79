"""Scenarios of the Grip-* headers that open a stream: every field, and what is not one."""

from collections.abc import Sequence

from tests.conformance.holds import TEXT, close
from tests.conformance.refusals import sized
from tests.conformance.scenario import (
    Difference,
    Publish,
    Receive,
    Scenario,
    Send,
    Step,
    Subscribed,
    get,
    item,
)
from tests.integration.origin import answer

HOLD = "Grip-Hold: stream"


def opened(
    name: str,
    why: str,
    *headers: str,
    then: Sequence[Step] = (),
    host: str = "plain.test",
    marker: bytes = b"[open]\n",
    difference: Difference | None = None,
    is_framing_free: bool = False,
) -> Scenario:
    """Make the scenario of a stream that opens by these headers, and what happens on it."""
    return Scenario(
        name=f"instruct-{name}",
        why=why,
        origin={"/hold": answer("200 OK", TEXT, *headers, body=b"[open]\n")},
        steps=[Send(get("/hold", host=host)), Receive(marker), *then],
        difference=difference,
        is_framing_free=is_framing_free,
    )


def received(*names: str, first: Sequence[str] = ()) -> Sequence[Step]:
    """Publish to channels that must get nothing, then to those that must."""
    quiet = [Publish([item(name, content=f"no {name}\n")]) for name in first]
    return [
        *quiet,
        *(step for name in names for step in (Publish([item(name, content="yes\n")]), Receive(b"yes\n"))),
    ]


SCENARIOS = [
    opened("first-hold-counts", "the first of two Grip-Hold headers", HOLD, "Grip-Hold: response", "Grip-Channel: i1"),
    opened(
        "channel-empty-element",
        "a middle empty element is the channel without a name",
        HOLD,
        "Grip-Channel: i2,,i2b",
        then=[Subscribed(""), *received("")],
    ),
    opened(
        "channel-trailing-comma", "a comma at the end is no element", HOLD, "Grip-Channel: i3,", then=received("i3")
    ),
    opened(
        "channel-empty-header",
        "an empty header is no channel",
        HOLD,
        "Grip-Channel: ",
        "Grip-Channel: i4",
        then=received("i4"),
    ),
    opened(
        "channel-twice",
        "a channel named twice gets an item once",
        HOLD,
        "Grip-Channel: i5, i5, i5b",
        then=[Publish([item("i5", content="one\n"), item("i5b", content="two\n")]), Receive(b"two\n")],
    ),
    opened(
        "channel-open-quote",
        "an open quote in the value is part of the name",
        HOLD,
        'Grip-Channel: "i6',
        then=received('"i6'),
    ),
    opened(
        "channel-open-quote-in-parameter",
        "an element whose quote never closes is left out",
        HOLD,
        "Grip-Channel: i7b",
        'Grip-Channel: i7; prev-id="abc',
        then=received("i7b", first=["i7"]),
    ),
    opened(
        "channel-quoted-comma",
        "a comma in quotes separates nothing",
        HOLD,
        'Grip-Channel: i8; x="a, b\\"c, d", i8b',
        then=received("i8", first=["b"]),
    ),
    opened("channel-unicode", "a name is UTF-8", HOLD, "Grip-Channel: i9-\xc3\xa9", then=received("i9-\xe9")),
    opened(
        "channel-unknown-parameters",
        "what is not known says nothing",
        HOLD,
        "Grip-Channel: i10; x=1; Filter=skip-self; filter=no-such-filter; y",
        then=received("i10"),
    ),
    opened(
        "prev-id-quoted-empty",
        "quotes around nothing are no id",
        HOLD,
        'Grip-Channel: i11; prev-id=""',
        then=received("i11"),
    ),
    opened("prev-id-without-value", "a name alone is no id", HOLD, "Grip-Channel: i12; prev-id", then=received("i12")),
    opened(
        "prev-id-empty",
        "an empty id is an id, and an id wants a link",
        HOLD,
        "Grip-Channel: i13; prev-id=",
        host="debug.test",
        marker=b"found\n",
        is_framing_free=True,
    ),
    opened(
        "prev-id-without-link-quiet",
        "without debug the stream just ends",
        HOLD,
        "Grip-Channel: i14; prev-id=1",
        marker=b"[open]\n",
        is_framing_free=True,
    ),
    opened(
        "five-filters",
        "five filters on a channel are not too many",
        HOLD,
        "Grip-Channel: i15; " + "; ".join(["filter=skip-self"] * 5),
        then=received("i15"),
    ),
    opened(
        "six-filters",
        "a limit keeps the work per delivery small",
        HOLD,
        "Grip-Channel: i16; " + "; ".join(["filter=skip-self"] * 6),
        host="debug.test",
        marker=b"\r\n\r\n",
        difference=Difference(
            id="five-filters-a-channel",
            reference="HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: Transfer-Encoding\r\n"
            "Transfer-Encoding: chunked\r\n\r\n[open]\n",
            ours="HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\n"
            + sized("Failed to parse accept instructions: too many filters for channel 'i16'"),
        ),
    ),
    opened(
        "twenty-channels",
        "the channels behind the twentieth are dropped",
        HOLD,
        "Grip-Channel: " + ", ".join(f"i17-{number}" for number in range(21)),
        then=received("i17-19", first=["i17-20"]),
    ),
    opened(
        "unknown-grip-headers",
        "every Grip-* header is for the proxy",
        HOLD,
        "Grip-Channel: i18",
        "Grip-Foo: 1",
        "grip-bar: 2",
    ),
    opened("keep-alive-empty", "an empty header asks for nothing", HOLD, "Grip-Channel: i19", "Grip-Keep-Alive: "),
    opened(
        "keep-alive-first-counts",
        "the second header is not looked at",
        HOLD,
        "Grip-Channel: i20",
        "Grip-Keep-Alive: k\\n; format=cstring; timeout=1; mode=idle",
        "Grip-Keep-Alive: x; mode=often",
        then=[Receive(b"k\n"), close("i20")],
    ),
    opened(
        "keep-alive-interval",
        "the mode that items do not put off",
        HOLD,
        "Grip-Channel: i21",
        "Grip-Keep-Alive: k!; mode=interval; timeout=1",
        then=[Receive(b"k!"), close("i21")],
    ),
    opened(
        "keep-alive-escapes",
        "an unknown escape goes with its backslash",
        HOLD,
        "Grip-Channel: i22",
        "Grip-Keep-Alive: a\\qb\\x41\\\\\\r\\n; format=cstring; timeout=0",
        then=[Receive(b"abA\\\r\n"), close("i22")],
    ),
    opened(
        "keep-alive-base64",
        "what is no base64 is left out",
        HOLD,
        "Grip-Channel: i23",
        "Grip-Keep-Alive: a!2 s-K_; format=base64; timeout=1",
        then=[Receive(b"kk\n"), close("i23")],
    ),
    opened("set-meta-empty-header", "an empty header sets nothing", HOLD, "Grip-Channel: i24", "Grip-Set-Meta: "),
    opened("link-without-parameters", "a link that says nothing is none", HOLD, "Grip-Channel: i25", "Grip-Link: </n>"),
    opened(
        "link-other-rel",
        "a link of another kind is none",
        HOLD,
        "Grip-Channel: i26",
        "Grip-Link: </n>; rel=prev",
        "Grip-Link: </n>; rel=NEXT",
        "Grip-Link: </n>; x=next",
    ),
    opened(
        "expose-headers-all",
        "a list of all that is there",
        HOLD,
        "Grip-Channel: i27",
        "X-A: 1",
        "X-B: 2",
        "Grip-Expose-Headers: x-a,content-TYPE",
    ),
    opened(
        "expose-headers-empty",
        "an empty list exposes all",
        HOLD,
        "Grip-Channel: i28",
        "X-A: 1",
        "Grip-Expose-Headers: ",
    ),
]
