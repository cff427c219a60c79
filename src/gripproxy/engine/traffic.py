"""What goes through each route: connections, their minutes, items, bytes. All routes without an id are one."""

from array import array

from gripproxy.protocol.telemetry import Traffic

CONNECTIONS, CONNECTIONS_MAX, MINUTES = int(Traffic.CONNECTIONS), int(Traffic.CONNECTIONS_MAX), int(Traffic.MINUTES)
MINUTE_S = 60
ACTIVITY = int(Traffic.ACTIVITY)
SECONDS_KEPT = 65_536  # of 2 bytes: one in a thousand silences of many hours looks like one of less than a minute
_SECOND_BYTES = 2
NOT_BEGUN = 255  # in place of a second of the minute


class RouteTraffic:
    """One route's `values`, by `Traffic`. `begun` counts its connections by the second of the minute they began in."""

    __slots__ = ("begun", "route", "values")

    def __init__(self, route: str) -> None:
        self.route = route
        self.values = [0] * len(Traffic)
        self.begun = [0] * MINUTE_S


class TrafficTable:
    """All of them in one worker. A connection is a request, or the hold that it became."""

    def __init__(self, now: float) -> None:
        self.routes: dict[str, RouteTraffic] = {}
        self._second = int(now)
        self._begun_at = bytearray()  # by connection id, the second of the minute
        self._touched_at = array("H")  # by connection id of WebSockets, the second of `SECONDS_KEPT`

    def of(self, route: str) -> RouteTraffic:
        """Give the traffic of a route id, made where there is none."""
        traffic = self.routes.get(route)
        if traffic is None:
            traffic = self.routes[route] = RouteTraffic(route)
        return traffic

    def begin(self, conn_id: int, traffic: RouteTraffic) -> None:
        """Count a connection; its first minute counts at once."""
        if conn_id >= len(self._begun_at):
            self._begun_at += bytes((NOT_BEGUN,)) * (conn_id + 1 - len(self._begun_at))
        second = self._begun_at[conn_id] = self._second % MINUTE_S
        traffic.begun[second] += 1
        values = traffic.values
        values[MINUTES] += 1
        values[CONNECTIONS] = count = values[CONNECTIONS] + 1
        if count > values[CONNECTIONS_MAX]:
            values[CONNECTIONS_MAX] = count

    def begin_frames(self, conn_id: int) -> None:
        """Hear that a connection is a WebSocket's from now on: see `touch`."""
        if conn_id >= len(self._touched_at):
            self._touched_at.frombytes(bytes(_SECOND_BYTES * (conn_id + 1 - len(self._touched_at))))
        self._touched_at[conn_id] = self._second % SECONDS_KEPT

    def touch(self, conn_id: int, traffic: RouteTraffic) -> None:
        """Count that a WebSocket has traffic, if that has not been counted within a minute, nor its beginning."""
        second = self._second % SECONDS_KEPT
        if (second - self._touched_at[conn_id]) % SECONDS_KEPT >= MINUTE_S:
            self._touched_at[conn_id] = second
            traffic.values[ACTIVITY] += 1

    def end(self, conn_id: int, traffic: RouteTraffic) -> bool:
        """Count a connection no more; say whether it had been counted."""
        if conn_id >= len(self._begun_at) or self._begun_at[conn_id] == NOT_BEGUN:
            return False
        traffic.begun[self._begun_at[conn_id]] -= 1
        traffic.values[CONNECTIONS] -= 1
        self._begun_at[conn_id] = NOT_BEGUN
        return True

    def age_s(self, conn_id: int) -> int:
        """Say how many seconds of its minute a connection has completed. It must be counted."""
        return (self._second - self._begun_at[conn_id]) % MINUTE_S

    def silence_s(self, conn_id: int) -> int:
        """Say for how many seconds a WebSocket has had no traffic that was counted: see `touch`."""
        return (self._second - self._touched_at[conn_id]) % SECONDS_KEPT

    def take_over(self, conn_id: int, traffic: RouteTraffic, age_s: int) -> None:
        """Count a connection that another worker has counted: its minutes go on."""
        if conn_id >= len(self._begun_at):
            self._begun_at += bytes((NOT_BEGUN,)) * (conn_id + 1 - len(self._begun_at))
        second = self._begun_at[conn_id] = (self._second - age_s) % MINUTE_S
        traffic.begun[second] += 1
        values = traffic.values
        values[CONNECTIONS] = count = values[CONNECTIONS] + 1
        if count > values[CONNECTIONS_MAX]:
            values[CONNECTIONS_MAX] = count

    def take_over_frames(self, conn_id: int, silence_s: int) -> None:
        """Hear that such a connection is a WebSocket's."""
        self.begin_frames(conn_id)
        self._touched_at[conn_id] = (self._second - silence_s) % SECONDS_KEPT

    def tick(self, now: float) -> None:
        """Count the minutes that connections have completed. Cheap if no second has passed."""
        if int(now) <= self._second:
            return
        routes = self.routes.values()
        for second in range(max(self._second, int(now) - MINUTE_S) + 1, int(now) + 1):
            for traffic in routes:
                traffic.values[MINUTES] += traffic.begun[second % MINUTE_S]
        self._second = int(now)

    def take(self) -> dict[str, list[int]]:
        """Give the values of all routes by their ids; the maximum begins again. Routes that nobody uses may be gone."""
        taken = {route: traffic.values.copy() for route, traffic in self.routes.items()}
        for traffic in self.routes.values():
            traffic.values[CONNECTIONS_MAX] = traffic.values[CONNECTIONS]
        return taken
