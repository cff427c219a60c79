"""The body of one request: taken off the client's buffer however it is framed, and framed anew for the origin."""

from gripproxy.errors import ClientError
from gripproxy.protocol.http1 import LAST_CHUNK, encode_chunk
from gripproxy_worker.request_reader import ChunkedBody


class RequestBody:
    """A body that is not empty, or whose length is not known yet.

    Args:
        length: of its content; 0 with `chunked`.
        chunked: decodes it.
        max_bytes: of its content; 0 for no limit.

    Raises:
        ClientError: 413, it is too large.
    """

    __slots__ = ("_chunked", "_left_bytes", "_max_bytes", "_taken_bytes", "is_complete")

    def __init__(self, length: int, chunked: ChunkedBody | None, max_bytes: int) -> None:
        self.is_complete = False
        self._chunked = chunked
        self._left_bytes = length
        self._max_bytes = max_bytes
        self._taken_bytes = 0
        self._check_size(length)

    def take(self, buffer: bytes) -> tuple[bytes, bytes]:
        """Give the content that `buffer` begins with, and what is left in it for the next request.

        Raises:
            ClientError: a chunk is malformed, or the content is too large.
        """
        if self._chunked is None:
            content, rest = buffer[: self._left_bytes], buffer[self._left_bytes :]
            self._left_bytes -= len(content)
            self.is_complete = self._left_bytes == 0
            return content, rest
        content, rest = self._chunked.feed(buffer)
        self._taken_bytes += len(content)
        self._check_size(self._taken_bytes)
        self.is_complete = self._chunked.is_complete
        return content, rest

    def encode(self, content: bytes) -> bytes:
        """Frame what was just taken; may be nothing."""
        if self._chunked is None:
            return content
        payload = encode_chunk(content) if content else b""
        return payload + LAST_CHUNK if self.is_complete else payload

    def _check_size(self, count: int) -> None:
        if self._max_bytes and count > self._max_bytes:
            raise ClientError(f"Request body size exceeded limit of {self._max_bytes} bytes.", 413)
