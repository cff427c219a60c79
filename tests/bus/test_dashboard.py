"""The dashboard's page as it is sent; what it shows is for a browser to say."""

import re

from gripproxy.bus.control_answer import ControlAnswer
from gripproxy.bus.control_request import ControlRequest
from gripproxy.bus.dashboard import content_security_policy, respond


def page() -> ControlAnswer:
    return respond(ControlRequest(b"GET", b"/dashboard", None, b""))


def test_page_needs_nothing_from_elsewhere() -> None:
    """It must work on a host without a way out, and tell nobody that somebody looks."""
    answer = page()
    assert answer.content_type.startswith(b"text/html")
    addresses = set(re.findall(rb"""(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^"' ]*""", answer.body))
    assert addresses == {b"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.findall(rb"""<(?:link[^>]+href|script[^>]+src|img[^>]+src)=["'](?!data:)""", answer.body)


def test_policy_allows_this_script_and_no_other() -> None:
    """A channel's name that became markup could still run nothing."""
    answer = page()
    policy = dict(answer.extra)[b"Content-Security-Policy"]
    assert policy == content_security_policy(answer.body)
    assert b"unsafe" not in policy
    assert content_security_policy(answer.body.replace(b'"use strict"', b'"use strictly"')) != policy
    assert not re.findall(rb"<[^>]+\s(?:on[a-z]+|style)=", answer.body)  # which the policy would forbid
