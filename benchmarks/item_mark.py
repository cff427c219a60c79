"""The text of every item: one MARK, the time it should have been sent at, and filling up to a given size."""

MARK = b"~"  # once in every item and nowhere else in what a client receives, so clients count it
STAMP_DIGITS = 18  # nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share: enough for 30 years
ITEM_BYTES = 64
ITEM_MIN_BYTES = len(MARK) + STAMP_DIGITS


def item_template(size_bytes: int = ITEM_BYTES) -> str:
    """Give the text of an item of `size_bytes` (at least ITEM_MIN_BYTES); ``text % time_ns`` fills the time in.

    JSON and SSE carry it unchanged, so a publisher can make its whole message once, and fill in each time's.
    """
    if size_bytes < ITEM_MIN_BYTES:
        raise ValueError(f"an item of {size_bytes} bytes has no room for its time: at least {ITEM_MIN_BYTES}")
    return f"{MARK.decode()}%0{STAMP_DIGITS}d" + "x" * (size_bytes - ITEM_MIN_BYTES)


def sse_template(size_bytes: int = ITEM_BYTES) -> str:
    """Give the template of an SSE event with a text of `size_bytes`."""
    return event_of(item_template(size_bytes))


def event_of(text: str) -> str:
    """Give the SSE event of a text."""
    return f"event: message\ndata: {text}\n\n"
