"""Whether a process that took other settings while it ran is the same as one that was started with them.

All that can be reached from its parts is compared: a value that was copied from the old settings, and that nobody has
replaced, is found wherever it lies.
"""

import dataclasses
import functools
import types
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from gripproxy.config_keys import KEYS, Status
from gripproxy.log_levels import LogLevels
from gripproxy.settings import ForwardedForRule, ForwardedProtocol, Settings

Observed = dict[str, object]

_PLAIN = (bool, int, float, str, bytes, type(None))
_SHORT_COUNT = 64  # longer ones are tables
# Other values than the default ones, where they do not follow from the type.
_OTHER: dict[str, Any] = {
    "log_level": LogLevels(supervisor=3, hub=1, worker=0),
    "log_events": ("publish",),
    "log_format": "json",
    "set_x_forwarded_protocol": ForwardedProtocol.BOTH,
    "x_forwarded_for": ForwardedForRule(truncate=1, is_append=True),
    "x_forwarded_for_trusted": ForwardedForRule(truncate=2),
    "set_real_ip_from": ("10.0.0.0/8",),
    "orig_headers_need_mark": ("X-A",),
    "routesfile": "/dev/null",
    "stats_format": "json",
    "message_rate": 1000,
    "message_hwm": 100,
    "message_block_size": 10,
    "max_open_requests": 7,
    "zmq_curve_client_keys": ("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",),
}


def changeable_names() -> list[str]:
    """Give the settings that a reload lets take effect."""
    fields = {field.name for field in dataclasses.fields(Settings)}
    keys = [key for key in KEYS.values() if key.status is Status.USED and not key.needs_restart]
    return sorted({key.field or key.name for key in keys} & fields)


def with_other(settings: Settings, name: str) -> Settings:
    """Give settings that differ in one of them."""
    value = getattr(settings, name)
    if name in _OTHER:
        other = _OTHER[name]
    elif isinstance(value, bool):
        other = not value
    elif isinstance(value, int | float):
        other = value * 2 + 1
    else:
        assert isinstance(value, str), f"say in _OTHER what else {name} may be"
        other = value + "other"
    assert other != value
    return dataclasses.replace(settings, **{name: other})


def stale_parts(fresh: Callable[[], Observed], changed: Observed) -> dict[str, tuple[object, object]]:
    """Tell what is not as in what `fresh` observes; what differs from one time to the next there is chance.

    Gives the values by where they lie: the stale ones first.
    """
    first, second = fresh(), fresh()
    steady = {path for path, value in first.items() if second.get(path) == value}
    return {path: (changed.get(path), first[path]) for path in steady if changed.get(path) != first[path]}


def observe(root: object) -> Observed:
    """Give every plain value that can be reached, by one of the ways to it, the same for all roots built alike."""
    values: dict[str, object] = {}
    seen: dict[int, object] = {}
    queue: deque[tuple[str, object]] = deque([("", root)])
    while queue:
        path, value = queue.popleft()
        if isinstance(value, (*_PLAIN, Enum)) or (dataclasses.is_dataclass(value) and _is_frozen(value)):
            values[path] = value
        elif isinstance(value, set | frozenset):
            values[path] = frozenset(each for each in value if isinstance(each, _PLAIN))
        elif id(value) not in seen:
            seen[id(value)] = value  # and keep it: ids of what is gone are given again
            queue.extend((f"{path}.{name}", part) for name, part in _parts(value))
    return values


def _is_frozen(value: Any) -> bool:
    is_frozen: bool = type(value).__dataclass_params__.frozen
    return is_frozen


def _parts(value: Any) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [(repr(key), part) for key, part in value.items() if isinstance(key, _PLAIN)][:_SHORT_COUNT]
    if isinstance(value, list | tuple | deque):
        return [(str(index), part) for index, part in enumerate(value)][:_SHORT_COUNT]
    if isinstance(value, types.MethodType):
        return [("self", value.__self__)]
    if isinstance(value, types.FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        closure = [(name, cell.cell_contents) for name, cell in cells if _is_filled(cell)]
        return [("name", value.__qualname__), *closure]
    if isinstance(value, functools.partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if type(value).__module__.partition(".")[0] not in ("gripproxy", "gripproxy_worker"):
        return []
    names = [name for each in type(value).__mro__ for name in getattr(each, "__slots__", ())]
    slots = [(name, getattr(value, name)) for name in names if name != "__weakref__" and hasattr(value, name)]
    return [*slots, *getattr(value, "__dict__", {}).items()]


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
