"""The table of routes: reads a routes file's text and chooses the route of a request."""

from gripproxy.protocol.route import Route, Target, decode_route
from gripproxy.protocol.route_line import RouteLineError

__all__ = ["Route", "RouteTable", "Target", "parse_routes"]

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
        self._by_host: dict[str, RuleSet] = {domain: _rule_set(rules) for domain, rules in by_domain.items()}
        self._default: RuleSet = self._by_host.pop("*", _rule_set([]))

    @property
    def count(self) -> int:
        """How many lines were accepted."""
        return len(self.routes)

    def find(self, host: str, is_https: bool, path: bytes, is_websocket: bool) -> Route | None:
        """Choose the route of a request, or None: there is no default behind a host's own routes.

        Args:
            host: in lower case, without port or brackets; ``localhost`` for a request without one.
            path: percent-encoded as received; a query behind it does no harm.
        """
        best = None
        for route in self._by_host.get(host, self._default)[2 * is_https + is_websocket]:
            if path.startswith(route.path_beg) and (best is None or route.is_more_specific(best)):
                best = route
        return best

    def find_by_id(self, route_id: str) -> Route | None:
        """Give the only route with this id; None for an unknown id and for one that several routes share."""
        return None if route_id in self._shared_ids else self._by_id.get(route_id)

    def is_shared_id(self, route_id: str) -> bool:
        """Tell whether several routes carry this id, so that it names none of them."""
        return route_id in self._shared_ids


def _rule_set(rules: list[Route]) -> RuleSet:
    """Sort a host's routes by the kinds of request that can get them, so that `find` compares paths only."""
    return tuple(
        tuple(
            rule
            for rule in rules
            if rule.is_https in (None, is_https)
            and rule.is_websocket in (None, is_websocket)
            and b"?" not in rule.path_beg  # a path has none: it would match the query
        )
        for is_https in (False, True)
        for is_websocket in (False, True)
    )


def parse_routes(text: str, source: str) -> tuple[RouteTable, list[str]]:
    """Read the text of a routes file.

    A line that is no route is skipped and the others load, as in Pushpin. Of two lines with the same domain, proto,
    ssl and path_beg the first one counts.

    Args:
        source: the name that warnings carry: the file's path, or ``<route>`` for lines of the command line.

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
        except RouteLineError as error:
            warnings.append(f"{where}{error}")
            refused_count += 1
            continue
        if decoded is None:
            continue
        route, remarks = decoded
        if route.domain and route.condition in seen:
            warnings.append(f"{where}skipping duplicate condition")
            continue
        seen.add(route.condition)
        routes.append(route)
        warnings += [where + remark for remark in remarks]
    return RouteTable(routes, refused_count), warnings
