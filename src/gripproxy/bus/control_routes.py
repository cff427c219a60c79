"""Which handler answers a request to the control port, by its path. Other parts of the hub add theirs.

The reference's paths are answered as the reference does, to whom a query makes another path: so only our own have one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gripproxy.bus.control_answer import ControlAnswer, answer_error
from gripproxy.bus.control_request import ControlRequest, ControlRequestError
from gripproxy.bus.control_stream import ControlStream

Response = ControlAnswer | Awaitable[ControlAnswer] | ControlStream
Handler = Callable[[ControlRequest], Response]
# Gives the answer for a request that may not be served. `True` in second place: everybody may have the answer.
Guard = Callable[[ControlRequest, bool], ControlAnswer | None]


@dataclass(slots=True)
class ControlRoute:
    """A handler and what it is for."""

    handler: Handler
    methods: tuple[bytes, ...]
    is_public: bool


class ControlRoutes:
    """Answers by `add`ed routes, everything else by `fallback`; nothing that `guard` refuses."""

    def __init__(self, fallback: Handler, guard: Guard = lambda _request, _is_public: None) -> None:
        self._fallback = fallback
        self._guard = guard
        self._routes: dict[tuple[bytes, str | None], ControlRoute] = {}

    def add(
        self,
        path: bytes,
        handler: Handler,
        methods: tuple[bytes, ...] = (b"GET", b"HEAD"),
        *,
        parameter: str | None = None,
        is_public: bool = False,
    ) -> None:
        """Let `handler` answer `path`, which has no slash at its end.

        Args:
            handler: gives the answer, one that comes later, or a stream; it may raise ControlRequestError.
            methods: the others get a 405.
            parameter: only requests whose query has this parameter; the others go where they would go without.
            is_public: nobody is asked for the key.
        """
        self._routes[path, parameter] = ControlRoute(handler, methods, is_public)

    def refuse(self, request: ControlRequest) -> ControlAnswer | None:
        """Give the answer for a request that may not be served, by its head alone."""
        try:
            route = self._find(request)
        except ControlRequestError as error:
            return answer_error(error)
        return self._guard(request, route is not None and route.is_public)

    def respond(self, request: ControlRequest) -> Response:
        """Answer a complete request."""
        refusal = self.refuse(request)
        if refusal is not None:
            return refusal
        try:
            route = self._find(request)
            if route is None:
                return self._fallback(request)
            if request.method not in route.methods:
                allowed = b", ".join(route.methods)
                text = b"Method not allowed: %s.\n" % request.method
                return ControlAnswer(405, text, extra=[(b"Allow", allowed)])
            return route.handler(request)
        except ControlRequestError as error:
            return answer_error(error)

    def _find(self, request: ControlRequest) -> ControlRoute | None:
        path = request.path
        if b"?" in request.target:
            for name in request.parameters():
                route = self._routes.get((path, name))
                if route is not None:
                    return route
        return self._routes.get((path, None))
