"""What a scenario is made of: data only, read by the runner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.integration.origin import Answer


@dataclass(frozen=True, slots=True)
class Send:
    """The client sends bytes; its connection opens with the first ones."""

    data: bytes
    client: str = "a"


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait until the client has received `marker` so many times (chunk framing taken off)."""

    marker: bytes
    count: int = 1
    client: str = "a"
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class End:
    """Wait until the server has ended the client's connection."""

    client: str = "a"


@dataclass(frozen=True, slots=True)
class Leave:
    """The client ends its side of the connection."""

    client: str = "a"


@dataclass(frozen=True, slots=True)
class HalfClose:
    """The client says that it will send no more, and still listens."""

    client: str = "a"


@dataclass(frozen=True, slots=True)
class Taken:
    """Wait until the server has read all that the client has sent, or, if the client has left, ended its side too."""

    client: str = "a"


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Wait until the server has subscribed to a channel on its SUB input, which tells that the hold is in place."""

    channel: str


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """Wait until nobody holds a channel any more."""

    channel: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish items over the control port, in JSON."""

    items: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Push:
    """Publish one message over ZeroMQ PUSH; more frames than one are no item."""

    frame: bytes
    more: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Tell:
    """Send one message on a ZeroMQ publisher's socket: a topic and an item, or what is none."""

    frames: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Command:
    """Send frames to the command socket. Its reply joins the transcript, the keys of its maps in order.

    `is_answered`: otherwise there must be no reply before that to a request which is sent behind it.
    """

    frames: Sequence[bytes]
    is_answered: bool = True


@dataclass(frozen=True, slots=True)
class Control:
    """Send bytes to the control port and wait for the end of its answer, which joins the transcript."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """Wait until the origin has got so many requests for a target."""

    target: str
    count: int = 1
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Told:
    """Wait until the origin has got so many requests for a target with all of their bodies."""

    target: str
    count: int


@dataclass(frozen=True, slots=True)
class Answered:
    """Wait until the origin has sent the whole of so many answers."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class OriginSend:
    """The origin sends bytes on the newest connection on which it listens, or on that of a target."""

    data: bytes
    target: str | None = None


@dataclass(frozen=True, slots=True)
class OriginReceive:
    """Wait until the origin has received `marker` so many times on that connection, as the transcript shows it."""

    marker: bytes
    count: int = 1
    target: str | None = None


@dataclass(frozen=True, slots=True)
class OriginLeave:
    """The origin ends its side of that connection, and waits until the proxy has ended the other."""

    target: str | None = None


@dataclass(frozen=True, slots=True)
class OriginEnd:
    """Wait until the proxy has ended that connection."""

    target: str | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until the server has taken in every answer that its origin has sent before this step.

    A stream opened on another origin and received tells it: one worker takes answers in the order of their sending.
    """


@dataclass(frozen=True, slots=True)
class Release:
    """Let the origin go on where its answer stands at WAIT."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Let time pass, where a rule is about time and nothing tells that it has passed."""

    duration_s: float


Step = (
    Send
    | Receive
    | End
    | Leave
    | HalfClose
    | Taken
    | Subscribed
    | Unsubscribed
    | Publish
    | Push
    | Tell
    | Command
    | Control
    | Asked
    | Told
    | Answered
    | OriginSend
    | OriginReceive
    | OriginLeave
    | OriginEnd
    | Settle
    | Release
    | Pause
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What the two servers are known to do differently: the row `id` of docs/compatibility.md holds the reason.

    The reference's transcript must hold the text `reference`, and be equal to ours once `ours` stands in its place.
    """

    id: str
    reference: str
    ours: str


Differences = Difference | Sequence[Difference] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One conversation among client, proxy, origin and publisher."""

    name: str
    why: str
    steps: Sequence[Step]
    config: str = "plain"  # a key of configurations.CONFIGURATIONS
    warm: Sequence[str] = ()  # channels held since the server's start: nobody is the first on them
    origin: Mapping[str, Answer] = field(default_factory=dict)
    difference: Differences = None
    is_framing_free: bool = False  # sized or chunked, both are right: the reference decides by timing
    is_repeat_free: bool = False  # the reference may ask the origin again while it holds
    is_accept_ours: bool = False  # the proxy makes the request's Accept itself, so both send it
    is_count_free: bool = False  # how often a frame comes again is up to the clock
    is_origin_compared: bool = True
    is_origin_order_free: bool = False  # requests of several clients: which comes first is chance


def get(target: str, *headers: str, host: str = "plain.test", version: str = "1.1", method: str = "GET") -> bytes:
    """Spell a request without a body."""
    return "\r\n".join([f"{method} {target} HTTP/{version}", f"Host: {host}", *headers, "", ""]).encode("latin-1")


def post(target: str, body: bytes, *headers: str, host: str = "plain.test") -> bytes:
    """Spell a POST request with its Content-Length."""
    return get(target, *headers, f"Content-Length: {len(body)}", host=host, method="POST") + body


def item(channel: str, name: str = "http-stream", **keys: object) -> dict[str, object]:
    """Spell an item with one format; keys with a dash are written with an underscore."""
    return {"channel": channel, "formats": {name: {key.replace("_", "-"): value for key, value in keys.items()}}}
