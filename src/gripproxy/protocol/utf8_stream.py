"""UTF-8 that comes in parts, cut anywhere."""

from codecs import utf_8_decode

_SURROGATE = b"\xed\xa0"  # what begins so is none in UTF-8; Python's decoder waits for a third byte to say so


class Utf8Stream:
    """Whether the parts of a text are UTF-8. It keeps at most the three bytes of a character that is not whole yet."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def takes(self, part: bytes, is_end: bool) -> bool:
        """Tell whether the text can still be UTF-8 with this part; at its end whether it is. Then a new text begins."""
        if not self._rest and part.isascii():
            return True
        data = self._rest + part
        try:
            _, used_bytes = utf_8_decode(data, "strict", is_end)
        except UnicodeDecodeError:
            return False
        self._rest = data[used_bytes:]
        return self._rest < _SURROGATE or self._rest[:1] != _SURROGATE[:1]
