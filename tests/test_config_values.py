"""One value each: what is taken, what is refused, and that the refusal says what would be right."""

import pytest

from gripproxy.config_keys import Key, Kind
from gripproxy.config_values import Surroundings, convert, cores_count
from gripproxy.log_levels import LogLevels
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, ListenAddress, LocalAddress

PLACES = Surroundings(places={"rundir": "/r", "ipc_prefix": "p-"}, port_offset=10)


def value(kind: Kind, *elements: str, low: float = 0, high: float = 100) -> object:
    key = Key("section", "name", kind, unit="bytes", low=low, high=high)
    return convert(key, list(elements), PLACES)


@pytest.mark.parametrize(
    ("text", "is_true"),
    [("", False), ("0", False), ("False", False), ("true", True), ("no", True), ("off", True)],
)
def test_boolean_is_false_for_three_words_only(text: str, is_true: bool) -> None:
    """Files that say ``debug=no`` run with debug on, and have to here too."""
    assert value(Kind.BOOLEAN, text) is is_true


@pytest.mark.parametrize("text", ["", "x", "1x", "1.5", "-1", "101", "٣", "9" * 30])
def test_bad_integer_is_refused_with_range_and_unit(text: str) -> None:
    """Pushpin takes it for 0."""
    with pytest.raises(ValueError) as error:
        value(Kind.INTEGER, text)
    assert str(error.value) == "must be a whole number from 0 to 100 (bytes)"


def test_numbers_are_taken_up_to_their_bounds() -> None:
    """Both ends belong to the range."""
    assert [value(Kind.INTEGER, text) for text in ("0", "100", "+7")] == [0, 100, 7]
    assert value(Kind.NUMBER, "0.5", low=0.5) == 0.5
    with pytest.raises(ValueError, match=r"must be a number from 0.5 to 100 \(bytes\)"):
        value(Kind.NUMBER, "0.4", low=0.5)


def test_octal_mode() -> None:
    """Written as for chmod."""
    assert value(Kind.OCTAL, "660", high=0o777) == 0o660
    assert value(Kind.OCTAL, "") is None
    for text in ("888", "1777", "rw"):
        with pytest.raises(ValueError, match="octal file mode"):
            value(Kind.OCTAL, text, high=0o777)


def test_comma_in_a_single_value_is_refused() -> None:
    """Pushpin takes a list for nothing there."""
    with pytest.raises(ValueError, match='put it into "quotes"'):
        value(Kind.TEXT, "a", "b")


def test_places_are_replaced_in_every_element() -> None:
    """The names in braces are all there is to configure of paths."""
    assert value(Kind.TEXT_LIST, "{rundir}/x", "", "{ipc_prefix}{other}") == ("/r/x", "p-{other}")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tcp://127.0.0.1:5560", "tcp://127.0.0.1:5570"),
        ("tcp://*:5560", "tcp://*:5570"),
        ("tcp://[::1]:5560", "tcp://[::1]:5570"),
        ("ipc://{rundir}/{ipc_prefix}in", "ipc:///r/p-in"),
        ("", None),
    ],
)
def test_spec_is_interpolated_and_shifted(text: str, spec: str | None) -> None:
    """Two instances differ by prefix and offset only."""
    assert value(Kind.SPEC, text) == spec


@pytest.mark.parametrize("text", ["5560", "tcp://127.0.0.1", "tcp://h:0", "tcp://h:70000", "udp://h:1", "tcp://::1:1"])
def test_spec_of_another_form_is_refused(text: str) -> None:
    """ZeroMQ would say "Invalid argument"."""
    with pytest.raises(ValueError, match="must be tcp://ADDRESS:PORT or ipc://PATH"):
        value(Kind.SPEC_LIST, text)


def test_port_that_the_offset_lifts_too_far_is_refused() -> None:
    """It would fail at bind, with another number than the file has."""
    with pytest.raises(ValueError, match="the port is 65545, over 65535"):
        value(Kind.SPEC, "tcp://h:65535")
    with pytest.raises(ValueError, match="the port is 65545, over 65535"):
        value(Kind.PORT, "65535")


def test_port_of_no_server() -> None:
    """Empty, 0 and -1 all turn it off."""
    assert [value(Kind.PORT, text) for text in ("", "0", "-1", "5561")] == [None, None, None, 5571]
    with pytest.raises(ValueError, match="must be a port from 1 to 65535"):
        value(Kind.PORT, "65536")


def test_address_defaults_to_all() -> None:
    """As in Pushpin; the shipped file says 127.0.0.1."""
    assert value(Kind.ADDRESS, "") == "0.0.0.0"
    assert value(Kind.ADDRESS, "[::1]") == "::1"
    with pytest.raises(ValueError, match="'localhost' does not appear to be an IPv4 or IPv6 address"):
        value(Kind.ADDRESS, "localhost")


def test_listeners_are_a_list_without_repetitions() -> None:
    """The key's name says one port; its value never did."""
    addresses = (ListenAddress(port=8000), ListenAddress(port=8001))
    assert value(Kind.LISTENERS, "8000", "8001", "", "8000") == addresses
    assert value(Kind.TLS_LISTENERS, "8000", "8001") == addresses
    with pytest.raises(ValueError, match="invalid https port: x"):
        value(Kind.TLS_LISTENERS, "x")


def test_local_ports_are_paths_with_the_places_filled_in() -> None:
    """The reference's own example has them."""
    assert value(Kind.LOCAL_LISTENERS, "{rundir}/{ipc_prefix}server", "/x?mode=660") == (
        LocalAddress(path="/r/p-server"),
        LocalAddress(path="/x", mode=0o660),
    )


