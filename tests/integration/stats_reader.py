"""A monitor as people have them for Pushpin: subscribe, split at the first blank, decode, print.

``python stats_reader.py SPEC [TYPE,TYPE...]`` prints lines such as ``report {'connections': 3, ...}``.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import tnetstring
import zmq

Fields = dict[str, Any]


def text_of(value: Any) -> Any:
    """Make texts of a tnetstring's bytes."""
    return value.decode() if isinstance(value, bytes) else value


def decode(packet: bytes) -> tuple[str, Fields]:
    """Give a packet's type and its fields, whichever of the two forms they have."""
    kind, _, body = packet.partition(b" ")
    if body[:1] == b"T":
        fields = {text_of(name): text_of(value) for name, value in tnetstring.loads(body[1:]).items()}
    elif body[:1] == b"J":
        fields = json.loads(body[1:])
    else:
        raise ValueError(f"unknown form: {packet[:80]!r}")
    return kind.decode(), fields


def read(spec: str, kinds: str = "") -> Iterator[tuple[str, Fields]]:
    """Give packets for ever. `kinds`: a comma list, or empty for all."""
    monitor = zmq.Context.instance().socket(zmq.SUB)
    monitor.connect(spec)
    for kind in kinds.split(","):
        monitor.setsockopt_string(zmq.SUBSCRIBE, f"{kind} " if kind else "")
    while True:
        yield decode(monitor.recv())


if __name__ == "__main__":
    for name, values in read(*sys.argv[1:]):
        print(name, values, flush=True)
