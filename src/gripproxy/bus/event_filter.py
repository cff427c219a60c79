"""What a listener wants to hear of, from the query of ``GET /events``. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gripproxy.bus.control_request import ControlRequestError
from gripproxy.protocol.event_line import Event
from gripproxy.protocol.telemetry import HoldRecord, PublishRecord, RequestRecord
from gripproxy.scoreboard import Watch

KINDS: dict[str, type[Event]] = {"request": RequestRecord, "hold": HoldRecord, "publish": PublishRecord}
KIND_NAMES = {record_type: name for name, record_type in KINDS.items()}

_PARAMETERS = ("channel", "route", "kind")


@dataclass(slots=True)
class EventFilter:
    """Events of these kinds, channels and routes; an empty tuple leaves it open.

    A request has no channel and a publish no route: a filter of one leaves out the other. A channel that ends with
    ``*`` stands for all that begin so.
    """

    channels: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    kinds: tuple[type[Event], ...] = ()
    # For a quick look: every item of the host is compared with every listener's channels.
    _names: frozenset[str] = field(init=False, repr=False, compare=False)
    _beginnings: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._names = frozenset(self.channels)
        self._beginnings = tuple({name.removesuffix("*") for name in self.channels if name.endswith("*")})

    @property
    def possible_kinds(self) -> set[type[Event]]:
        """The kinds that can pass at all."""
        kinds: set[type[Event]] = set(self.kinds or KINDS.values())
        if self.channels:
            kinds.discard(RequestRecord)
        if self.routes:
            kinds.discard(PublishRecord)
        return kinds

    @property
    def watch(self) -> Watch:
        """What has to be watched for it."""
        kinds = self.possible_kinds
        bits = Watch.EVENTS if kinds & {RequestRecord, HoldRecord} else Watch(0)
        return bits | Watch.MESSAGES if PublishRecord in kinds else bits

    def passes(self, event: Event) -> bool:
        if self.kinds and type(event) not in self.kinds:
            return False
        if self.routes and (isinstance(event, PublishRecord) or event.route not in self.routes):
            return False
        if not self.channels:
            return True
        if isinstance(event, RequestRecord):
            return False
        if isinstance(event, PublishRecord):
            return self._is_wanted(event.channel)
        return any(map(self._is_wanted, event.channels))

    def _is_wanted(self, name: str) -> bool:
        return name in self._names or name.startswith(self._beginnings)


def decode_event_filter(parameters: Mapping[str, Sequence[str]]) -> EventFilter:
    """Decode ``channel=..&route=..&kind=..``, each as often as wanted.

    Raises:
        ControlRequestError: another parameter, or a kind that does not exist.
    """
    unknown = [name for name in parameters if name not in _PARAMETERS]
    if unknown:
        raise ControlRequestError(f"unknown parameter {unknown[0]!r}; there are: {', '.join(_PARAMETERS)}")
    kinds = []
    for text in parameters.get("kind", ()):
        if text not in KINDS:
            raise ControlRequestError(f"unknown kind {text!r}; there are: {', '.join(KINDS)}")
        kinds.append(KINDS[text])
    return EventFilter(tuple(parameters.get("channel", ())), tuple(parameters.get("route", ())), tuple(kinds))
