"""The filters that ask a server: ``http-check`` whether a receiver gets an item, ``http-modify`` also what of it.

Source: the newest Pushpin's filter.cpp.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from gripproxy.errors import FilterError, OriginError
from gripproxy.protocol.filters import NETWORK_FILTERS, FilterContext, filter_content
from gripproxy.protocol.header_params import header_value
from gripproxy.protocol.http1 import Headers
from gripproxy.protocol.link_url import LinkUrl, resolve_link
from gripproxy.protocol.origin_request import encode_grip_last

TIMEOUT_S = 10.0  # same as Pushpin, as are the others
RESPONSE_MAX_BYTES = 100_000
REQUESTS_MAX_RATE = 100  # a second, of one worker


@dataclass(slots=True)
class FilterRequest:
    """What a network filter wants to know: a POST with these headers, Host and the proxy's own not included."""

    url: LinkUrl
    headers: Headers
    body: bytes


@dataclass(slots=True)
class FilterRun:
    """A subscription's filters on their way over one item's content, for lists with a network filter.

    `advance` and `take_answer` in turn, until `advance` gives no request; then `content` is the outcome, None for an
    item that this receiver does not get. `last_ids` say where it stands before this item.
    """

    filters: tuple[str, ...]
    context: FilterContext
    last_ids: Mapping[str, str]
    content: bytes | None
    next_index: int = 0  # the first filter that has not run

    def advance(self, base: LinkUrl) -> FilterRequest | None:
        """Run the filters up to the next that asks, and give its request.

        Args:
            base: what the filter's URL is relative to: that of the hold's request, or of its latest link.

        Raises:
            FilterError: ends the run; the item is not for this receiver.
        """
        first = index = self.next_index
        while index < len(self.filters) and self.filters[index] not in NETWORK_FILTERS:
            index += 1
        if self.content is not None:
            self.content = filter_content(self.filters[first:index], self.context, self.content)
        self.next_index = index
        if self.content is None or index == len(self.filters):
            return None
        body = self.content if self.filters[index] == "http-modify" else b""
        return FilterRequest(self._url(base), _headers(self.context, self.last_ids), body)

    def take_answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Take the response to what `advance` gave last. More than RESPONSE_MAX_BYTES of body need not be collected.

        Raises:
            FilterError: ends the run; the item is not for this receiver.
        """
        name = self.filters[self.next_index]
        self.next_index += 1
        if status not in (200, 204):
            raise FilterError(f"unexpected network request status: code={status}")
        if header_value(headers, b"action") == b"drop":
            self.content = None
        elif name == "http-modify" and status == 200:
            if len(body) > RESPONSE_MAX_BYTES:
                raise FilterError(f"network response exceeded {RESPONSE_MAX_BYTES} bytes")
            self.content = body

    def _url(self, base: LinkUrl) -> LinkUrl:
        url = self.context.sub_meta.get("url")
        if not url:
            raise FilterError("missing url value")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise FilterError("invalid url value")
        try:
            return resolve_link(base, url)
        except OriginError:
            raise FilterError("invalid url value") from None


def request_failed(failure: str) -> FilterError:
    """Make the error of a request that got no whole answer.

    `failure` is ``connection refused``, ``connection timed out``, ``tls error``, ``disconnected``, ``request timed
    out`` or ``general error``.
    """
    return FilterError(f"network request failed: {failure}")


def _headers(context: FilterContext, last_ids: Mapping[str, str]) -> Headers:
    meta = [(b"Sub-Meta", _json(context.sub_meta)), (b"Pub-Meta", _json(context.item_meta))]
    return meta + encode_grip_last(list(last_ids.items()))


def _json(meta: Mapping[str, str]) -> bytes:
    return orjson.dumps(dict(meta), option=orjson.OPT_SORT_KEYS)
