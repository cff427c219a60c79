"""One route: which requests it takes, what it does to them, and the targets it tries."""

import difflib
import re
from dataclasses import dataclass, field

from gripproxy.protocol.http1 import is_header_name
from gripproxy.protocol.jsonp import JsonpRules
from gripproxy.protocol.path_escapes import normalize_escapes
from gripproxy.protocol.route_line import RouteLineError, Section, split_route_line
from gripproxy.protocol.route_target import (
    SUPPORTED_TARGET,
    TARGET_FLAGS,
    Target,
    decode_target,
    host_value,
    target_remarks,
)

# What the reference does and this version does not: the route works, and its owner is told what is missing.
UNSUPPORTED_CONDITION = frozenset({"log_level", "session", "sockjs", "sockjs_as_path"})

MATCHING_PROPERTIES = frozenset({"proto", "ssl", "path_beg"})
REWRITING_PROPERTIES = frozenset({"as_host", "path_rem", "replace_beg", "header", "orig_headers"})
GRIP_PROPERTIES = frozenset({"id", "prefix", "sig_iss", "sig_key", "no_grip", "debug"})
SCRIPT_PROPERTIES = frozenset({"aco", "jsonp_body", "jsonp_cb", "jsonp_defcb", "jsonp_defmethod", "jsonp_mode"})
CONDITION_FLAGS = frozenset({"orig_headers", "no_grip", "debug", "aco"})
MISLEADING_ARGUMENTS = ("no", "off", "false", "0")
SUPPORTED_CONDITION = MATCHING_PROPERTIES | REWRITING_PROPERTIES | GRIP_PROPERTIES | SCRIPT_PROPERTIES

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_IN_PATHS = re.compile(rb"[^\x21-\x7e]|[?#]")
_CUT_ESCAPE = re.compile(rb"%[0-9A-Fa-f]?\Z")  # a path_beg may end with half of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A line of the routes file. `is_https` and `is_websocket` are None where the condition does not ask.

    `domain` is ``*`` for the default rules and empty for a route that only its id can reach. `headers` are in the
    order in which they apply; an empty value removes the header. `sig_key` is as written: see grip_sig.py.
    """

    domain: str
    id: str
    is_id_explicit: bool = False
    is_websocket: bool | None = None
    is_https: bool | None = None
    path_beg: bytes = b""
    prefix: str = ""
    sig_iss: str | None = None
    sig_key: str | None = None
    as_host: str | None = None
    path_rem: int = 0
    path_prepend: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    orig_headers: bool = False
    no_grip: bool = False
    debug: bool = False
    aco: bool = False  # CORS headers for all responses, and JSON-P where it is asked for
    jsonp: JsonpRules = JsonpRules()
    targets: tuple[Target, ...]
    line: str = field(default="", compare=False, repr=False)  # as it was written

    @property
    def condition(self) -> tuple[str, bool | None, bool | None, bytes]:
        """What makes two routes duplicates of each other."""
        return self.domain, self.is_websocket, self.is_https, self.path_beg

    def is_more_specific(self, other: "Route") -> bool:
        """Tell whether this route wins over `other`, both taking the request and `other` standing above it.

        The last test ignores the path: of a longer `path_beg` and an `ssl`, the lower line wins, as in Pushpin.
        """
        if (self.is_websocket is None) != (other.is_websocket is None):
            return other.is_websocket is None
        if len(self.path_beg) > len(other.path_beg):
            return True
        return other.is_https is None and self.is_https is not None

    def rewrite_path(self, target: bytes) -> bytes:
        """Apply `path_rem` or `replace_beg` to a request target (path and query, percent-encoded).

        The result begins with ``/``: an origin could not parse anything else. ``*`` is left as it is.
        """
        if (not self.path_rem and not self.path_prepend) or not target.startswith(b"/"):
            return target
        path, mark, query = target.partition(b"?")
        path = self.path_prepend + path[self.path_rem :]
        if not path.startswith(b"/"):
            path = b"/" + path
        return path + mark + query


def decode_route(line: str) -> tuple[Route, list[str]] | None:
    """Read a line of a routes file: the route with remarks on what will not work, or None for a blank line.

    Raises:
        RouteLineError: the line is no route, in the reference's words where it refuses it too. Also refused, unlike
            there: header names and hosts that would break the origin's request, and target addresses that nothing
            could be bound or connected to.
    """
    sections = split_route_line(line)
    if not sections:
        return None
    if len(sections) < 2:
        raise RouteLineError("must specify condition and at least one target")
    targets = tuple(decode_target(section) for section in sections[1:])
    route = _decode_condition(sections[0], targets, line)
    remarks = _property_remarks(sections[0], SUPPORTED_CONDITION, UNSUPPORTED_CONDITION, SUPPORTED_TARGET, "a target")
    for section in sections[1:]:
        remarks += _property_remarks(section, SUPPORTED_TARGET, frozenset(), SUPPORTED_CONDITION, "the condition")
    remarks += [remark for target in targets for remark in target_remarks(target)]
    remarks += _flag_remarks(sections[0], CONDITION_FLAGS)
    remarks += [remark for section in sections[1:] for remark in _flag_remarks(section, TARGET_FLAGS)]
    return route, remarks + _reach_remarks(route)


def _decode_condition(section: Section, targets: tuple[Target, ...], line: str) -> Route:
    domain = section.value
    proto = _choice(section, "proto", {"http": False, "ws": True}, "'http' or 'ws'")
    ssl = _choice(section, "ssl", {"yes": True, "no": False}, "'yes' or 'no'")
    path_beg = section.last("path_beg")
    if path_beg == "":
        raise RouteLineError("path_beg cannot be empty")
    path_beg_bytes = (path_beg or "").encode()
    replacement = section.last("replace_beg")
    route_id = section.last("id")
    return Route(
        domain=domain,
        id=route_id or _default_id(domain, proto, ssl, path_beg),
        is_id_explicit=bool(route_id),
        is_websocket=proto,
        is_https=ssl,
        path_beg=path_beg_bytes,
        prefix=section.last("prefix") or "",
        sig_iss=section.last("sig_iss"),
        sig_key=section.last("sig_key"),
        as_host=host_value(section, "as_host"),
        path_rem=_count(section, "path_rem") if replacement is None else len(path_beg_bytes),
        path_prepend=_encoded_path(replacement or ""),
        headers=tuple(_decode_header(text) for text in section.all("header")),
        orig_headers=section.has("orig_headers"),
        no_grip=section.has("no_grip"),
        debug=section.has("debug"),
        aco=section.has("aco"),
        jsonp=_decode_jsonp(section),
        targets=targets,
        line=line,
    )


def _decode_jsonp(section: Section) -> JsonpRules:
    mode = _choice(section, "jsonp_mode", {"basic": False, "extended": True}, "'basic' or 'extended'")
    default_method = (section.last("jsonp_defmethod") or "").encode()
    if default_method and not is_header_name(default_method):
        raise RouteLineError(f"jsonp_defmethod is no method: {default_method.decode()!r}")
    return JsonpRules(
        is_extended=mode is not False,
        callback_param=(section.last("jsonp_cb") or "callback").encode(),
        body_param=(section.last("jsonp_body") or "").encode() or None,
        default_callback=(section.last("jsonp_defcb") or "").encode() or None,
        default_method=default_method or None,
    )


def _default_id(domain: str, proto: bool | None, ssl: bool | None, path_beg: str | None) -> str:
    """Name a route as Pushpin does, which has the words for `ssl` the wrong way round."""
    proto_word = "*" if proto is None else "ws" if proto else "http"
    ssl_word = "*" if ssl is None else "no-ssl" if ssl else "ssl"
    return f"{domain or '*'},{proto_word},{ssl_word},{path_beg or '*'}"


def _choice(section: Section, name: str, values: dict[str, bool], wanted: str) -> bool | None:
    argument = section.last(name)
    if argument is None:
        return None
    if argument not in values:
        raise RouteLineError(f"{name} must be set to {wanted}")
    return values[argument]


def _count(section: Section, name: str) -> int:
    argument = section.last(name)
    if argument is None:
        return 0
    if not (argument.isascii() and argument.isdigit() and len(argument) <= 9):
        raise RouteLineError(f"{name} must be a whole number")
    return int(argument)


def _encoded_path(text: str) -> bytes:
    """Percent-encode what could not stand in a request's path; all else is taken as written, percent signs too."""
    return _NOT_IN_PATHS.sub(lambda match: b"%%%02X" % match[0][0], text.encode())


