"""The table: which route a request gets, and what becomes of lines that are none."""

import dataclasses

import pytest

from gripproxy.protocol.route import Route
from gripproxy.protocol.route_line import RouteLineError
from gripproxy.protocol.routes import RouteTable, parse_routes


def table(text: str) -> RouteTable:
    return parse_routes(text, "routes")[0]


def found(text: str, path: bytes = b"/", host: str = "h", is_https: bool = False, is_websocket: bool = False) -> str:
    route = table(text).find(host, is_https, path, is_websocket)
    return "none" if route is None else route.targets[0].label


def test_host_with_rules_never_falls_back_to_the_default() -> None:
    """One rule for a host takes it out of the default rules; what it does not match has no route."""
    text = "* a:1\nh,path_beg=/x b:1"
    assert found(text, b"/x/y") == "b:1"
    assert found(text, b"/y") == "none"
    assert found(text, b"/y", host="other") == "a:1"


def test_unknown_host_without_default_has_no_route() -> None:
    """That is the 502 "No route for host"."""
    assert found("g a:1") == "none"
    assert found("") == "none"


def test_rule_without_domain_takes_no_request() -> None:
    """Only its id reaches it."""
    assert found("id=x a:1") == "none"


@pytest.mark.parametrize(("path", "label"), [(b"/", "a:1"), (b"/x", "b:1"), (b"/x1?q", "b:1"), (b"/x/y", "c:1")])
def test_longest_path_prefix_wins_in_either_order(path: bytes, label: str) -> None:
    """Prefixes are bytes, not segments, and the lines' order plays no part."""
    lines = ["* a:1", "*,path_beg=/x b:1", "*,path_beg=/x/ c:1"]
    assert found("\n".join(lines), path) == label
    assert found("\n".join(reversed(lines)), path) == label


def test_proto_beats_path_in_either_order() -> None:
    """The kind of request is the strongest condition."""
    lines = ["*,path_beg=/long/path a:1", "*,proto=ws b:1"]
    for text in ("\n".join(lines), "\n".join(reversed(lines))):
        assert found(text, b"/long/path", is_websocket=True) == "b:1"
        assert found(text, b"/long/path", is_websocket=False) == "a:1"


def test_ssl_against_path_depends_on_order() -> None:
    """The reference's last test ignores the path; files rely on what it yields."""
    assert found("*,path_beg=/abc a:1\n*,ssl=no b:1", b"/abc") == "b:1"
    assert found("*,ssl=no b:1\n*,path_beg=/abc a:1", b"/abc") == "a:1"


def test_ssl_condition_is_about_the_client_side() -> None:
    """yes and no each take their own requests only."""
    text = "*,ssl=yes a:1\n*,ssl=no b:1"
    assert found(text, is_https=True) == "a:1"
    assert found(text, is_https=False) == "b:1"


def test_percent_encoding_is_compared_as_written() -> None:
    """The path is not decoded before it is matched."""
    assert found("*,path_beg=/a%20b a:1", b"/a%20b/c") == "a:1"
    assert found("*,path_beg=/a a:1", b"/%61") == "none"


def test_path_prefix_with_query_matches_nothing() -> None:
    """A caller that passes the query along gets the same route as one that does not."""
    assert found("*,path_beg=/a?b a:1", b"/a?b") == "none"


def test_duplicate_condition_keeps_the_first_line() -> None:
    """The warning names the line that does nothing."""
    routes, warnings = parse_routes("*,id=x a:1\n\n*,id=y b:1\n*,ssl=no c:1", "f")
    assert [route.id for route in routes.routes] == ["x", "*,*,ssl,*"]
    assert warnings == ["f:3: skipping duplicate condition"]


def test_routes_without_domain_are_no_duplicates() -> None:
    """They differ by their ids."""
    assert table("id=x a:1\nid=y b:1").count == 2


def test_bad_line_is_skipped_and_the_others_load() -> None:
    """One mistake must not take a site down."""
    routes, warnings = parse_routes("* a:1\r\nbad\r\n# c\r\ng b:0\r\nf b:1\r\n", "dir/routes")
    assert (routes.count, routes.refused_count) == (2, 2)
    assert warnings == [
        "dir/routes:2: must specify condition and at least one target",
        "dir/routes:4: target invalid port: 'b:0' is not HOST:PORT with a port from 1 to 65535",
    ]


def test_remark_keeps_the_route() -> None:
    """An unsupported property is a warning, not a refusal."""
    routes, warnings = parse_routes("*,session a:1", "f")
    assert (routes.count, routes.refused_count) == (1, 0)
    assert warnings == ["f:1: session is not supported by this version and has no effect"]


@pytest.mark.parametrize(
    ("route_id", "path", "label"),
    [
        ("p", b"/p/x", "b:1"),
        ("p", b"/x", "none"),
        ("only", b"/", "c:1"),
        ("*,*,*,*", b"/", "a:1"),
        ("nobody", b"/", "none"),
        ("shared", b"/", "a:1"),
        ("", b"/", "a:1"),
    ],
)
def test_request_that_names_a_route_gets_this_one_or_none(route_id: str, path: bytes, label: str) -> None:
    """What does not fit must not be sent to a route that was not meant; an id of two routes says nothing."""
    text = "* a:1\ng,path_beg=/p,id=p,ssl=yes b:1\nid=only c:1\ne,id=shared d:1\nf,id=shared e:1"
    route = table(text).find("h", is_https=False, path=path, is_websocket=False, route_id=route_id)
    assert ("none" if route is None else route.targets[0].label) == label


def test_route_that_cannot_be_finished_is_refused() -> None:
    """As a certificate that cannot be read: the line is skipped like any bad one."""

    def settle(route: Route) -> Route:
        if route.domain == "bad":
            raise RouteLineError("no such file")
        return dataclasses.replace(route, prefix="settled")

    routes, warnings = parse_routes("bad a:1\n* b:1", "f", settle)
    assert [route.prefix for route in routes.routes] == ["settled"]
    assert (warnings, routes.refused_count) == (["f:1: no such file"], 1)


def test_first_target_decides_how_a_zhttp_spec_is_used() -> None:
    """The two kinds cannot share an address."""
    routes = table("* zhttp/ipc:///a,ipc_file_mode=600 zhttpreq/ipc:///a zhttpreq/ipc:///b\nh zhttp/ipc:///b c:1")
    assert [(target.label, target.ipc_file_mode) for target in routes.zhttp_targets] == [
        ("zhttp/ipc:///a", 0o600),
        ("zhttpreq/ipc:///b", None),
    ]


def test_number_of_zhttp_specs_is_limited() -> None:
    """Each takes several sockets; the warning is the reference's."""
    lines = [f"h{number} zhttp/ipc:///s{number}" for number in range(101)]
    routes, warnings = parse_routes("\n".join(lines), "f")
    assert (routes.count, len(routes.zhttp_targets)) == (101, 100)
    assert warnings == ["f: too many unique zhttp route targets, limiting to 100"]
    assert parse_routes("\n".join(lines[1:]), "f")[1] == []


def test_routes_are_found_by_their_lines() -> None:
    """The first of several with the same line is the one that takes requests."""
    lines = ["one o:1", "id=a o:1", "id=a o:1"]
    routes = table("\n".join(lines))
    assert list(routes.by_line()) == ["id=a o:1", "one o:1"]
    assert routes.by_line()["id=a o:1"] is routes.routes[1]
