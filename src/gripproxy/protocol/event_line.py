"""Requests, holds and items as lines of a log: in the reference's text, or as the values of a JSON object.

Source: Pushpin's log lines, which end for us in ``id=`` and ``time=``. Secrets in URLs are hidden (shown_url.py).
"""

from collections.abc import Callable
from typing import Any

from gripproxy.protocol.telemetry import HoldRecord, Outcome, PublishRecord, RequestRecord
from gripproxy.shown_url import hide_secrets

Event = RequestRecord | HoldRecord | PublishRecord

_FAILED, _HELD = Outcome.FAILED, Outcome.HELD
_OUTCOMES: dict[int, str] = {Outcome.ANSWERED: "answered", Outcome.HELD: "held", Outcome.FAILED: "failed"}


class EventLines:
    """Makes lines of events.

    Args:
        has_address: whether clients' addresses may be in them (`log_from`).
        has_user_agent: whether their programs' names may (`log_user_agent`).
    """

    def __init__(self, *, has_address: bool, has_user_agent: bool) -> None:
        self._has_address = has_address
        self._has_user_agent = has_user_agent
        self._texts: dict[int, Callable[[Any], list[str]]] = {
            RequestRecord.kind: self._request_texts,
            HoldRecord.kind: _hold_texts,
            PublishRecord.kind: _publish_texts,
        }
        self._values: dict[int, Callable[[Any], dict[str, object]]] = {
            RequestRecord.kind: self._request_values,
            HoldRecord.kind: _hold_values,
            PublishRecord.kind: _publish_values,
        }

    def texts(self, event: Event) -> list[str]:
        """Give the lines of an event, as the reference words them: a hold has one for each channel."""
        return self._texts[event.kind](event)

    def values(self, event: Event) -> dict[str, object]:
        """Give an event's fields by the names of its record. `event` says which it is."""
        return self._values[event.kind](event)

    def _request_texts(self, record: RequestRecord) -> list[str]:
        outcome = record.outcome
        if outcome == _HELD and record.status != 101:
            ending = " accept"
        elif outcome == _FAILED:
            ending = " error"
        else:
            ending = f" code={record.status} {record.body_bytes}"
        return [
            f"{record.method} {hide_secrets(record.url)}"
            f"{f' -> {record.target}' if record.target else ''}{'[http]' if record.is_over_http else ''}"
            f"{f' from={record.client_ip}' if self._has_address and record.client_ip else ''}"
            f"{f' ref={hide_secrets(record.referer)}' if record.referer else ''}"
            f"{f' route={record.route}' if record.route else ''}"
            f"{ending}{' retry' if record.is_retry else ''}"
            f"{f' ua={record.user_agent}' if self._has_user_agent and record.user_agent else ''}"
            f"{''.join([f' #{channel}={last_id}' for channel, last_id in record.last_ids])}"
            f" id={record.id} time={record.duration_s:.4f}"
        ]

    def _request_values(self, record: RequestRecord) -> dict[str, object]:
        values: dict[str, object] = {
            "event": "request",
            "id": record.id,
            "method": record.method,
            "url": hide_secrets(record.url),
            "route": record.route,
            "target": record.target,
            "status": record.status,
            "outcome": _OUTCOMES[record.outcome],
            "body_bytes": record.body_bytes,
            "duration_s": round(record.duration_s, 6),
            "is_retry": record.is_retry,
        }
        if record.is_link:
            values["is_link"] = True
        if record.is_over_http:
            values["is_over_http"] = True
        if self._has_address and record.client_ip:
            values["client_ip"] = record.client_ip
        if self._has_user_agent:
            values["user_agent"] = record.user_agent
        if record.referer:
            values["referer"] = hide_secrets(record.referer)
        if record.last_ids:
            values["last_ids"] = record.last_ids
        return values


def _hold_texts(record: HoldRecord) -> list[str]:
    url = hide_secrets(record.url)
    ending = f"{' retry' if record.is_retry else ''} id={record.id}"
    return [f"subscribe {url} channel={channel}{ending}" for channel in record.channels]


def _hold_values(record: HoldRecord) -> dict[str, object]:
    return {
        "event": "hold",
        "id": record.id,
        "url": hide_secrets(record.url),
        "route": record.route,
        "mode": record.mode,
        "channels": record.channels,
        "is_retry": record.is_retry,
    }


def _publish_texts(record: PublishRecord) -> list[str]:
    item_id = f" item-id={record.item_id}" if record.item_id is not None else ""
    return [f"publish channel={record.channel} receivers={record.receivers} source={record.source}{item_id}"]


def _publish_values(record: PublishRecord) -> dict[str, object]:
    return {
        "event": "publish",
        "channel": record.channel,
        "item_id": record.item_id,
        "source": record.source,
        "receivers": record.receivers,
        "responses": record.responses,
        "streams": record.streams,
        "messages": record.messages,
    }
