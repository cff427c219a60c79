"""The gripproxy that is measured, with a given number of workers, and an origin that answers with many channels."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.item_mark import ITEM_BYTES
from benchmarks.item_publisher import ZmqPublisher
from benchmarks.servers.nginx import Origin
from benchmarks.servers.pushpin import GripproxyServer
from benchmarks.servers.server import CONNECTIONS_MAX_COUNT

SUBSCRIPTIONS_MAX_COUNT = 1_000  # per connection
_NAMES_PER_LINE = 100  # nginx takes values of less than 4,096 bytes
KEEP_ALIVE_BASE64 = "OgoK"  # ":\n\n"


class GrowthOrigin(Origin):
    """Answers ``/hold?c=NAME`` by holding for NAME.0, NAME.1 ..., `subscriptions` of them.

    `keep_alive_s`: period of the keep-alives.
    """

    def __init__(self, directory: Path, subscriptions: int = 1, keep_alive_s: int = 55) -> None:
        super().__init__(directory, 0)
        self._subscriptions = subscriptions
        self._keep_alive_s = keep_alive_s

    def server_block(self) -> str:
        """Let nginx make the names: no origin could do it with less CPU."""
        lines = []
        for start in range(0, self._subscriptions, _NAMES_PER_LINE):
            numbers = range(start, min(start + _NAMES_PER_LINE, self._subscriptions))
            names = ",".join(f"${{arg_c}}.{number}" for number in numbers)
            lines.append(f'add_header Grip-Channel "{names}" always;')
        return f"""
location = /hold {{
    default_type text/event-stream;
    add_header Grip-Hold stream always;
    add_header Grip-Keep-Alive "{KEEP_ALIVE_BASE64}; format=base64; timeout={self._keep_alive_s}" always;
    {" ".join(lines)}
    return 200 "event: open\\ndata: held\\n\\n";
}}
"""


class GrowthServer(GripproxyServer):
    """gripproxy with so many workers, and with limits that let all of a dimension's connections in."""

    def __init__(self, directory: Path, origin_port: int, workers: int, connections_max: int) -> None:
        super().__init__(directory, origin_port)
        self._workers = workers
        self._connections_max = connections_max

    def write_config(self, include: str) -> Path:
        """Change what Pushpin is measured with where it would be in the way."""
        path = super().write_config(include)
        text = path.read_text()
        for old, new in (
            (f"client_maxconn={CONNECTIONS_MAX_COUNT}", f"client_maxconn={self._connections_max + 1000}"),
            ("connection_subscription_max=20", f"connection_subscription_max={SUBSCRIPTIONS_MAX_COUNT}"),
            ("[runner]", f"[runner]\nworkers={self._workers}"),
        ):
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return path

    def channel_publisher(self, name_of: Callable[[int], str], content: str) -> "ChannelPublisher":
        """Open a way in for items of this content to channels of these names."""
        return ChannelPublisher(f"tcp://127.0.0.1:{self.pull_port}", name_of, content)


class ChannelPublisher(ZmqPublisher):
    """Makes each frame when it is sent: a million of them would be 200 MB.

    `content` goes into JSON as it is, so it holds nothing that must be escaped.
    """

    def __init__(self, spec: str, name_of: Callable[[int], str], content: str) -> None:
        super().__init__(spec, 0, ITEM_BYTES)
        self._name_of = name_of
        self._rest = f'","formats":{{"http-stream":{{"content":"{content}"}}}}}}'

    def publish(self, channel: int, at_ns: int = 0) -> None:
        """See ItemPublisher."""
        self.send(f'J{{"channel":"{self._name_of(channel)}{self._rest}'.encode())


def name_of_group(subscriptions: int) -> Callable[[int], str]:
    """Number the channels of connections that have `subscriptions` each: all of c0 come before c1.0."""
    return lambda number: f"c{number // subscriptions}.{number % subscriptions}"
