"""What both servers are started with: a scenario names the configuration that it needs, few serve all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.conformance.transcript import SIG_KEY

REFUSING = "127.0.0.1:1"  # nobody listens there
WARM_HOST, SETTLING_HOST = "warm.test", "settle.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Routes and keys. In a route, {origin} stands for the origin's address and {refusing} for one that refuses."""

    routes: Sequence[str]
    sections: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)
    workers: int = 1  # one takes the origin's answers in their order, which Settle wants

    def route_lines(self, origin_port: int, settling_port: int) -> list[str]:
        """Give the lines of the routes file."""
        own = [
            route.replace("{origin}", f"127.0.0.1:{origin_port}").replace("{refusing}", REFUSING)
            for route in self.routes
        ]
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
    # What Settle wants, with the times of the default configuration.
    "ordered": Configuration(
        routes=["plain.test {origin}", "debug.test,debug {origin}", "prefix.test,prefix=p- {origin}"]
    ),
    # Times made short, for what is about time; ids may come again after a second.
    "short": Configuration(
        routes=["plain.test {origin}", "debug.test,debug {origin}", "prefix.test,prefix=p- {origin}"],
        sections={"handler": {"message_wait": 1000, "id_cache_ttl": 1, "subscription_linger": 1}},
    ),
}