def test_log_settings() -> None:
    """A word that is none of theirs is a mistake in typing."""
    assert value(Kind.LOG_LEVEL, "1", "hub:3") == LogLevels(supervisor=1, worker=1, hub=3)
    assert value(Kind.LOG_LEVEL, "") == LogLevels()
    assert value(Kind.LOG_EVENTS, "hold", "", "publish", "hold") == ("hold", "publish")
    assert value(Kind.LOG_EVENTS, "") == ()
    assert value(Kind.LOG_FORMAT, "json") == "json"
    with pytest.raises(ValueError, match="may hold request, hold, publish, not 'holds'"):
        value(Kind.LOG_EVENTS, "holds")
    with pytest.raises(ValueError, match="must be text or json, not 'xml'"):
        value(Kind.LOG_FORMAT, "xml")
    with pytest.raises(ValueError, match="log level component name cannot be empty"):
        value(Kind.LOG_LEVEL, ":1")


def test_forwarded_for_rule() -> None:
    """Truncation comes first in either order."""
    rule = ForwardedForRule(truncate=0, is_append=True)
    assert (
        value(Kind.FORWARDED_FOR, "truncate:0", "append") == value(Kind.FORWARDED_FOR, "append", "truncate:0") == rule
    )
    assert value(Kind.FORWARDED_FOR, "") == ForwardedForRule()
    for element in ("truncate:x", "truncate:-1", "prepend"):
        with pytest.raises(ValueError, match="may hold truncate:N and append, not"):
            value(Kind.FORWARDED_FOR, element)


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("", ForwardedProtocol.OFF),
        ("false", ForwardedProtocol.OFF),
        ("proto-only", ForwardedProtocol.PROTO_ONLY),
        ("true", ForwardedProtocol.BOTH),
    ],
)
def test_forwarded_protocol(text: str, protocol: ForwardedProtocol) -> None:
    """Three settings in one word."""
    assert value(Kind.FORWARDED_PROTOCOL, text) is protocol


def test_other_word_for_forwarded_protocol_is_refused() -> None:
    """Pushpin takes "yes" for off."""
    with pytest.raises(ValueError, match="must be true, proto-only or false"):
        value(Kind.FORWARDED_PROTOCOL, "yes")


def test_workers_default_to_the_cores() -> None:
    """0 asks for the default too."""
    assert value(Kind.WORKERS, "") == value(Kind.WORKERS, "0") == cores_count()
    assert value(Kind.WORKERS, "7") == 7


def test_curve_key_forms() -> None:
    """A key that ZeroMQ cannot use refuses the start where it stands; files are read later."""
    key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
    assert value(Kind.CURVE_KEY, "") == ""
    assert value(Kind.CURVE_KEY, key) == key
    assert value(Kind.CURVE_KEYS, key, f"file:{__file__}") == (key, f"file:{__file__}")
    assert value(Kind.CURVE_KEYS, "") == ()
    for text in (key[1:], key[1:] + '"', "file:nowhere"):
        with pytest.raises(ValueError, match="must be a key of 40 characters|cannot read the key file"):
            value(Kind.CURVE_KEY, text)
        with pytest.raises(ValueError, match="must be a key of 40 characters|cannot read the key file"):
            value(Kind.CURVE_KEYS, text)


def test_signing_key_forms() -> None:
    """A key that cannot be read must not become another key."""
    assert value(Kind.SIGNING_KEY, "changeme") == "changeme"
    assert value(Kind.SIGNING_KEY, "base64:YQ==") == "base64:YQ=="
    assert value(Kind.SIGNING_KEY, f"file:{__file__}") == f"file:{__file__}"
    with pytest.raises(ValueError, match="is not valid base64"):
        value(Kind.SIGNING_KEY, "base64:!")
    with pytest.raises(ValueError, match="cannot read the key file ./nowhere: no such file"):
        value(Kind.SIGNING_KEY, "file:nowhere")


def test_metrics_address_forms() -> None:
    """It is not shifted by the port offset, as in Pushpin."""
    assert value(Kind.METRICS_ADDRESS, "") is None
    assert value(Kind.METRICS_ADDRESS, "127.0.0.1:9000") == "127.0.0.1:9000"
    assert value(Kind.METRICS_ADDRESS, "ipc://{rundir}/m") == "ipc:///r/m"
    with pytest.raises(ValueError, match="invalid prometheus port: nine"):
        value(Kind.METRICS_ADDRESS, "nine")


def test_text_has_no_control_characters() -> None:
    """One of them in cdn_loop would end the header, and what follows would be another one."""
    assert value(Kind.TEXT, "a b \u00e9") == "a b \u00e9"
    for text in ("a\r\nX: y", "\0"):
        with pytest.raises(ValueError, match="has a control character"):
            value(Kind.TEXT, text)


def test_networks_are_addresses_with_or_without_bits() -> None:
    """As nginx takes them for the key of this name; bits of a host in a network are a mistake."""
    assert value(Kind.NETWORKS, "127.0.0.1", "10.0.0.0/8", "::1", "unix:", "127.0.0.1/32") == (
        "127.0.0.1/32",
        "10.0.0.0/8",
        "::1/128",
        "unix:",
    )
    for text in ("10.0.0.1/8", "localhost", "10.0.0.0/33", "unix:/x"):
        with pytest.raises(ValueError, match="must be a list of ADDRESS, ADDRESS/BITS or unix: "):
            value(Kind.NETWORKS, text)
