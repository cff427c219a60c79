"""One route: its properties, its refusals and the rewriting of paths."""

import re
from pathlib import Path

import pytest

from gripproxy.protocol.jsonp import JsonpRules
from gripproxy.protocol.route import SUPPORTED_CONDITION, Route, decode_route
from gripproxy.protocol.route_line import RouteLineError
from gripproxy.protocol.route_target import SUPPORTED_TARGET, Target
from gripproxy.protocol.routes import parse_routes


def route(line: str) -> Route:
    decoded = decode_route(line)
    assert decoded is not None
    return decoded[0]


def remarks(line: str) -> list[str]:
    decoded = decode_route(line)
    assert decoded is not None
    return decoded[1]


def test_blank_line_is_no_route() -> None:
    """It is skipped without a word."""
    assert decode_route("  # comment") is None


def test_plain_route_has_no_conditions() -> None:
    """The line of most installations."""
    assert route("* localhost:80") == Route(domain="*", id="*,*,*,*", targets=(Target(host="localhost", port=80),))


def test_condition_properties_are_read() -> None:
    """Everything a condition can say ends up on the route."""
    line = (
        "a.example,proto=ws,ssl=no,path_beg=/x,id=main,prefix=p-,sig_iss=i,sig_key=base64:YQ==,as_host=b:81,"
        'header=X-A:1,header="X-B:  2, 3",orig_headers,no_grip,debug=false,aco=no,jsonp_mode=basic,jsonp_cb=c,'
        "jsonp_body=b,jsonp_defcb=d,jsonp_defmethod=PUT test"
    )
    assert route(line) == Route(
        domain="a.example",
        id="main",
        is_id_explicit=True,
        is_websocket=True,
        is_https=False,
        path_beg=b"/x",
        prefix="p-",
        sig_iss="i",
        sig_key="base64:YQ==",
        as_host="b:81",
        headers=((b"X-B", b"2, 3"), (b"X-A", b"1")),
        orig_headers=True,
        no_grip=True,
        debug=True,
        aco=True,
        jsonp=JsonpRules(
            is_extended=False, callback_param=b"c", body_param=b"b", default_callback=b"d", default_method=b"PUT"
        ),
        targets=(Target(is_test=True),),
    )


@pytest.mark.parametrize(
    ("condition", "route_id"),
    [
        ("*", "*,*,*,*"),
        ("h,proto=http,ssl=no,path_beg=/p", "h,http,ssl,/p"),
        ("h,proto=ws,ssl=yes", "h,ws,no-ssl,*"),
    ],
)
def test_default_id_is_that_of_the_reference(condition: str, route_id: str) -> None:
    """Clients name routes by it, the inverted words for ssl included."""
    assert route(f"{condition} test").id == route_id


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("*", "must specify condition and at least one target"),
        ("*\t127.0.0.1:80", "must specify condition and at least one target"),
        ("*,proto=https test", "proto must be set to 'http' or 'ws'"),
        ("*,ssl test", "ssl must be set to 'yes' or 'no'"),
        ("*,path_beg test", "path_beg cannot be empty"),
        ("*,jsonp_mode=x test", "jsonp_mode must be set to 'basic' or 'extended'"),
        ("*,aco,jsonp_defmethod=G[ET test", "jsonp_defmethod is no method: 'G[ET'"),
        ("*,header=X-A test", "header must use format 'name:value'"),
        ("*,header=:v test", "header must use format 'name:value'"),
        ("* localhost:80 localhost", "target bad format: 'localhost' is not HOST:PORT"),
        ('*,"header=X A:v" test', "header name has a forbidden character: 'X A'"),
        ('*,"header=X:a\rb" test', "header value has a control character: X"),
        ("*,path_rem=two test", "path_rem must be a whole number"),
        ('*,as_host="a b" test', "as_host must use format 'host[:port]'"),
    ],
)
def test_bad_line_is_refused(line: str, text: str) -> None:
    """Each mistake has its text; where the reference has one, it is the same."""
    with pytest.raises(RouteLineError) as error:
        decode_route(line)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("condition", "target", "rewritten"),
    [
        ("*", b"/a?b", b"/a?b"),
        ("*,path_beg=/v1/,replace_beg=/", b"/v1/a/b?q=1", b"/a/b?q=1"),
        ("*,path_beg=/q,replace_beg=", b"/q", b"/"),
        ("*,path_beg=/q,replace_beg=", b"/q?x=/q", b"/?x=/q"),
        ("*,path_beg=/q,replace_beg=/long/", b"/q/r", b"/long//r"),
        ("*,path_rem=2", b"/ab/c", b"/b/c"),
        ("*,path_rem=3", b"/ab/c?d", b"/c?d"),
        ("*,path_rem=99", b"/ab?c", b"/?c"),
        ("*,path_beg=/a,path_rem=9,replace_beg=/b", b"/a/c", b"/b/c"),
        ("*,path_rem=2", b"*", b"*"),
        ('*,path_beg=/q,"replace_beg=/a b?é#%20/"', b"/q", b"/a%20b%3F%C3%A9%23%20/"),
        ('*,path_beg=/q,"replace_beg=/a\r\n\tX"', b"/q", b"/a%0D%0A%09X"),
    ],
)
def test_path_is_rewritten_and_the_query_kept(condition: str, target: bytes, rewritten: bytes) -> None:
    """The origin sees its own paths; what it gets is a request target in any case."""
    assert route(f"{condition} test").rewrite_path(target) == rewritten


