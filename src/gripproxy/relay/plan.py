"""What a relay is told to do: where publishers and hosts come in, and which keys count."""

from dataclasses import dataclass

QUEUE_MAX_COUNT = 10_000  # items that wait for one host; ZeroMQ keeps an item once for all hosts that wait for it


@dataclass(frozen=True, slots=True, kw_only=True)
class SidePlan:
    """One side of a relay. With `server_key` it is CURVE's client, else with the relay's secret key the server."""

    name: str  # the option: "in" or "out"
    noun: str  # who is on the other end: "publisher" or "host"
    binds: tuple[str, ...] = ()
    connects: tuple[str, ...] = ()
    server_key: bytes | None = None
    client_keys: frozenset[bytes] = frozenset()  # empty: whoever knows the relay's public key


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPlan:
    """A whole relay. Keys are Z85 text."""

    publishers: SidePlan
    hosts: SidePlan
    queue_max_count: int = QUEUE_MAX_COUNT
    secret_key: bytes | None = None
    metrics_spec: str | None = None
