"""What requests over ZeroMQ have in common, whatever is asked: sequence numbers, credits, time, and ways to fail."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum

from gripproxy.protocol.http1 import ResponseHead
from gripproxy.protocol.zhttp import CANCEL, CREDITS_BYTES, ERROR, RequestId, ResponsePacket, encode_credit

GRANT_MIN_BYTES = 20_000  # less is not worth a packet: an origin has most of its credits then
EXCESS_MAX_BYTES = CREDITS_BYTES  # beyond the credits: logged, as in Pushpin; but past this it is memory without end
SILENT_MAX_S = 60.0  # without a packet from the origin
KEEP_ALIVE_S = 45.0  # without a packet from us


class ZhttpFailure(IntEnum):
    """Why there is no response, or not all of it."""

    UNREACHED = 0  # the origin's own attempt to get through failed: another target may be asked
    BROKEN = 1
    TIMED_OUT = 2
    LENGTH_REQUIRED = 3
    POLICY = 4


UNREACHED, BROKEN, TIMED_OUT, LENGTH_REQUIRED, POLICY = ZhttpFailure

_CONDITIONS = {
    b"remote-connection-failed": UNREACHED,
    b"connection-timeout": UNREACHED,
    b"tls-error": UNREACHED,
    b"length-required": LENGTH_REQUIRED,
    b"policy-violation": POLICY,
}


@dataclass(slots=True)
class Came:
    """What a packet brought, in this order. After an end, or a failure, nothing more comes."""

    head: ResponseHead | None = None
    body: bytes = b""
    is_end: bool = False
    failure: ZhttpFailure | None = None
    detail: str = ""


def failed(failure: ZhttpFailure, detail: str) -> Came:
    return Came(failure=failure, detail=detail)


def failed_by(packet: ResponsePacket) -> Came:
    """Say what an error packet means."""
    condition = packet.condition
    return failed(_CONDITIONS.get(condition, BROKEN), f"it reported {ascii(condition[:100])[1:]}")


def silent(silent_s: float) -> Came | None:
    """Give the failure of an origin that has been silent for so long, if that is too long."""
    return failed(TIMED_OUT, f"it was silent for {silent_s:.0f} s") if silent_s >= SILENT_MAX_S else None


class ZhttpStream(ABC):
    """Packets both ways. What there is to say lies in `outgoing`, for `address`, in order.

    Args:
        name: the request's id.
        instance: of the proxy: where answers go.
    """

    __slots__ = (
        "_credits",
        "_instance",
        "_seq_in",
        "_seq_out",
        "_taken_bytes",
        "_window",
        "active_at",
        "address",
        "excess_bytes",
        "is_multi",
        "name",
        "outgoing",
        "sent_at",
    )

    def __init__(self, name: bytes, instance: bytes, now: float) -> None:
        self.name = name
        self.address: bytes | None = None
        self.outgoing: list[bytes] = []
        self.is_multi = False
        self.active_at = now  # the origin's last packet
        self.sent_at = now
        self.excess_bytes = 0  # what came beyond the credits
        self._instance = instance
        self._seq_in = 0
        self._seq_out = 0
        self._credits = 0  # bytes that we may still send
        self._window = CREDITS_BYTES  # bytes that the origin may still send
        self._taken_bytes = 0  # of them, for which no credits were granted yet

    def take_outgoing(self) -> list[bytes]:
        """Give what is to be sent now."""
        packets, self.outgoing = self.outgoing, []
        return packets

    def grant(self, now: float) -> None:
        """Let the origin send as much again as was taken: the client is keeping up."""
        if self._taken_bytes >= GRANT_MIN_BYTES and self._is_answering:
            self._window += self._taken_bytes
            self._say(encode_credit(self.name, self._seq_out, self._instance, self._taken_bytes), now)
            self._taken_bytes = 0

    def check(self, now: float) -> Came:
        """Fail if the origin has been silent for too long."""
        came = silent(now - self.active_at)
        if came is None or came.failure is None:
            return Came()
        return self._fail(came.failure, came.detail)

    def keep_alive(self, now: float) -> RequestId | None:
        """Give the number of a keep-alive packet, which the caller sends, if it is time for one."""
        if self.address is None or now - self.sent_at < KEEP_ALIVE_S:
            return None
        self.sent_at = now
        self._seq_out += 1
        return RequestId(self.name, self._seq_out - 1)

    def receive(self, packet: ResponsePacket, seq: int | None, now: float) -> Came:
        """Take a packet of the origin; `seq` is its number for this request."""
        fault = self._note(packet, seq, now)
        if fault is not None:
            return self._fail(BROKEN, fault)
        came = self._handle(packet)
        self._send(now)
        return came

    @property
    @abstractmethod
    def _is_answering(self) -> bool:
        """Whether the origin may have more to send."""

    @abstractmethod
    def _handle(self, packet: ResponsePacket) -> Came:
        """Do what a packet in its order means in the present state."""

    @abstractmethod
    def _send(self, now: float) -> None:
        """Send what there is, as far as credits go."""

    @abstractmethod
    def _fail(self, failure: ZhttpFailure, detail: str) -> Came:
        """Give up; the origin does not know it yet."""

    def _say(self, packet: bytes, now: float) -> None:
        self._seq_out += 1
        self.sent_at = now
        self.outgoing.append(packet)

    def _note(self, packet: ResponsePacket, seq: int | None, now: float) -> str | None:
        """Note what any packet says, and say what is wrong with its number or, if it is the first, its sender.

        Errors and cancels need neither: they end the request anyway.
        """
        self.active_at = now
        if packet.type not in (ERROR, CANCEL):
            if seq != self._seq_in:
                return f"its packet has number {seq} instead of {self._seq_in}"
            if self.address is None and packet.sender is None:
                return "its first packet does not say who it is from"
            self.address = self.address or packet.sender
        self._seq_in += 1
        self.is_multi |= packet.is_multi
        self._credits += packet.credits
        return None

    def _count(self, size: int) -> str | None:
        """Count bytes against the origin's credits, and say so if it went too far beyond them."""
        self._window -= size
        self._taken_bytes += size
        self.excess_bytes = max(self.excess_bytes, -self._window)
        if self._window >= -EXCESS_MAX_BYTES:
            return None
        return f"it sent {-self._window} bytes more than it had credits for"
