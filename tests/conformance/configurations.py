"""What both servers are started with: a scenario names the configuration that it needs, few serve all of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.conformance.transcript import ROUTE_ISSUER, ROUTE_KEY, SIG_KEY, UPSTREAM_ISSUER, UPSTREAM_KEY
from tests.integration.ports import free_ports

REFUSING = "127.0.0.1:1"  # nobody listens there
WARM_HOST, SETTLING_HOST = "warm.test", "settle.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Routes and keys.

    In a route, {origin} stands for the origin's address, {refusing} for one that refuses, and {spare} for one that the
    server may listen on.
    """

    routes: Sequence[str]
    sections: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)
    workers: int = 1  # one takes the origin's answers in their order, which Settle wants

    def route_lines(self, origin_port: int, settling_port: int) -> list[str]:
        """Give the lines of the routes file."""
        addresses = {"{origin}": f"127.0.0.1:{origin_port}", "{refusing}": REFUSING}
        addresses["{spare}"] = f"127.0.0.1:{free_ports(1)[0]}"
        own = [re.sub(r"\{\w+\}", lambda match: addresses[match[0]], route) for route in self.routes]
        return [*own, f"{WARM_HOST} test", f"{SETTLING_HOST} 127.0.0.1:{settling_port}"]

    def all_sections(self) -> dict[str, dict[str, str | int]]:
        """Give the keys with those that all configurations have."""
        sections: dict[str, dict[str, str | int]] = {"proxy": {"sig_key": SIG_KEY}}
        for name, keys in self.sections.items():
            sections.setdefault(name, {}).update(keys)
        return sections


