"""How much each benchmark does: `tiny` to see that it works, `modest` on a shared machine, `full` for the record."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class HeldMemorySize:
    """The slope of memory is taken between these two."""

    low_count: int
    high_count: int


@dataclass(frozen=True, slots=True)
class AcceptHoldSize:
    """`warm_count` are held before the clock starts."""

    warm_count: int
    count: int


@dataclass(frozen=True, slots=True)
class FanOutSize:
    """Publishing stops after `load_s` or `deliveries_max`, whichever comes first."""

    connections: int
    subscribers: tuple[int, ...]  # per channel, each a case of its own
    load_s: float
    deliveries_max: int


@dataclass(frozen=True, slots=True)
class PlainProxySize:
    """Kept-alive connections that are busy for `load_s`."""

    connections: int
    load_s: float


@dataclass(frozen=True, slots=True)
class PublishLatencySize:
    """Streams held, `search_s` to find a server's maximum, and `load_s` at each percentage of it."""

    channels: int
    subscribers: int  # per channel
    search_s: float
    load_s: float
    percents: tuple[int, ...] = (10, 50, 90)


@dataclass(frozen=True, slots=True)
class PublishRateSize:
    """Channels with so many subscribers each, a case for each number; `load_s` at the maximum, and again at half."""

    channels: int
    load_s: float
    subscribers: tuple[int, ...] = (0, 1, 10)


@dataclass(frozen=True, slots=True)
class FloodSize:
    """`items_per_s` from all publishers together; of `one_in` items one has a subscriber, a case for each number."""

    items_per_s: int
    load_s: float
    subscribers: int = 1000  # each on a channel of its own
    publishers: int = 4
    item_bytes: int = 64
    one_in: tuple[int, ...] = (100, 10, 1)


@dataclass(frozen=True, slots=True)
class SlowReadersSize:
    """Clients that never read on one channel, and readers on that one and on another."""

    slow_count: int
    other_readers: int
    same_readers: int
    fill_items: int  # published to the slow ones, until no socket takes more
    load_s: float
    items_per_s: int = 100  # on each of the two channels
    item_bytes: int = 1024


@dataclass(frozen=True, slots=True)
class HostileSize:
    """Hostile clients of each kind, and good ones beside them for three times `load_s`."""

    slow: int  # connections: slow heads, slow bodies, slow readers
    pipelines: int  # connections with a thousand requests in each write
    malformed: int  # requests
    load_s: float
    good_connections: int = 8
    good_per_s: int = 200


@dataclass(frozen=True, slots=True)
class WavesSize:
    """Waves of streams that are opened, held and left."""

    connections: int
    waves: int
    rival_waves: int  # of the servers beside gripproxy, which need several times as long


@dataclass(frozen=True, slots=True)
class WsIdleSize:
    """The slope of memory is taken between two numbers; fewer where a WebSocket takes more files or memory."""

    low_count: int
    high_count: int
    other_low_count: int
    other_high_count: int


@dataclass(frozen=True, slots=True)
class WsBroadcastSize:
    """So many WebSockets and as many streams get `items` each in turn, `rounds` times."""

    connections: int
    rounds: int
    items: int