def test_empty_jsonp_properties_say_nothing() -> None:
    """An empty parameter name would be in every query."""
    line = "*,aco,jsonp_mode=extended,jsonp_cb=,jsonp_body=,jsonp_defcb=,jsonp_defmethod= test"
    assert route(line).jsonp == JsonpRules()


def test_unknown_property_is_ignored_but_named() -> None:
    """A misspelt condition would take requests that it was not meant for."""
    assert remarks("*,path_begin=/a test") == ["unknown property 'path_begin' is ignored; meant 'path_beg'?"]
    assert remarks("* a:1,xyzzy") == ["unknown property 'xyzzy' is ignored"]


def test_property_that_looks_off_is_said_to_be_on() -> None:
    """``insecure=no`` takes any certificate."""
    line = "*,debug=no,ssl=no a:1,ssl,insecure=no,untrusted=yes,over_http=0"
    assert remarks(line) == [
        "debug=no means on, as in Pushpin: to be there is enough",
        "insecure=no means on, as in Pushpin: to be there is enough",
        "over_http=0 means on, as in Pushpin: to be there is enough",
    ]


def test_unsupported_property_is_said_to_do_nothing() -> None:
    """Whoever moves here learns at once what is missing, on the side where it stands."""
    assert remarks("*,session,sockjs=/s test") == [
        "session is not supported by this version and has no effect",
        "sockjs is not supported by this version and has no effect",
    ]


def test_property_on_the_wrong_side_is_said_to_belong_to_the_other() -> None:
    """Most of all over_http, without which WebSockets get another origin."""
    assert remarks("*,over_http a:1") == ["over_http is ignored here: it belongs to a target"]
    assert remarks("* a:1,no_grip,ssl") == ["no_grip is ignored here: it belongs to the condition"]


@pytest.mark.parametrize("domain", ["*.example.com", "Example.com", "example.com:80", "[::1]"])
def test_domain_that_never_matches_is_remarked(domain: str) -> None:
    """Such a line looks right and does nothing."""
    assert remarks(f"{domain} test") == [
        f"domain can never match, it must be '*' or a whole host in lower case without port: {domain}"
    ]


@pytest.mark.parametrize("domain", ["*", "example.com", "::1"])
def test_domain_that_can_match_goes_without_remark(domain: str) -> None:
    """Warnings on sound lines would hide the others."""
    assert remarks(f"{domain} test") == []


def test_route_out_of_reach_is_remarked() -> None:
    """No domain and a query in the path are accepted by the reference in silence."""
    assert remarks("id=x test") == ["no domain: only its id can reach this route"]
    assert remarks("*,path_beg=/a?b test") == [
        "path_beg can never match, it must be percent-encoded as in requests: /a%3Fb"
    ]
    assert remarks("*,path_beg=/é test") == [
        "path_beg can never match, it must be percent-encoded as in requests: /%C3%A9"
    ]
    assert remarks("*,path_beg=/%C3%A9 test") == []


@pytest.mark.parametrize(
    ("path_beg", "spelled"), [("/%7ejoe", "/~joe"), ("/%c3%a9", "/%C3%A9"), ("/100%/", "/100%25/")]
)
def test_path_with_escapes_that_no_request_has_is_remarked(path_beg: str, spelled: str) -> None:
    """A request's are brought into one spelling before it is compared."""
    assert remarks(f"*,path_beg={path_beg} test") == [
        f"path_beg can never match, it must be percent-encoded as in requests: {spelled}"
    ]


@pytest.mark.parametrize("path_beg", ["/a%", "/a%C", "/a%25", "/%2F"])
def test_path_that_ends_within_an_escape_can_match(path_beg: str) -> None:
    """It is the beginning of one."""
    assert remarks(f"*,path_beg={path_beg} test") == []


EXAMPLE = Path(__file__).parents[2] / "deploy" / "routes"


def test_example_file_names_every_property() -> None:
    """It is the reference of routes; what it lacks does not exist for a reader."""
    words = set(re.findall(r"\w+", EXAMPLE.read_text()))
    assert words >= SUPPORTED_CONDITION | SUPPORTED_TARGET


def test_example_file_is_sound() -> None:
    """Its examples too."""
    table, warnings = parse_routes(EXAMPLE.read_text(), "routes")
    assert (table.count, warnings) == (1, [])
    examples = EXAMPLE.read_text().partition("# Examples:\n")[2].partition("\n\n")[0].replace("#   ", "")
    table, warnings = parse_routes(examples, "routes")
    assert (table.count, warnings) == (4, [])


def test_route_knows_its_line() -> None:
    """Another process makes the same of it. Where it stands says nothing about what it is."""
    line = "d.test,id=one origin:80  # spare"
    assert route(line).line == line
    assert route(line) == route("d.test,id=one origin:80")
