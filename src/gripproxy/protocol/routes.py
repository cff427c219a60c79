"""The table of routes: reads a routes file's text and chooses the route of a request."""

from collections.abc import Callable

from gripproxy.protocol.route import Route, decode_route
from gripproxy.protocol.route_line import RouteLineError
from gripproxy.protocol.route_target import Target

ZHTTP_SPECS_MAX_COUNT = 100  # same as Pushpin

# Routes of one host that a kind of request can get, in file order, indexed by 2 * is_https + is_websocket.
RuleSet = tuple[tuple[Route, ...], ...]


class RouteTable:
    """Finds routes. Never changes once made: a reload makes a new one, and running requests keep their route."""

    def __init__(self, routes: list[Route], refused_count: int = 0) -> None:
        """`refused_count`: lines that should have been routes and are not."""
        self.routes = tuple(routes)
        self.refused_count = refused_count
        by_domain: dict[str, list[Route]] = {}
        self._by_id: dict[str, Route] = {}
        self._shared_ids: set[str] = set()
        for route in routes:
            if route.domain:
                by_domain.setdefault(route.domain, []).append(route)
            if self._by_id.setdefault(route.id, route) is not route:
                self._shared_ids.add(route.id)
        by_spec: dict[str, Target] = {}
        for target in (target for route in routes for target in route.targets):
            if target.zhttp_spec is not None:
                by_spec.setdefault(target.zhttp_spec, target)
        self.is_zhttp_limited = len(by_spec) > ZHTTP_SPECS_MAX_COUNT
        # What to bind: of each spec the target that names it first, which decides how it is used.
        self.zhttp_targets = tuple(by_spec.values())[:ZHTTP_SPECS_MAX_COUNT]
        self._by_host: dict[str, RuleSet] = {domain: _rule_set(rules) for domain, rules in by_domain.items()}
        self._default: RuleSet = self._by_host.pop("*", _rule_set([]))

    @property
    def count(self) -> int:
        """How many lines were accepted."""
        return len(self.routes)

    @property
    def is_all_refused(self) -> bool:
        """Whether there are lines, and none of them is a route."""
        return not self.routes and self.refused_count > 0

    def by_line(self) -> dict[str, Route]:
        """Give the routes by the lines that they were written in."""
        return {route.line: route for route in reversed(self.routes)}

    def find(
        self, host: str, is_https: bool, path: bytes, is_websocket: bool, route_id: str | None = None
    ) -> Route | None:
        """Choose the route of a request, or None: there is no default behind a host's own routes.

        Args:
            host: in lower case, without port or brackets; ``localhost`` for a request without one.
            path: percent-encoded; a query behind it does no harm.
            route_id: what the request itself asks for. Only the route with this id will do then, if the path begins
                as its `path_beg`; its other conditions do not count. An id of several routes asks for nothing.

        Source: Pushpin; that the path must fit is from its head after 1.41: rewriting would cut off another beginning.
        """
        if route_id and route_id not in self._shared_ids:
            route = self._by_id.get(route_id)
            return route if route is not None and path.startswith(route.path_beg) else None
        best = None
        for route in self._by_host.get(host, self._default)[2 * is_https + is_websocket]:
            if path.startswith(route.path_beg) and (best is None or route.is_more_specific(best)):
                best = route
        return best


def _rule_set(rules: list[Route]) -> RuleSet:
    """Sort a host's routes by the kinds of request that can get them, so that `find` compares paths only."""
    return tuple(
        tuple(
            rule
            for rule in rules
            if rule.is_https in (None, is_https)
            and rule.is_websocket in (None, is_websocket)
            and b"?" not in rule.path_beg  # a path has none: it would match the query behind it
        )
        for is_https in (False, True)
        for is_websocket in (False, True)
    )


def parse_routes(
    text: str, source: str, settle: Callable[[Route], Route] | None = None
) -> tuple[RouteTable, list[str]]:
    """Read the text of a routes file.

    A line that is no route is skipped and the others load, as in Pushpin. Of two lines with the same domain, proto,
    ssl and path_beg the first one counts.

    Args:
        source: the name that warnings carry: the file's path, or ``<route>`` for lines of the command line.
        settle: finishes a route with what is not in its line; a `RouteLineError` of it refuses the line too.

    Returns:
        The table, and warnings of the form ``SOURCE:LINE: TEXT``.
    """
    routes: list[Route] = []
    seen: set[tuple[str, bool | None, bool | None, bytes]] = set()
    warnings: list[str] = []
    refused_count = 0
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{source}:{number}: "
        try:
            decoded = decode_route(line.removesuffix("\r"))
            if decoded is None:
                continue
            route, remarks = decoded
            if settle is not None:
                route = settle(route)
        except RouteLineError as error:
            warnings.append(f"{where}{error}")
            refused_count += 1
            continue
        if route.domain and route.condition in seen:
            warnings.append(f"{where}skipping duplicate condition")
            continue
        seen.add(route.condition)
        routes.append(route)
        warnings += [where + remark for remark in remarks]
    table = RouteTable(routes, refused_count)
    if table.is_zhttp_limited:
        warnings.append(f"{source}: too many unique zhttp route targets, limiting to {ZHTTP_SPECS_MAX_COUNT}")
    return table, warnings
