"""UTF-8 in parts is judged as the whole is, and as early as its bytes allow."""

import pytest

from gripproxy.protocol.utf8_stream import Utf8Stream

TEXT = "a\u00e9\u20ac\U0001f600z\0\ufffe\U0010ffff".encode()

# Valid beginnings, and the byte with which they cannot be UTF-8 any more.
BAD = [
    (b"ab", b"\x80"),
    (b"ab", b"\xc0"),
    (b"ab", b"\xc1"),
    (b"ab", b"\xf5"),
    (b"ab", b"\xff"),
    (b"ab\xc3", b"\xc3"),
    (b"\xe0", b"\x9f"),
    (b"\xed", b"\xa0"),
    (b"\xe2\x82", b"\x41"),
    (b"\xf0", b"\x8f"),
    (b"\xf4", b"\x90"),
    (b"\xf0\x9f\x98", b"\xc0"),
]


def judge(stream: Utf8Stream, parts: list[bytes]) -> bool:
    """Give all parts to the stream, the last one as the end, until one is refused."""
    return all(stream.takes(part, index == len(parts) - 1) for index, part in enumerate(parts))


@pytest.mark.parametrize("first", range(len(TEXT) + 1))
def test_text_is_taken_wherever_it_is_cut(first: int) -> None:
    """Characters may be cut twice, and empty parts come too."""
    for second in range(first, len(TEXT) + 1):
        stream = Utf8Stream()
        for _ in range(2):  # the second time as the next text
            assert judge(stream, [TEXT[:first], TEXT[first:second], b"", TEXT[second:]])


@pytest.mark.parametrize(("good", "bad"), BAD)
def test_text_is_refused_with_the_first_byte_that_proves_it(good: bytes, bad: bytes) -> None:
    """No later, and no earlier."""
    for cut in range(len(good) + 1):
        stream = Utf8Stream()
        assert stream.takes(good[:cut], False) and stream.takes(good[cut:], False)
        assert not stream.takes(bad, False)
    assert not Utf8Stream().takes(good + bad, False)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_text_must_not_end_within_a_character(size: int) -> None:
    """Whether or not something is left to say with the end."""
    part = "\U0001f600".encode()[:size]
    assert not Utf8Stream().takes(part, True)
    stream = Utf8Stream()
    assert stream.takes(part, False) and not stream.takes(b"", True)