@dataclass(frozen=True, slots=True)
class WsMessagesSize:
    """WebSockets that send so many messages at once and wait for their echoes, each number a case of its own."""

    connections: int
    load_s: float
    bursts: tuple[int, ...] = (1, 16)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What each benchmark gets, under its name, and what they have in common."""

    held_memory: HeldMemorySize
    accept_hold: AcceptHoldSize
    fan_out: FanOutSize
    plain_proxy: PlainProxySize
    publish_latency: PublishLatencySize
    publish_rate: PublishRateSize
    flood: FloodSize
    slow_readers: SlowReadersSize
    hostile: HostileSize
    waves: WavesSize
    ws_idle: WsIdleSize
    ws_broadcast: WsBroadcastSize
    ws_messages: WsMessagesSize
    client_processes: int = 1
    # Before each reading: work put off until after a response, and memory that only a request needs, are done with.
    settle_s: float = 1.0
    limit_s: float = 100.0  # one server in one case; one wave, one load

    def settings(self, benchmark: str) -> dict[str, str]:
        """List what one benchmark did, for its report."""
        own = asdict(getattr(self, benchmark))
        common = {"client_processes": self.client_processes, "settle_s": self.settle_s}
        return {name: str(value) for name, value in (own | common).items()}


SIZES = {
    "tiny": Sizes(
        held_memory=HeldMemorySize(20, 60),
        accept_hold=AcceptHoldSize(warm_count=5, count=40),
        fan_out=FanOutSize(40, (1, 40), load_s=1.0, deliveries_max=400),
        plain_proxy=PlainProxySize(4, load_s=1.0),
        publish_latency=PublishLatencySize(channels=4, subscribers=10, search_s=0.3, load_s=0.3, percents=(10,)),
        publish_rate=PublishRateSize(channels=4, load_s=0.5),
        flood=FloodSize(items_per_s=5_000, load_s=0.5, subscribers=20, one_in=(10,)),
        slow_readers=SlowReadersSize(20, other_readers=5, same_readers=5, fill_items=30, load_s=0.3),
        hostile=HostileSize(slow=30, pipelines=2, malformed=100, load_s=0.3),
        waves=WavesSize(40, waves=3, rival_waves=2),
        ws_idle=WsIdleSize(20, 60, 10, 30),
        ws_broadcast=WsBroadcastSize(40, rounds=2, items=3),
        ws_messages=WsMessagesSize(4, load_s=0.3, bursts=(1, 4)),
        settle_s=0.1,
        limit_s=30.0,
    ),
    "modest": Sizes(
        held_memory=HeldMemorySize(1000, 5000),
        accept_hold=AcceptHoldSize(warm_count=200, count=3000),
        fan_out=FanOutSize(3000, (1, 10, 1000), load_s=4.0, deliveries_max=100_000),
        plain_proxy=PlainProxySize(32, load_s=4.0),
        publish_latency=PublishLatencySize(channels=30, subscribers=100, search_s=2.0, load_s=4.0),
        publish_rate=PublishRateSize(channels=100, load_s=6.0),
        flood=FloodSize(items_per_s=100_000, load_s=10.0),
        slow_readers=SlowReadersSize(2000, other_readers=100, same_readers=20, fill_items=300, load_s=5.0),
        hostile=HostileSize(slow=1000, pipelines=4, malformed=10_000, load_s=5.0),
        waves=WavesSize(3000, waves=5, rival_waves=2),
        ws_idle=WsIdleSize(1000, 5000, 500, 2000),
        ws_broadcast=WsBroadcastSize(2000, rounds=4, items=10),
        ws_messages=WsMessagesSize(32, load_s=4.0),
        limit_s=60.0,
    ),
    "full": Sizes(
        held_memory=HeldMemorySize(2000, 15_000),
        accept_hold=AcceptHoldSize(warm_count=1000, count=10_000),
        fan_out=FanOutSize(15_000, (1, 10, 1000, 15_000), load_s=10.0, deliveries_max=600_000),
        plain_proxy=PlainProxySize(64, load_s=8.0),
        publish_latency=PublishLatencySize(channels=150, subscribers=100, search_s=5.0, load_s=20.0),
        publish_rate=PublishRateSize(channels=100, load_s=20.0),
        flood=FloodSize(items_per_s=100_000, load_s=60.0),
        slow_readers=SlowReadersSize(10_000, other_readers=100, same_readers=20, fill_items=400, load_s=20.0),
        hostile=HostileSize(slow=10_000, pipelines=10, malformed=100_000, load_s=15.0),
        waves=WavesSize(15_000, waves=20, rival_waves=3),
        ws_idle=WsIdleSize(2000, 15_000, 1000, 5000),
        ws_broadcast=WsBroadcastSize(10_000, rounds=8, items=5),
        ws_messages=WsMessagesSize(64, load_s=10.0),
        settle_s=2.0,
    ),
}
