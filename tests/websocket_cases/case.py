"""One case: bytes to send, and what must come back."""

from dataclasses import dataclass, replace

from gripproxy.protocol.websocket_frame import CLOSE, TEXT
from tests.protocol.websocket_streams import chopped, raw_frame

FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
GOODBYE = (1000, b"bye")


def closing(code: int, reason: bytes = b"") -> bytes:
    """Give the payload of a close frame."""
    return code.to_bytes(2, "big") + reason


@dataclass(slots=True, frozen=True, kw_only=True)
class Case:
    """What a client sends in `parts`, each written by itself, gives `messages` and `pongs`; then it sends `ending`.

    The server answers that with a close frame: `code`, and `reason` if that is not None. `socket_only` is what is too
    large over HTTP, `over_http_only` what is an origin's business otherwise.
    """

    name: str
    parts: tuple[bytes, ...] = ()
    messages: tuple[tuple[int, bytes], ...] = ()
    pongs: tuple[bytes, ...] = ()
    ending: tuple[bytes, ...] = (raw_frame(FIN | CLOSE, closing(*GOODBYE)),)
    code: int = GOODBYE[0]
    reason: bytes | None = GOODBYE[1]
    is_breach: bool = False
    is_deflating: bool = False
    socket_only: bool = False
    over_http_only: bool = False

    def in_bytes(self) -> "Case":
        """Give the same case, with each byte written by itself."""
        sent = (b"".join(self.parts), b"".join(self.ending))
        parts, ending = (tuple(chopped(wire, 1)) for wire in sent)
        return replace(self, name=f"{self.name}, byte by byte", parts=parts, ending=ending)


def breach(name: str, wire: bytes, code: int = 1002, is_deflating: bool = False, before: bytes = b"") -> Case:
    """Give a case of what the server must refuse with a close frame. `before` gives no message."""
    parts = (before,) if before else ()
    return Case(
        name=name, parts=parts, ending=(wire,), code=code, reason=None, is_breach=True, is_deflating=is_deflating
    )


def text(payload: bytes, is_final: bool = True) -> bytes:
    """Write a text frame."""
    return raw_frame((FIN if is_final else 0) | TEXT, payload)


def more(payload: bytes, is_final: bool = True) -> bytes:
    """Write a continuation frame."""
    return raw_frame(FIN if is_final else 0, payload)
