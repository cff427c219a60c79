import pytest

from gripproxy.errors import OriginError
from gripproxy.protocol.link_url import LinkUrl, resolve_link

BASE = LinkUrl(False, "d.test:8000", "/a/b?c=1")


@pytest.mark.parametrize(
    ("uri", "resolved"),
    [
        ("/next", "http://d.test:8000/next"),
        ("next?x=%2C", "http://d.test:8000/a/next?x=%2C"),
        ("?x", "http://d.test:8000/a/b?x"),
        ("//e.test/n", "http://e.test/n"),
        ("HTTPS://e.test", "https://e.test/"),
        ("http://[::1]:80/n#f", "http://[::1]:80/n"),
        ("../../up", "http://d.test:8000/up"),
        ("k//v/./w/..", "http://d.test:8000/a/k//v/"),
        ("/a//../b/.", "http://d.test:8000/a/b/"),
        ("#f", "http://d.test:8000/a/b?c=1"),
        ("?", "http://d.test:8000/a/b?"),
        ("/n?q=/../x?y", "http://d.test:8000/n?q=/../x?y"),
        ("./a:b", "http://d.test:8000/a/a:b"),
    ],
)
def test_a_link_is_relative_to_the_request_that_brought_it(uri: str, resolved: str) -> None:
    assert str(resolve_link(BASE, uri)) == resolved


def test_empty_segments_of_the_base_stay() -> None:
    assert resolve_link(LinkUrl(False, "d.test", "/a//b/c"), "d").target == "/a//b/d"


@pytest.mark.parametrize(
    "uri", ["ftp://d.test/", "http://u@d.test/", "http://d.test:x/", "http://[::1/", "mailto:a", "http:n"]
)
def test_a_link_that_leads_nowhere_is_shown(uri: str) -> None:
    with pytest.raises(OriginError) as caught:
        resolve_link(BASE, uri)
    assert repr(uri) in str(caught.value)


def test_the_default_port_is_the_same_server() -> None:
    plain, named = LinkUrl(False, "D.test", "/"), LinkUrl(False, "d.test:80", "/x")
    assert plain.is_same_origin(named)
    assert not plain.is_same_origin(LinkUrl(True, "d.test", "/"))
    assert not plain.is_same_origin(LinkUrl(False, "d.test:81", "/"))
    assert (named.name, named.port, LinkUrl(True, "[::1]", "/").port, LinkUrl(True, "[::1]", "/").name) == (
        "d.test",
        80,
        443,
        "::1",
    )
