"""The header form of an instruct, rule by rule, with Pushpin's error texts."""

import re

import pytest

from gripproxy.errors import OriginError
from gripproxy.protocol.instruct import ChannelInstruct, HoldMode, Instruct, KeepAlive, NextLink, decode_instruct


def decoded(*lines: str) -> Instruct:
    """Decode a 200 response with these header lines, written as on the wire."""
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name.encode(), value.strip().encode()))
    return decode_instruct(200, b"OK", headers, b"body")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Grip-Hold: Stream", "Grip-Hold must be set to either 'response' or 'stream' (value: 'Stream')"),
        ("Grip-Hold:", "Grip-Hold must be set to either 'response' or 'stream' (value: '')"),
        ("Grip-Hold: stream; a=b", "Grip-Hold must be set to either 'response' or 'stream' (value: 'stream; a=b')"),
        ("Grip-Channel: c" + ";filter=f" * 6, "too many filters for channel 'c'"),
        ("Grip-Timeout: 5.5", "failed to parse Grip-Timeout (value: '5.5')"),
        ("Grip-Timeout:", "failed to parse Grip-Timeout (value: '')"),
        ("Grip-Timeout: -1", "Grip-Timeout has invalid value (value: '-1')"),
        ("Grip-Keep-Alive: ; timeout=1", "Grip-Keep-Alive cannot be empty (value: '; timeout=1')"),
        ("Grip-Keep-Alive: x; mode=fast; timeout=y", "no such Grip-Keep-Alive mode 'fast'"),
        ("Grip-Keep-Alive: x; timeout=y", "failed to parse Grip-Keep-Alive timeout value (value: 'y')"),
        ("Grip-Keep-Alive: x; timeout", "failed to parse Grip-Keep-Alive timeout value (value: '')"),
        ("Grip-Keep-Alive: x; timeout=-1", "Grip-Keep-Alive timeout has invalid value (value: '-1')"),
        ("Grip-Keep-Alive: x; format=hex", "no such Grip-Keep-Alive format 'hex'"),
        (
            "Grip-Keep-Alive: \\x4; format=cstring",
            r"failed to parse Grip-Keep-Alive cstring format (value: '\\x4')",
        ),
        ("Grip-Keep-Alive: \\q; format=cstring", r"failed to parse Grip-Keep-Alive cstring format (value: '\\q')"),
        ("Grip-Set-Meta: a=b,,c=d", "Grip-Set-Meta cannot be empty (value: 'a=b,,c=d')"),
        ("Grip-Status: x", "Grip-Status contains invalid status code (value: 'x')"),
        ("Grip-Status: 1000 Much", "Grip-Status contains invalid status code (value: '1000 Much')"),
        ("Grip-Status: -1", "Grip-Status contains invalid status code (value: '-1')"),
        ("Grip-Link: /n; rel=next", "failed to parse Grip-Link value (value: '/n')"),
        ("Grip-Link: <>; rel=other", "failed to parse Grip-Link value (value: '<>')"),
        ("Grip-Link: </n?a=1,2>; rel=next", "failed to parse Grip-Link value (value: '2>')"),
        ("Grip-Link: </n?a=1;b>; rel=next", "failed to parse Grip-Link value (value: '</n?a=1')"),
        ("Grip-Link: <http://[/>; rel=next", "Grip-Link contains invalid link (value: 'http://[/')"),
        ("Grip-Link: <http://h:x/>; rel=next", "Grip-Link contains invalid link (value: 'http://h:x/')"),
        ("Grip-Link: <http://h:0/>; rel=next", "Grip-Link contains invalid link (value: 'http://h:0/')"),
        ("Grip-Link: </n>; rel=next; timeout=1s", "failed to parse Grip-Link timeout value (value: '1s')"),
        ("Grip-Link: </n>; rel=next; timeout=-1", "Grip-Link timeout has invalid value (value: '-1')"),
    ],
)
def test_mistakes_are_told_in_pushpins_words(line: str, message: str) -> None:
    """Operators search for these texts; the value behind them shows what to repair."""
    with pytest.raises(OriginError, match="^" + re.escape(message) + "$"):
        decoded(line)


def test_hold_modes() -> None:
    """The two words of GRIP; only the first line counts."""
    assert decoded("Grip-Hold: response", "Grip-Hold: nonsense").hold is HoldMode.RESPONSE
    assert decoded("grip-hold: stream").hold is HoldMode.STREAM


def test_channel_list() -> None:
    """The worked example of the protocol description."""
    line = 'Grip-Channel: news; prev-id=41; filter=skip-self, alerts;filter=require-sub;filter="build-id"'
    assert decoded(line).channels == [
        ChannelInstruct("news", "41", ("skip-self",)),
        ChannelInstruct("alerts", None, ("require-sub", "build-id")),
    ]


def test_channels_of_several_lines_add_up_and_the_last_of_a_name_wins() -> None:
    """Libraries send one line per channel or one for all."""
    instruct = decoded("Grip-Channel: a;prev-id=1", "Grip-Channel: b, a;prev-id=2")
    assert instruct.channels == [ChannelInstruct("a", "2"), ChannelInstruct("b")]


