"""Who hears what becomes of a request of our own."""

from functools import partial
from typing import Any

import pytest

from gripproxy.engine.effects import Effect
from gripproxy.engine.events import LinkDone
from gripproxy.engine.link_requests import LinkRequests, way_to
from gripproxy.errors import InternalError
from gripproxy.protocol.link_url import LinkUrl
from gripproxy.protocol.origin_request import OriginRequests
from gripproxy.settings import Settings
from tests.engine.conversation import client, request

URL = LinkUrl(False, "d.test", "/aa/x?q")


def new_requests() -> LinkRequests:
    return LinkRequests(OriginRequests(Settings(), {}, lambda: 0.0))


def test_each_request_has_its_own_listener() -> None:
    requests, heard = new_requests(), []

    def listen(asked: str, event: Any, now: float) -> list[Effect]:
        heard.append((asked, event.link_id, now))
        return []

    path, targets = way_to(client(), URL)
    asks = [requests.send(partial(listen, name), client(), URL, (path, targets[0]), 0.0) for name in ("one", "two")]
    requests.handle(LinkDone(asks[1].link_id), 5.0)
    assert heard == [("two", asks[1].link_id, 5.0)]
    assert requests.count == 1
    assert requests.forget(asks[0].link_id)
    assert not requests.forget(asks[0].link_id)
    with pytest.raises(InternalError, match=f"link {asks[0].link_id} "):
        requests.handle(LinkDone(asks[0].link_id), 6.0)


@pytest.mark.parametrize(
    ("url", "path", "label"),
    [
        (URL, b"/x?q", "origin:80"),
        (LinkUrl(False, "D.test:80", "/bb"), b"/bb", "origin:80"),
        (LinkUrl(True, "d.test", "/aa/x"), b"/aa/x", "d.test:443"),
        (LinkUrl(False, "e.test:81", "/aa/x"), b"/aa/x", "e.test:81"),
        (LinkUrl(False, "[::1]:81", "/"), b"/", "[::1]:81"),
    ],
)
def test_the_way_is_the_routes_or_a_direct_one(url: LinkUrl, path: bytes, label: str) -> None:
    asked = client(request(b"/aa/one"), "*,path_beg=/aa/,replace_beg=/ origin:80")
    found, (target,) = way_to(asked, url)
    assert (found, target.label) == (path, label)


@pytest.mark.parametrize("is_untrusted", [False, True])
def test_an_untrusted_target_leads_to_untrusted_ones(is_untrusted: bool) -> None:
    """Its links must not reach what it cannot reach itself."""
    asked = client(route="* origin:80,untrusted" if is_untrusted else "* origin:80")
    _, (target,) = way_to(asked, LinkUrl(False, "10.0.0.1", "/"))
    assert target.untrusted is is_untrusted


@pytest.mark.parametrize("is_https", [False, True])
def test_origin_hears_that_the_link_is_of_an_https_site(is_https: bool) -> None:
    """It would redirect the request to https otherwise, as many do."""
    url = LinkUrl(is_https, "d.test", "/x")
    asked = client()
    asked.is_https = is_https
    path, (target,) = way_to(asked, url)
    head = new_requests().send(lambda event, now: [], asked, url, (path, target), 0.0).head
    assert (b"\r\nX-Forwarded-Proto: https\r\n" in head) is is_https
