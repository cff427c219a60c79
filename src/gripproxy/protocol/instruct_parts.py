"""What an instruct says, as values; made by `instruct` (header form) and `instruct_json` (body form)."""

from dataclasses import dataclass, field
from enum import IntEnum

from gripproxy.errors import OriginError

HOLD_TIMEOUT_DEFAULT_S = 55  # same as Pushpin, as are the limits below
HOLD_TIMEOUT_MIN_S = 5
KEEP_ALIVE_TIMEOUT_DEFAULT_S = 55
KEEP_ALIVE_TIMEOUT_MIN_S = 1
NEXT_LINK_TIMEOUT_DEFAULT_S = 120
STATUS_MAX = 999
VALUE_SHOWN_MAX_COUNT = 80  # characters of an offending value in an error: enough to recognize it


class HoldMode(IntEnum):
    """What becomes of the client's request: answered now, parked for one response, or kept open as a stream."""

    NONE = 0
    RESPONSE = 1
    STREAM = 2


@dataclass(slots=True)
class ChannelInstruct:
    """One channel to subscribe to, its name without the route's prefix (an empty name is legal).

    `prev_id` "" is an id like any other and turns tracking on; None means no tracking.
    """

    name: str
    prev_id: str | None = None
    filters: tuple[str, ...] = ()


@dataclass(slots=True)
class KeepAlive:
    """Bytes to write to a quiet stream, never empty: an empty chunk would end the client's response.

    `is_interval`: every `timeout_s` whatever else was sent; otherwise `timeout_s` after the last item.
    """

    content: bytes
    timeout_s: int = KEEP_ALIVE_TIMEOUT_DEFAULT_S
    is_interval: bool = False


@dataclass(slots=True)
class NextLink:
    """Where a stream continues. `uri` is absolute or relative and pure printable ASCII without blanks."""

    uri: str
    timeout_s: int = NEXT_LINK_TIMEOUT_DEFAULT_S


@dataclass(slots=True)
class Instruct:
    """What the origin wants done, and in `status` to `body` the response that the client gets.

    For a response hold that is the answer on timeout, for a stream hold the beginning of the stream. `headers` hold
    no framing and no Grip-* lines; CR, LF and NUL occur neither in them nor in `reason`.
    """

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    hold: HoldMode = HoldMode.NONE
    channels: list[ChannelInstruct] = field(default_factory=list)
    timeout_s: int = HOLD_TIMEOUT_DEFAULT_S
    keep_alive: KeepAlive | None = None
    meta: dict[str, str] = field(default_factory=dict)
    next_link: NextLink | None = None
    gone_link: str | None = None


def instruct_error(text: str, value: bytes | str) -> OriginError:
    """Make the error to raise: Pushpin's `text`, then the value that is wrong."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    shown = value if len(value) <= VALUE_SHOWN_MAX_COUNT else value[:VALUE_SHOWN_MAX_COUNT] + "..."
    return OriginError(f"{text} (value: {shown!r})")


def decode_text(field_name: str, value: bytes) -> str:
    """Read UTF-8; `field_name` is for the error.

    Raises:
        OriginError: not UTF-8. Pushpin puts U+FFFD for bad bytes, which makes one channel of different names.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise instruct_error(f"{field_name} is not UTF-8", value) from None


def merge_channels(channels: list[ChannelInstruct]) -> list[ChannelInstruct]:
    """Make one channel of those with the same name: at the first one's place, with the last one's content."""
    if len(channels) < 2:
        return channels
    return list({channel.name: channel for channel in channels}.values())
