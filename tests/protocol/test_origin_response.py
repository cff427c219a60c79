"""What of an origin's response headers reaches the client."""

import pytest

from gripproxy.protocol.origin_response import connection_names, origin_response_headers


def test_order_case_and_duplicates_stay() -> None:
    """A proxy that reorders Set-Cookie or merges headers breaks applications."""
    headers = [(b"X-A", b"1"), (b"Set-Cookie", b"a"), (b"x-a", b"2"), (b"Set-Cookie", b"b")]
    assert origin_response_headers(headers, is_grip=False) == headers
    assert origin_response_headers(headers, is_grip=True) == headers


@pytest.mark.parametrize("is_grip", [False, True])
@pytest.mark.parametrize(
    "name", [b"Connection", b"Keep-Alive", b"Proxy-Connection", b"transfer-encoding", b"CONTENT-LENGTH"]
)
def test_headers_of_the_origins_connection_go(name: bytes, is_grip: bool) -> None:
    """They describe another connection than the client's; two framings would be a smuggling hole."""
    assert origin_response_headers([(name, b"close"), (b"A", b"1")], is_grip) == [(b"A", b"1")]


def test_headers_named_in_connection_go() -> None:
    """RFC 9110 section 7.6.1, wherever the Connection line stands."""
    headers = [(b"Upgrade", b"h2c"), (b"A", b"1"), (b"Connection", b"upgrade , x-hop"), (b"X-Hop", b"1")]
    assert origin_response_headers(headers, is_grip=False) == [(b"A", b"1")]
    assert connection_names(b"Close, X-Hop") == [b"close", b"x-hop"]


def test_plain_response_keeps_its_coding_and_grip_headers() -> None:
    """Without the label nobody can read a compressed body; a chained proxy downstream needs the Grip-* headers."""
    headers = [(b"Content-Encoding", b"gzip"), (b"Grip-Hold", b"stream")]
    assert origin_response_headers(headers, is_grip=False) == headers


def test_instruct_loses_its_coding_and_grip_headers() -> None:
    """Clients must not see instructions, nor a coding that published items do not have."""
    headers = [(b"Content-Encoding", b"gzip"), (b"gRIP-Anything", b"1"), (b"Gripped", b"1")]
    assert origin_response_headers(headers, is_grip=True) == [(b"Gripped", b"1")]
