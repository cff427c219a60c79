"""Items whose text says channel, number, phase and when they were due: all of the same length."""

EVENT_HEAD = "event: numbered\ndata: "
_WIDTHS = (5, 9, 2, 20)  # channel, number, phase, nanoseconds
EVENT_BYTES = len(EVENT_HEAD) + sum(_WIDTHS) + len(_WIDTHS) - 1 + 2

CHUNK_HEAD = b"%x\r\n" % EVENT_BYTES + EVENT_HEAD.encode()
CHUNK_TAIL = b"\n\n\r\n"
CHUNK_BYTES = len(CHUNK_HEAD) + EVENT_BYTES - len(EVENT_HEAD) + 2  # as a client receives it


def encode_event(channel: int, number: int, phase: int, due_ns: int) -> str:
    """Write the content of an item."""
    return f"{EVENT_HEAD}{channel:05d} {number:09d} {phase:02d} {due_ns:020d}\n\n"


def decode_chunk(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Read channel, number, phase and nanoseconds of the chunk that begins at `at` and is there to its end.

    Raises:
        ValueError: it is not one.
    """
    end = at + CHUNK_BYTES
    if not data.startswith(CHUNK_HEAD, at) or not data.endswith(CHUNK_TAIL, at, end):
        raise ValueError("not a whole item")
    channel, number, phase, due_ns = data[at + len(CHUNK_HEAD) : end - len(CHUNK_TAIL)].split(b" ")
    return int(channel), int(number), int(phase), int(due_ns)