@pytest.mark.parametrize(
    ("params", "prev_id"),
    [("; prev-id=", ""), ('; prev-id=""', None), ("; prev-id", None), ("; Prev-ID=x; prev-id=y", "x"), ("; a=b", None)],
)
def test_prev_id_forms(params: str, prev_id: str | None) -> None:
    """An empty id turns tracking on, a missing one does not."""
    assert decoded("Grip-Channel: c" + params).channels == [ChannelInstruct("c", prev_id)]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", []),
        (";prev-id=1", [""]),
        ("a,,b", ["a", "", "b"]),
        ('x; prev-id="abc', []),
        ('"abc', ['"abc']),
        ("a,b,", ["a", "b"]),
        ("c;FILTER=x", ["c"]),
    ],
)
def test_channels_without_a_name_or_with_a_broken_quote(value: str, names: list[str]) -> None:
    """An empty name is the channel that is called like the route's prefix; a broken element is no channel."""
    channels = decoded("Grip-Channel: " + value).channels
    assert [channel.name for channel in channels] == names
    assert not any(channel.filters for channel in channels)


@pytest.mark.parametrize(("text", "timeout_s"), [("0", 5), ("1", 5), ("5", 5), ("6", 6), ("+20", 20)])
def test_hold_timeout_is_at_least_five_seconds(text: str, timeout_s: int) -> None:
    """0 means neither forever nor at once."""
    assert decoded("Grip-Timeout: " + text).timeout_s == timeout_s


def test_exposed_headers_are_the_only_ones_left() -> None:
    """Names compare without case over all lines; Content-Type goes too unless it is named."""
    instruct = decoded("Content-Type: t", "X-A: 1", "X-B: 2", "x-a: 3", "Grip-Expose-Headers: x-A", "X-C: 4")
    assert instruct.headers == [(b"X-A", b"1"), (b"x-a", b"3")]
    assert decoded("X-A: 1", "Grip-Expose-Headers:").headers == [(b"X-A", b"1")]


@pytest.mark.parametrize(
    ("value", "keep_alive"),
    [
        ("", None),
        ("\\n", KeepAlive(b"\\n", 55, False)),
        ("\\n;format=raw;mode=idle", KeepAlive(b"\\n", 55, False)),
        ("a;Timeout=0", KeepAlive(b"a", 1, False)),
        (":\\n\\n; format=cstring; timeout=20; mode=interval", KeepAlive(b":\n\n", 20, True)),
        ("CgA=; format=base64", KeepAlive(b"\n\0", 55, False)),
        ("!; format=base64", None),
        ('a;timeout="1', None),
    ],
)
def test_keep_alive_forms(value: str, keep_alive: KeepAlive | None) -> None:
    """Empty content is no keep-alive: as a chunk it would end the stream."""
    assert decoded("Grip-Keep-Alive: " + value).keep_alive == keep_alive


def test_meta_takes_the_first_pair_of_each_element() -> None:
    """As django-grip writes it: k="v", k2="v2"."""
    instruct = decoded('Grip-Set-Meta: k="v,w", k2="v2";x=y, k3', "Grip-Set-Meta: k2=new", 'Grip-Set-Meta: k4="x')
    assert instruct.meta == {"k": "v,w", "k2": "new", "k3": ""}
    assert decoded("Grip-Set-Meta:").meta == decoded("Grip-Set-Meta: ;").meta == {}


@pytest.mark.parametrize(
    ("value", "status", "reason"),
    [
        ("404", 404, b"Not Found"),
        ("404 Gone Fishing", 404, b"Gone Fishing"),
        ("+201", 201, b"Created"),
        ("99 Foo", 99, b"Foo"),
        ("999", 999, b"Undefined Reason"),
    ],
)
def test_status_replaces_code_and_reason(value: str, status: int, reason: bytes) -> None:
    """Origins behind servers that mangle 304 and 204 use it."""
    instruct = decoded("Grip-Status: " + value)
    assert (instruct.status, instruct.reason) == (status, reason)


@pytest.mark.parametrize(
    ("value", "next_link", "gone_link"),
    [
        ("</n>; rel=next", NextLink("/n", 120), None),
        ("</n>; rel=next; timeout=0", NextLink("/n", 0), None),
        ('<https://h:8443/n?a=%2C>; rel="next"', NextLink("https://h:8443/n?a=%2C", 120), None),
        ("</a>;rel=next, </b>;rel=next;timeout=3, </c>;rel=gone", NextLink("/b", 3), "/c"),
        ("</é>; rel=next", NextLink("/%C3%A9", 120), None),
        ("</a b\t|>; rel=next", NextLink("/a%20b%09%7C", 120), None),
        ("</n>", None, None),
        ("no link", None, None),
        ("</n>; rel=Next", None, None),
        ("</n>; title=x", None, None),
        ("", None, None),
    ],
)
def test_links(value: str, next_link: NextLink | None, gone_link: str | None) -> None:
    """Links without parameters are skipped before they are looked at, as in Pushpin."""
    instruct = decoded("Grip-Link: " + value)
    assert (instruct.next_link, instruct.gone_link) == (next_link, gone_link)


def test_text_that_is_not_utf8_is_refused() -> None:
    """Guessing would subscribe the client to a channel that nobody publishes to."""
    with pytest.raises(OriginError, match="^Grip-Channel is not UTF-8 "):
        decode_instruct(200, b"OK", [(b"Grip-Channel", b"caf\xe9")], b"")