CONFIGURATIONS = {
    # One host per behaviour, so that most scenarios share one start of the servers.
    "plain": Configuration(
        workers=2,
        routes=[
            "plain.test {origin}",
            "debug.test,debug {origin}",
            "refused.test {refusing}",
            "refused-debug.test,debug {refusing} {refusing}",
            "failover.test {refusing} {origin}",
            "prefix.test,prefix=p- {origin}",
            "nogrip.test,no_grip {origin}",
            'rewrite.test,path_beg=/v1/,replace_beg=/,header="X-Edge: a, b",as_host=inner.test {origin}',
            "implied.test {origin},sub=implied",
            "only.test,path_beg=/only {origin}",
            "builtin.test test",
        ],
    ),
    "routes": Configuration(
        routes=[
            "plain.test {origin}",
            *(f"choice.test,path_beg={path},header=X-Route:{path} {{origin}}" for path in ("/abcd", "/abc", "/")),
            "order-1.test,path_beg=/abc,header=X-Route:path {origin}",
            "order-1.test,ssl=no,header=X-Route:plain {origin}",
            "order-2.test,ssl=no,header=X-Route:plain {origin}",
            "order-2.test,path_beg=/abc,header=X-Route:path {origin}",
            "proto.test,path_beg=/abc,header=X-Route:path {origin}",
            "proto.test,proto=http,header=X-Route:http {origin}",
            "only.test,path_beg=/only {origin}",
            "*,header=X-Route:star {origin}",
            "CAPITALS.test,header=X-Route:capitals {origin}",
            "*.wild.test,header=X-Route:wild {origin}",
            r'quoted.test,header="X-Route: a, b # \"c\" \\" {origin}',
            "twice.test,header=X-Route:first {origin}",
            "twice.test,header=X-Route:second {origin}",
            "many.test,header=X-1:a,header=X-2:b,header=X-1:c,header=X-3:d {origin}",
            "comment.test,header=X-Route:a {origin} # {refusing}",
            "rem.test,path_rem=4 {origin}",
            "replace.test,path_beg=/q,replace_beg= {origin}",
            "longer.test,path_beg=/old,replace_beg=/new/old {origin}",
            "as.test,as_host=inner.test:81 {origin}",
            "targethost.test,as_host=inner.test {origin},host=target.test",
            "headers.test,header=X-Gone:,header=x-set:new {origin}",
            "forced.test,header=Host:forced,header=Grip-X:1,header=X-A:1 {origin}",
            "orig.test,orig_headers {origin}",
            f"signed.test,sig_iss={ROUTE_ISSUER},sig_key={ROUTE_KEY} {{origin}}",
            "failover2.test {refusing} {refusing} {origin}",
            "unresolved.test no-such-host.invalid:80 {origin}",
            "two.test {origin} {origin}",
            "builtin-path.test,path_beg=/t test",
            "aco.test,aco {origin}",
            "aco-refused.test,aco {refusing}",
            "aco-basic.test,aco,jsonp_mode=basic,jsonp_cb=cb,jsonp_body=data {origin}",
            "aco-default.test,aco,jsonp_defcb=dcb,jsonp_body=data {origin}",
        ],
        sections={"proxy": {"orig_headers_need_mark": "X-Marked"}},
    ),
    "trusting": Configuration(
        routes=[
            "plain.test {origin}",
            "tls.test,ssl=yes,header=X-Route:tls {origin}",
            "tls.test,ssl=no,header=X-Route:plain {origin}",
            "chosen.test,id=chosen,header=X-Route:chosen {origin}",
            "one.test,id=shared,header=X-Route:one {origin}",
            "two.test,id=shared,header=X-Route:two {origin}",
            "orig.test,orig_headers {origin}",
            "overhttp.test {origin},over_http",
        ],
        sections={
            "proxy": {
                "upstream_key": UPSTREAM_KEY,
                "x_forwarded_for": "truncate:2,append",
                "x_forwarded_for_trusted": "truncate:1",
                "accept_x_forwarded_protocol": "true",
                "set_x_forwarded_protocol": "true",
                "accept_pushpin_route": "true",
            }
        },
    ),
    "limited": Configuration(
        routes=["plain.test {origin}", "refused.test {refusing}"],
        sections={
            "runner": {"client_buffer_size": 16_384},
            "proxy": {
                "debug": "true",
                "upstream_key": "",
                "auto_cross_origin": "true",
                "sig_iss": UPSTREAM_ISSUER,
                "sig_key": UPSTREAM_KEY,
            },
            "handler": {"connection_subscription_max": 2},
        },
    ),
    # What Settle wants, with the times of the default configuration.
    "ordered": Configuration(
        routes=["plain.test {origin}", "debug.test,debug {origin}", "prefix.test,prefix=p- {origin}"]
    ),
    # WebSockets: to a WebSocket origin, and over HTTP.
    "sockets": Configuration(
        routes=[
            *(
                f"{name}.{kind}.test{properties} {{origin}}{target}"
                for kind, target in (("ws", ""), ("woh", ",over_http"))
                for name, properties in (
                    ("plain", ""),
                    ("debug", ",debug"),
                    ("prefix", ",prefix=p-"),
                    ("nogrip", ",no_grip"),
                    ("rewrite", ',path_beg=/v1/,replace_beg=/,header="X-Edge: a, b",as_host=inner.test'),
                )
            ),
            "implied.ws.test {origin},sub=implied",
            "implied.woh.test {origin},over_http,sub=implied-woh",
            "refused.ws.test {refusing}",
            "refused-debug.ws.test,debug {refusing} {refusing}",
            "failover.ws.test {refusing} {origin}",
            "refused.woh.test {refusing},over_http",
            "failover.woh.test {refusing},over_http {origin},over_http",
            "one.woh.test {origin},over_http,one_event",
            "builtin.test test",
            "zhttpreq.test zhttpreq/tcp://{spare}",
            "zhttpreq-debug.test,debug zhttpreq/tcp://{spare}",
        ],
        sections={"handler": {"connection_subscription_max": 3}},
    ),
    # Times made short, for what is about time; ids may come again after a second.
    "short": Configuration(
        routes=["plain.test {origin}", "debug.test,debug {origin}", "prefix.test,prefix=p- {origin}"],
        sections={"handler": {"message_wait": 1000, "id_cache_ttl": 1, "subscription_linger": 1}},
    ),
}
