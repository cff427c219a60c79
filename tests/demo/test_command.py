"""What the demo says and how it starts the proxy; tests/integration/test_demo_browser.py runs all of it."""

import argparse

import pytest

from gripproxy.demo import command


def options(*argv: str) -> argparse.Namespace:
    return command.new_parser().parse_args(argv)


def test_proxy_gets_one_route_to_the_origin() -> None:
    """The demo is the ordinary program with an ordinary route: nothing in the proxy knows about it."""
    arguments = command.proxy_arguments(options(), origin_port=4321)
    assert arguments == ["--port", "127.0.0.1:7999", "--route", "* 127.0.0.1:4321,over_http", "--loglevel", "1"]


def test_proxy_gets_what_was_asked_for() -> None:
    """Every option of the demo that the proxy has too arrives there."""
    asked = options(
        "--host", "0.0.0.0", "--port", "81", "--id", "2", "--workers", "3", "--rundir", "/r", "--loglevel", "3"
    )
    assert command.proxy_arguments(asked, origin_port=9) == [
        *("--port", "0.0.0.0:81", "--route", "* 127.0.0.1:9,over_http", "--loglevel", "3"),
        *("--id", "2", "--workers", "3", "--rundir", "/r"),
    ]


def test_banner_has_lines_to_paste() -> None:
    """The first thing anybody sees; each line must work as it stands."""
    lines = command.banner(options("--port", "8080")).splitlines()
    assert lines[1] == "gripproxy demo: open http://localhost:8080/ in a browser, or paste into other terminals:"
    assert lines[3] == "  hold a stream      curl -N 'http://localhost:8080/stream?channel=demo'"
    assert lines[4] == "  hold a long-poll   curl 'http://localhost:8080/poll?channel=demo'"
    assert lines[5] == "  open a WebSocket   ws://localhost:8080/chat?channel=demo"
    assert lines[6].startswith("  publish            ")
    assert lines[6].endswith(r" --no-eol demo $'data: hello from the terminal\n\n'")
    assert lines[7].endswith(
        r"""-d '{"items":[{"channel":"demo","http-stream":{"content":"data: hello\n\n"}}]}' """ + "\\"
    )
    assert lines[8].strip() == "http://127.0.0.1:5561/publish/"
    assert lines[9] == "  look at it live    http://127.0.0.1:5561/dashboard"


def test_instance_number_moves_every_publish_port() -> None:
    """A second demo beside the first publishes to itself, not to the first."""
    second = options("--id", "3")
    assert command.publish_ports(second) == [5590, 5591, 5592, 5593]
    assert command.control_url(second) == "http://127.0.0.1:5591"
    assert "--spec http://127.0.0.1:5591 " in command.publish_command(second)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://localhost:7999/"),
        ("0.0.0.0", "http://localhost:7999/"),
        ("192.168.1.9", "http://192.168.1.9:7999/"),
        ("::1", "http://[::1]:7999/"),
    ],
)
def test_page_url_can_be_opened_here(host: str, url: str) -> None:
    """0.0.0.0 is a place to listen, not a place to go."""
    assert command.page_url(options("--host", host)) == url


@pytest.mark.parametrize(
    "argv", [["--port", "0"], ["--port", "65536"], ["--port", "x"], ["--id", "-1"], ["--id", "5901"]]
)
def test_numbers_out_of_range_are_refused(argv: list[str]) -> None:
    """No traceback from deep inside for a slip of the finger."""
    with pytest.raises(SystemExit):
        options(*argv)