def _decode_header(text: str) -> tuple[bytes, bytes]:
    name, separator, value = text.partition(":")
    if not separator or not name:
        raise RouteLineError("header must use format 'name:value'")
    if not is_header_name(name.encode()):
        raise RouteLineError(f"header name has a forbidden character: {name!r}")
    if _CONTROL_CHARACTER.search(value):
        raise RouteLineError(f"header value has a control character: {name}")
    return name.encode(), value.lstrip(" ").encode()


def _property_remarks(
    section: Section, supported: frozenset[str], unsupported: frozenset[str], other: frozenset[str], other_place: str
) -> list[str]:
    """Say which properties do nothing: unknown ones are ignored, as in Pushpin, but not in silence.

    `other` are those that would do something in `other_place`.
    """
    remarks = []
    for name in dict.fromkeys(name for name, _ in section.properties):
        if name in unsupported:
            remarks.append(f"{name} is not supported by this version and has no effect")
        elif name in other - supported:
            remarks.append(f"{name} is ignored here: it belongs to {other_place}")
        elif name not in supported:
            nearest = difflib.get_close_matches(name, supported | unsupported, n=1)
            remarks.append(f"unknown property {name!r} is ignored" + (f"; meant {nearest[0]!r}?" if nearest else ""))
    return remarks


def _flag_remarks(section: Section, flags: frozenset[str]) -> list[str]:
    """Say which properties are on though they look as if they were off."""
    return [
        f"{name}={argument} means on, as in Pushpin: to be there is enough"
        for name, argument in section.properties
        if name in flags and argument.lower() in MISLEADING_ARGUMENTS
    ]


def _reach_remarks(route: Route) -> list[str]:
    """Say why no request can ever get to this route, which Pushpin accepts without a word."""
    path_beg = _CUT_ESCAPE.sub(b"", route.path_beg)
    spelled = normalize_escapes(_encoded_path(path_beg.decode()))
    if spelled != path_beg:
        return [f"path_beg can never match, it must be percent-encoded as in requests: {spelled.decode()}"]
    if route.domain in ("", "*"):
        return [] if route.domain else ["no domain: only its id can reach this route"]
    domain = route.domain
    if "*" in domain or "[" in domain or domain.count(":") == 1 or domain != domain.lower():
        return [f"domain can never match, it must be '*' or a whole host in lower case without port: {domain}"]
    return []
