"""Scenarios of what the proxy says about a client and believes of it: forwarded headers, proxies in front, routes."""

import base64
import hmac
import json
import time

import jwt

from tests.conformance.features import FEATURES
from tests.conformance.holds import HELLO, TEXT, stream
from tests.conformance.scenario import Difference, Receive, Scenario, Send, get
from tests.conformance.transcript import KEYLESS_ISSUER, SIG_KEY, UPSTREAM_ISSUER, UPSTREAM_KEY
from tests.integration.origin import answer

FOREVER_S = 10**8  # the reference reads 31 bits of an end


def token(key: str = UPSTREAM_KEY, expires_in_s: float = FOREVER_S, **claims: object) -> str:
    """Spell the header of a proxy in front."""
    whole = {"iss": UPSTREAM_ISSUER, "exp": int(time.time() + expires_in_s)} | claims
    return "Grip-Sig: " + jwt.encode({name: value for name, value in whole.items() if value is not None}, key)


def keyless_token() -> str:
    """Spell a token that an empty secret has signed; PyJWT makes none."""
    end = int(time.time()) + FOREVER_S
    parts = (
        json.dumps(part).encode() for part in ({"typ": "JWT", "alg": "HS256"}, {"iss": KEYLESS_ISSUER, "exp": end})
    )
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(b"", signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()


def said(
    name: str,
    why: str,
    *headers: str,
    host: str = "plain.test",
    config: str = "trusting",
    difference: Difference | None = None,
    answered: bytes = HELLO,
    marker: bytes = b"\r\n\r\n",
) -> Scenario:
    """Make the scenario of one request: what the origin is told."""
    return Scenario(
        name=f"trust-{name}",
        why=why,
        config=config,
        origin={"/x": answered},
        steps=[Send(get("/x", *headers, host=host)), Receive(marker)],
        difference=difference,
    )


SCENARIOS = [
    said(
        "signed",
        "a proxy in front that signs is passed through, and we sign nothing ourselves",
        token(),
        "Grip-Feature: x",
        "Grip-Last: c; last-id=1",
        "X-A: 1",
    ),
    said(
        "signed-answer",
        "the instruct is for the proxy in front",
        token(),
        answered=stream("x", "Grip-Foo: 1"),
        marker=b"[open]\n",
    ),
    said("signed-after-another", "the first signature counts", "Grip-Sig: x", token()),
    said("wrong-key", "a signature with another key is a stranger's", token(SIG_KEY)),
    said("empty-key", "a signature with no key at all is too", "Grip-Sig: " + keyless_token()),
    said(
        "empty-upstream-key",
        "where no key is set, nobody is trusted",
        "Grip-Sig: " + keyless_token(),
        "Grip-X: 1",
        config="limited",
        difference=Difference(
            id="empty-key-trusts-nobody",
            reference="Grip-Sig: <token of keyless>\nGrip-X: 1\n",
            ours=f"Grip-Sig: <token of edge>\nGrip-Feature: {FEATURES}\n",
        ),
    ),
    said("expired", "a signature of yesterday is", token(expires_in_s=-10)),
    said("without-exp", "so is one that never ends", token(exp=None)),
    said("exp-as-text", "and one whose end is no number", token(exp=None, x="1")),
    said("garbage", "and what is no signature", "Grip-Sig: abc.def.ghi"),
    said("unsigned-hold", "a stranger's hold is ours", answered=stream("tr1"), marker=b"[open]\n"),
    said(
        "forwarded-for",
        "the client's address is put behind those that were there",
        "X-Forwarded-For: 1.1.1.1, 2.2.2.2",
        "X-Forwarded-For: 3.3.3.3",
    ),
    said("forwarded-for-none", "it is put there if there were none"),
    said("forwarded-for-trusted", "a proxy in front is believed so far", token(), "X-Forwarded-For: 1.1.1.1,2.2.2.2"),
    said(
        "forwarded-proto-taken",
        "a client behind a TLS proxy counts as https",
        "X-Forwarded-Proto: https",
        host="tls.test",
    ),
    said("forwarded-protocol-taken", "by the older name too", "X-Forwarded-Protocol: https", host="tls.test"),
    said("forwarded-proto-capitals", "the word is taken exactly", "X-Forwarded-Proto: HTTPS", host="tls.test"),
    said(
        "forwarded-proto-http",
        "what is no TLS adds nothing",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Protocol: http",
        host="tls.test",
    ),
    said("route-by-id", "a request names its route", "Pushpin-Route: chosen"),
    said("route-by-unknown-id", "a route that is not there is not another one", "Pushpin-Route: nobody"),
    said("route-by-shared-id", "an id that two routes share is none", "Pushpin-Route: shared"),
    said("route-by-generated-id", "a rule without an id has one", "Pushpin-Route: tls.test,*,no-ssl,*"),
    said("route-by-empty-id", "an empty name is none", "Pushpin-Route: "),
    said(
        "orig-headers-trusted",
        "a proxy in front has marked what it wanted",
        token(),
        "eb9bf0f5-X: 1",
        "X-A: 1",
        host="orig.test",
    ),
    said("no-orig-headers-trusted", "where it is not asked for, not even it may", token(), "eb9bf0f5-X: 1"),
    said(
        "websocket-events",
        "a stranger sends no WebSocket events",
        "Content-Type: application/websocket-events",
        host="overhttp.test",
        answered=answer("200 OK", TEXT, body=b"events\n"),
    ),
    said(
        "websocket-events-trusted",
        "a proxy in front may",
        token(),
        "Content-Type: application/websocket-events",
        host="overhttp.test",
        answered=answer("200 OK", TEXT, body=b"events\n"),
    ),
]
