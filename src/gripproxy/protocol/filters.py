"""The filters of a subscription: whether an item is for one receiver, and what of its content that one gets.

Source: Pushpin 1.41's filter.cpp; ``require-sub`` for WebSockets and the network filters as in its newest version.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from gripproxy.errors import FilterError
from gripproxy.protocol.format_directives import (
    Directive,
    Template,
    parse_template,
    render,
    shown,
    substitute,
    unknown_directive,
)

MESSAGE_CONTENT = frozenset(["build-id", "var-subst", "http-modify"])
RESPONSE_CONTENT = frozenset(["build-id"])
NETWORK_FILTERS = frozenset(["http-check", "http-modify"])  # see network_filter.py

DIRECTIVE_MAX_BYTES = 4096  # that wait for the rest of a directive; an id is never as long
CACHED_MAX_BYTES = 16_384  # of a content that is kept taken apart for its next receiver
CACHED_MAX_COUNT = 32


@dataclass(slots=True)
class FilterContext:
    """What a filter looks at besides the content. Channel names are those the origin knows: without route prefix.

    `ids`: channel -> current id, for channels that have one. `names` are all channels of the connection; those of
    the target's ``sub`` have their full name.
    """

    sub_meta: Mapping[str, str]
    item_meta: Mapping[str, str]
    ids: Mapping[str, str]
    names: Collection[str]


def filter_content(filters: tuple[str, ...], context: FilterContext, content: bytes) -> bytes | None:
    """Run the filters in their order; give the content for this receiver, None if it does not get the item.

    Unknown names are passed over. Network filters are not run here: see `FilterRun`.

    Raises:
        FilterError: the content does not fit, or there is a network filter.
    """
    for name in filters:
        run = _FILTERS.get(name)
        if run is not None:
            filtered = run(context, content)
            if filtered is None:
                return None
            content = filtered
    return content


@lru_cache
def content_filters_of(filters: tuple[str, ...]) -> tuple[str, ...]:
    """Give those that change an item's content: what a publisher's ``content-filters`` must be equal to."""
    return tuple([name for name in filters if name in MESSAGE_CONTENT])


def _skip_self(context: FilterContext, content: bytes) -> bytes | None:
    user = context.sub_meta.get("user")
    return None if user and user == context.item_meta.get("sender") else content


def _skip_users(context: FilterContext, content: bytes) -> bytes | None:
    user = context.sub_meta.get("user")
    skipped = context.item_meta.get("skip_users", "")
    # Most users are not in the list, which one search tells.
    is_skipped = user and user in skipped and user in [part.strip() for part in skipped.split(",")]
    return None if is_skipped else content


def _require_sub(context: FilterContext, content: bytes) -> bytes | None:
    name = context.item_meta.get("require_sub")
    return None if name and name not in context.names else content


def _build_id(context: FilterContext, content: bytes) -> bytes:
    current_id: bytes | None = None
    id_format = _id_format(context.sub_meta)
    if context.names:
        try:
            current_id = substitute(_template(id_format.encode("utf-8", "replace")), context.ids)
        except FilterError as error:
            raise FilterError(f"failed to render ID: {error}") from None
    return render(_template(content), _ids(current_id, _is_hex(context.sub_meta)))


def _id_format(meta: Mapping[str, str]) -> str:
    id_format = meta.get("id_format")
    if id_format is None:
        raise FilterError("no sub meta 'id_format'")
    return id_format


def _is_hex(meta: Mapping[str, str]) -> bool:
    encoding = meta.get("id_encoding")
    if encoding is not None and encoding != "hex":
        raise FilterError(f"unsupported encoding: {shown(encoding)}")
    return encoding is not None


def _ids(current_id: bytes | None, is_hex: bool) -> Callable[[Directive], bytes]:
    """Give what expands ``%I`` and ``%(id)I``, the first to `current_id`."""

    def id_of(directive: Directive) -> bytes:
        if directive.letter != ord("I"):
            raise unknown_directive(directive.letter)
        text = current_id if directive.argument is None else directive.argument
        if text is None:
            raise FilterError("No ID specified and no default ID in context")
        return text.hex().encode() if is_hex else text

    return id_of


def _var_subst(context: FilterContext, content: bytes) -> bytes:
    return substitute(_template(content), context.sub_meta)


def _template(content: bytes) -> Template:
    return _small_template(content) if len(content) <= CACHED_MAX_BYTES else parse_template(content)


_small_template = lru_cache(CACHED_MAX_COUNT)(parse_template)


def _refuse_network_filter(context: FilterContext, content: bytes) -> bytes:
    raise FilterError("http-check and http-modify need a request")


_FILTERS: dict[str, Callable[[FilterContext, bytes], bytes | None]] = {
    "skip-self": _skip_self,
    "skip-users": _skip_users,
    "require-sub": _require_sub,
    "build-id": _build_id,
    "var-subst": _var_subst,
    "http-check": _refuse_network_filter,
    "http-modify": _refuse_network_filter,
}


class ResponseFilter:
    """``build-id`` for the body of an origin's response: it comes in parts, and there is no current id yet.

    Each part may raise FilterError; then the body cannot go on.
    """

    def __init__(self, sub_meta: Mapping[str, str]) -> None:
        self._meta = sub_meta
        self._pending = b""  # the beginning of a directive
        self._offset = 0  # of it in the body

    def feed(self, part: bytes) -> bytes:
        """Take the next part of the body; give what can go to the client."""
        text = self._pending + part
        template = self._parse(text)
        rendered = render(template, _ids(None, _is_hex(self._meta)), is_open=True)
        self._pending = text[template.end :]
        self._offset += template.end
        if len(self._pending) > DIRECTIVE_MAX_BYTES:
            raise FilterError(f"Directive of more than {DIRECTIVE_MAX_BYTES} bytes at position {self._offset}")
        return rendered

    def end(self) -> bytes:
        """Take it that the body is complete; give what is left of it."""
        return render(self._parse(self._pending), _ids(None, _is_hex(self._meta)))

    def _parse(self, text: bytes) -> Template:
        _id_format(self._meta)  # must be there, although it is not used
        return parse_template(text, self._offset)


def response_filter(channel_filters: Iterable[tuple[str, ...]], sub_meta: Mapping[str, str]) -> ResponseFilter | None:
    """Give what the body of a response must pass that holds channels with these filters; None for as it is."""
    names = {name for filters in channel_filters for name in filters}
    return None if RESPONSE_CONTENT.isdisjoint(names) else ResponseFilter(sub_meta)
