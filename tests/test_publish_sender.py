"""GRIP URLs: where to publish and as whom. Real sockets are in tests/integration/test_publish_command.py."""

import base64

import jwt
import pytest
import zmq

from gripproxy.errors import ConfigError
from gripproxy.publish_sender import (
    CurvePair,
    HttpTarget,
    SendError,
    decode_curve,
    decode_grip_url,
    is_http,
    send_zmq,
)

NOW = 1_000_000.0


def authorization_of(url: str, authorization: str | None = None) -> str | None:
    return decode_grip_url(url, NOW, authorization).authorization


def test_url_gives_the_publish_endpoint() -> None:
    """One slash, whether or not the URL ends in one."""
    target = HttpTarget(is_https=False, host="h", port=5561, netloc="h:5561", path="/base/publish/", authorization=None)
    assert decode_grip_url("http://h:5561/base", NOW) == decode_grip_url("http://h:5561/base/", NOW) == target
    assert decode_grip_url("http://h", NOW).path == "/publish/"


def test_ports_have_defaults() -> None:
    """As everywhere on the web."""
    assert decode_grip_url("http://h", NOW).port == 80
    assert decode_grip_url("https://h", NOW).port == 443


def test_ipv6_address_loses_its_brackets_but_not_in_host() -> None:
    """The socket wants it bare, the Host header in brackets."""
    target = decode_grip_url("http://[::1]:5561", NOW)
    assert (target.host, target.netloc) == ("::1", "[::1]:5561")


def test_issuer_and_key_make_a_token() -> None:
    """What the client libraries send; an hour is long enough for one publish."""
    scheme, _, token = (
        authorization_of("http://h?iss=me&key=change-me-change-me-change-me-ab&verify-iss=x") or ""
    ).partition(" ")
    assert scheme == "Bearer"
    claims = jwt.decode(token, b"change-me-change-me-change-me-ab", algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"iss": "me", "exp": NOW + 3600}


@pytest.mark.filterwarnings("error")
def test_short_key_makes_no_noise() -> None:
    """Proxies run with the key that they were given; a warning on each publish helps nobody."""
    assert authorization_of("http://h?iss=me&key=k")


def test_base64_key_is_decoded_with_its_plus_signs() -> None:
    """A form decoder would turn + into a blank and make another key."""
    key = b"\xfb\xef\xbe" * 11
    text = base64.b64encode(key).decode()
    assert "+" in text
    _, _, token = (authorization_of(f"http://h?iss=me&key=base64:{text}") or "").partition(" ")
    assert jwt.decode(token, key, algorithms=["HS256"], options={"verify_exp": False})["iss"] == "me"


def test_key_alone_is_the_token() -> None:
    """As in the client libraries; percent-encoding is undone."""
    assert authorization_of("http://h?key=a%20b+c") == "Bearer a b+c"
    assert authorization_of("http://h?iss=me") is None


def test_user_in_the_url_is_basic_authentication() -> None:
    """Decoded, and not repeated in the Host header."""
    target = decode_grip_url("https://al%40ice:pw@h:1/x", NOW)
    assert target.authorization == "Basic " + base64.b64encode(b"al@ice:pw").decode()
    assert target.netloc == "h:1"


def test_command_line_is_stronger_than_the_url() -> None:
    """Both given: the one that was typed now."""
    assert authorization_of("https://u:p@h?key=k", "Bearer typed") == "Bearer typed"


@pytest.mark.parametrize("url", ["http://u:p@h", "http://u@h"])
def test_passwords_need_https(url: str) -> None:
    """Anyone on the way could read them."""
    with pytest.raises(SendError, match="^Authentication requires https$"):
        decode_grip_url(url, NOW)
    with pytest.raises(SendError, match="^Authentication requires https$"):
        decode_grip_url("http://h", NOW, "Bearer t")


@pytest.mark.parametrize("host", ["localhost:5561", "127.0.0.1", "[::1]:5561"])
def test_passwords_may_stay_on_this_machine(host: str) -> None:
    """Nobody is on the way; and the control port itself speaks no TLS."""
    assert authorization_of(f"http://u:p@{host}") == "Basic dTpw"
    assert authorization_of(f"http://{host}", "Bearer t") == "Bearer t"


@pytest.mark.parametrize("url", ["http:", "http://", "http://:80", "http://h:99999", "http://h:x", "http://[::1"])
def test_broken_url_is_refused(url: str) -> None:
    """With the URL in the text: it may come from the environment."""
    with pytest.raises(SendError, match="invalid URL"):
        decode_grip_url(url, NOW)


@pytest.mark.parametrize("key", ["base64:a", "base64:é"])
def test_key_that_is_not_base64_is_refused(key: str) -> None:
    """Named, not a traceback."""
    with pytest.raises(SendError, match="key"):
        decode_grip_url(f"http://h?iss=me&key={key}", NOW)


def test_specs_are_told_apart() -> None:
    """Everything but a GRIP URL is ZeroMQ's, if it is an address at all."""
    assert is_http("http://h") and is_http("https://h") and not is_http("tcp://h:1")
    with pytest.raises(SendError, match="invalid spec 'localhost:5560'"):
        send_zmq("localhost:5560", b"", 1.0)


def test_curve_keys_of_the_command_line() -> None:
    """A server without a list of clients takes any pair, so that one is made up."""
    public, secret = zmq.curve_keypair()
    assert decode_curve(public.decode(), secret.decode()) == CurvePair(public, public, secret)
    made_up = decode_curve(public.decode(), None)
    assert zmq.curve_public(made_up.secret) == made_up.public
    with pytest.raises(ConfigError, match="--curve-key: no secret key in Z85"):
        decode_curve(public.decode(), "x")
