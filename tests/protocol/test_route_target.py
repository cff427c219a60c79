"""The forms of a target, and what else a line can say of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.route import decode_route
from gripproxy.protocol.route_line import RouteLineError, split_route_line
from gripproxy.protocol.route_target import Target, decode_target, target_remarks


def target(text: str) -> Target:
    return decode_target(split_route_line(text)[0])


def test_properties_are_read() -> None:
    """``ssl=no`` means on: here it is a flag."""
    text = (
        "o:443,ssl=no,insecure,trust_connect_host,host=h:1,sub=a,sub=,sub=b,over_http,one_event,untrusted,"
        "client_cert=c.pem,client_key=k.pem,ipc_file_mode=0770"
    )
    assert target(text) == Target(
        host="o",
        port=443,
        is_ssl=True,
        insecure=True,
        trust_connect_host=True,
        untrusted=True,
        host_header="h:1",
        subs=("b", "a"),
        over_http=True,
        one_event=True,
        client_cert="c.pem",
        client_key="k.pem",
        ipc_file_mode=0o770,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1", Target(host="a", port=1)),
        ("[::1]:2", Target(host="::1", port=2)),
        ("test", Target(is_test=True)),
        ("unix:/run/app.sock", Target(unix_path="/run/app.sock")),
        ('"unix:/a b"', Target(unix_path="/a b")),
        ("unix:80", Target(host="unix", port=80)),
        ("zhttp/tcp://127.0.0.1:10000", Target(zhttp_spec="tcp://127.0.0.1:10000")),
        ("zhttp/tcp://[::1]:65533", Target(zhttp_spec="tcp://[::1]:65533")),
        ("zhttpreq/ipc:///run/x", Target(zhttp_spec="ipc:///run/x", is_zhttpreq=True)),
        ("zhttpreq/tcp://*:65535", Target(zhttp_spec="tcp://*:65535", is_zhttpreq=True)),
    ],
)
def test_forms(text: str, expected: Target) -> None:
    """Each is told from the others, and its label is what the file says."""
    assert target(text) == expected
    assert expected.label == text.strip('"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "target bad format: 'localhost' is not HOST:PORT"),
        (":80", "target bad format: ':80' is not HOST:PORT"),
        ('"",ssl', "target bad format: '' is not HOST:PORT"),
        ("localhost:0", "target invalid port: 'localhost:0' is not HOST:PORT with a port from 1 to 65535"),
        ("localhost:65536", "target invalid port: 'localhost:65536' is not HOST:PORT with a port from 1 to 65535"),
        ("localhost:+80", "target invalid port: 'localhost:+80' is not HOST:PORT with a port from 1 to 65535"),
        ("::1:80", "target bad format: '::1:80' is not HOST:PORT"),
        ("1::1:80", "target invalid port: '1::1:80' is not HOST:PORT with a port from 1 to 65535"),
        ("[::1]80", "target bad format: '[::1]80' is not HOST:PORT"),
        ("unix:relative", "target invalid port: 'unix:relative' is not HOST:PORT with a port from 1 to 65535"),
        ("unix:/" + 107 * "p", "target bad format: the path is 1 bytes too long for a unix socket: /" + 107 * "p"),
        ('"unix:/a\x01"', "target bad format: the path has a control character: '/a\\x01'"),
        ("zhttpreq/x", "target bad format: zhttpreq targets need a spec with '://': zhttpreq/x"),
        ("zhttp/", "target bad format: zhttp targets need a spec with '://': zhttp/"),
        ("zhttp/inproc://x", "target bad format: 'inproc://x' is not tcp://ADDRESS:PORT or ipc://PATH"),
        ("zhttp/tcp://x", "target bad format: 'tcp://x' is not tcp://ADDRESS:PORT or ipc://PATH"),
        ("zhttp/tcp://x:65534", "target invalid port: 'tcp://x:65534' needs a port from 1 to 65533"),
        ("zhttpreq/tcp://x:0", "target invalid port: 'tcp://x:0' needs a port from 1 to 65535"),
        ("zhttp/ipc://" + 97 * "p", "target bad format: the path is 1 bytes too long for a unix socket: " + 97 * "p"),
        ("a:1,host=b/c", "host must use format 'host[:port]'"),
        ("a:1,ipc_file_mode=8", "ipc_file_mode must be an octal file mode from 0 to 777"),
        ("a:1,client_key=k", "client_key needs a client_cert"),
        (
            "unix:/a,ssl,trust_connect_host",
            "trust_connect_host: a unix socket has no name that a certificate could carry",
        ),
    ],
)
def test_bad_targets_are_refused(text: str, message: str) -> None:
    """Each mistake has its text, which begins as the reference's where that has one."""
    with pytest.raises(RouteLineError) as error:
        target(text)
    assert str(error.value) == message


def test_longest_paths_are_taken() -> None:
    """To the last byte that the kernel takes."""
    assert target("unix:/" + 106 * "p").unix_path == "/" + 106 * "p"
    assert target("zhttp/ipc://" + 96 * "p").zhttp_spec == "ipc://" + 96 * "p"


def test_properties_without_effect_are_remarked() -> None:
    """Whoever writes them believes to be safe, or to have turned something off."""
    assert target_remarks(target("a:1,insecure,trust_connect_host,client_cert=c")) == [
        "insecure has no effect without ssl",
        "trust_connect_host has no effect without ssl",
        "client_cert has no effect without ssl",
    ]
    assert target_remarks(target("a:1,ssl,insecure,client_cert=c,untrusted")) == []
    assert not target_remarks(target("a:1,over_http,one_event"))
    assert target_remarks(target("a:1,one_event")) == ["one_event has no effect without over_http"]


@given(st.text(max_size=60))
def test_any_text_is_a_line_or_refused(text: str) -> None:
    """A routes file may hold anything; nothing of it may end the start."""
    for line in (text, f"* {text}", f"* a:1,{text}", f"*,{text} test"):
        try:
            decoded = decode_route(line)
        except RouteLineError:
            continue
        if decoded is not None:
            rewritten = decoded[0].rewrite_path(b"/path?query")
            assert rewritten.isascii() and not any(byte < 0x21 or byte == 0x7F for byte in rewritten)
