"""The errors gripproxy raises on purpose; each class says who is at fault."""


class GripProxyError(Exception):
    """Base of every error gripproxy raises on purpose."""


class ClientError(GripProxyError):
    """The client broke HTTP or WebSocket: answer it with `status` and close.

    `log_text` stands in the log: the message, unless that shows what may be a password or a token.
    """

    def __init__(self, message: str, status: int = 400, log_text: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.log_text = message if log_text is None else log_text


class WebSocketError(GripProxyError):
    """A client or origin broke the WebSocket protocol: it gets a close frame with `code` (RFC 6455 section 7.4.1)."""

    def __init__(self, message: str, code: int = 1002) -> None:
        super().__init__(message)
        self.code = code


class OriginError(GripProxyError):
    """The origin's answer breaks HTTP or GRIP: 502 to the client."""


class PublishError(GripProxyError):
    """The publisher's item is bad: 400 on the HTTP control port, a log line and a counter on ZeroMQ.

    `text` says what is wrong, in the reference's words where it has any; `value` shows what was found instead.
    """

    def __init__(self, text: str, value: str | None = None) -> None:
        super().__init__(text if value is None else f"{text} (value: {value})")
        self.text = text
        self.value = value


class FilterError(GripProxyError):
    """An item's content does not fit a subscription's filters: that one receiver does not get it."""


class PatchError(GripProxyError):
    """A publisher's JSON patch does not fit the response that a client holds: that one client gets an empty body."""


class ConfigError(GripProxyError):
    """Settings or routes are bad: refuse to start. Names file and line where there is one."""

    def __init__(self, message: str, path: str | None = None, line: int | None = None) -> None:
        where = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(where + message)
        self.path = path
        self.line = line


class InternalError(GripProxyError):
    """Our own bug: log it with the state and the event, and close that connection only."""
