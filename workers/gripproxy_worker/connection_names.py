"""What connections are called, in log lines, packets, answers and to their origins: also those that began elsewhere.

A name says which worker gave it, its number of the connection there, and a serial. A connection that goes to another
worker keeps its name.
"""

from array import array
from collections.abc import Sequence

from gripproxy.protocol.connection_id import ConnectionIds

_IS_SOCKET = 1 << 63  # in a serial: the connection is a WebSocket's
_NUMBER_BITS = 32

Identity = tuple[int, int, int, int]  # seat and salt of who gave the name, number there, serial with its mark


class ConnectionNames:
    """The names of one worker's connections.

    Args:
        seat: the worker's number, which no other worker of this host has now.
        salt: random, of the process.
        first_serial: larger than those of an earlier process with this seat.
    """

    def __init__(self, seat: int, salt: int, first_serial: int) -> None:
        self._serials = array("Q")  # by connection; 0: none
        self._next_serial = first_serial
        # Who gave names to the connections here, this worker first.
        self._givers = [(seat, salt)]
        self._ids = [ConnectionIds(seat, salt)]
        # Who named a connection and its number there, where there are any that came from elsewhere.
        self._giver_of = array("H")
        self._number_of = array("I")
        self._moved_sockets: dict[int, int] = {}  # WebSockets that came from elsewhere, by giver and number
        self._ended = -1, 0, 0, 0  # the last one that ended: its number, its serial, who named it, its number there

    def __len__(self) -> int:
        return len(self._serials)

    def begin(self, conn_id: int, is_socket: bool) -> None:
        """Name a connection, after its request."""
        if conn_id >= len(self._serials):
            self._serials.frombytes(bytes(8 * (conn_id + 1 - len(self._serials))))
        elif self._giver_of:
            self._forget_giver(conn_id)
        self._serials[conn_id] = self._next_serial | (_IS_SOCKET if is_socket else 0)
        self._next_serial += 1

    def end(self, conn_id: int) -> None:
        """Let a connection have no name any more. The last one can still be asked for."""
        self._ended = (conn_id, self._serials[conn_id], *self._origin_of(conn_id))
        self.forget(conn_id)

    def forget(self, conn_id: int) -> None:
        """Let a connection have no name here any more: it has it elsewhere."""
        self._serials[conn_id] = 0
        if self._giver_of:
            self._forget_giver(conn_id)

    def is_known(self, conn_id: int) -> bool:
        """Say whether it has a name."""
        return conn_id < len(self._serials) and self._serials[conn_id] != 0

    def is_socket(self, conn_id: int) -> bool:
        """Say whether it is a WebSocket's."""
        return bool(self._serials[conn_id] & _IS_SOCKET)

    def name(self, conn_id: int) -> str:
        """Give a connection's name. That of a WebSocket is what its origin knows it by."""
        serial = self._serials[conn_id]
        giver, number = self._origin_of(conn_id)
        if not serial and self._ended[0] == conn_id:  # somebody speaks of how it ended
            _, serial, giver, number = self._ended
        if serial & _IS_SOCKET:
            return self._ids[giver].encode(number, serial ^ _IS_SOCKET)
        return f"{self._givers[giver][0]}-{number:x}-{serial:x}"

    def connection_id(self, conn_id: int) -> bytes:
        """Give the name that an origin knows a WebSocket by, or would if this were one."""
        giver, number = self._origin_of(conn_id)
        return self._ids[giver].encode(number, self._serials[conn_id] & ~_IS_SOCKET).encode()

    def socket_of(self, name: str) -> int | None:
        """Give the number here of the WebSocket that has this name; None if there is none, or none any more."""
        for giver, ids in enumerate(self._ids):
            decoded = ids.decode(name)
            if decoded is not None:
                number, serial = decoded
                conn_id = self._moved_sockets.get(giver << _NUMBER_BITS | number, -1) if giver else number
                is_alive = 0 <= conn_id < len(self._serials) and self._serials[conn_id] == serial | _IS_SOCKET
                return conn_id if is_alive and self._origin_of(conn_id) == (giver, number) else None
        return None

    def is_live(self, name: str) -> bool:
        """Say whether a connection here has this name."""
        if self.socket_of(name) is not None:
            return True
        try:
            seat, number, serial = name.split("-")
            wanted = int(seat), int(number, 16), int(serial, 16)
        except ValueError:
            return False
        if not 0 < wanted[2] < _IS_SOCKET:
            return False
        if wanted[0] == self._givers[0][0] and not self._giver_of:
            return self.is_known(wanted[1]) and self.name(wanted[1]) == name
        begin = 0
        while True:  # there is no table of these: it would cost more than looking at all, as somebody seldom asks
            try:
                begin = self._serials.index(wanted[2], begin) + 1
            except ValueError:
                return False
            if self.name(begin - 1) == name:
                return True

    # From one worker to another.

    def identity(self, conn_id: int) -> Identity:
        """Give what another worker needs to call a connection by its name."""
        giver, number = self._origin_of(conn_id)
        seat, salt = self._givers[giver]
        return seat, salt, number, self._serials[conn_id]

    def take_over(self, conn_id: int, identity: Sequence[int]) -> None:
        """Call a connection by a name that it has already."""
        seat, salt, number, serial = identity[:4]
        self.begin(conn_id, is_socket=False)
        self._serials[conn_id] = serial
        giver = self._giver(seat, salt)
        if not giver:
            return  # another worker was to have it, and did not take it
        missing_count = len(self._serials) - len(self._giver_of)
        self._giver_of.frombytes(bytes(self._giver_of.itemsize * missing_count))
        self._number_of.extend(range(len(self._number_of), len(self._serials)))
        self._giver_of[conn_id], self._number_of[conn_id] = giver, number
        if serial & _IS_SOCKET:
            self._moved_sockets[giver << _NUMBER_BITS | number] = conn_id

    def _giver(self, seat: int, salt: int) -> int:
        if (seat, salt) not in self._givers:
            self._givers.append((seat, salt))
            self._ids.append(ConnectionIds(seat, salt))
        return self._givers.index((seat, salt))

    def _origin_of(self, conn_id: int) -> tuple[int, int]:
        """Say who named a connection, and its number there."""
        if conn_id < len(self._giver_of):
            return self._giver_of[conn_id], self._number_of[conn_id]
        return 0, conn_id

    def _forget_giver(self, conn_id: int) -> None:
        if conn_id < len(self._giver_of):
            giver, number = self._giver_of[conn_id], self._number_of[conn_id]
            if giver:
                self._moved_sockets.pop(giver << _NUMBER_BITS | number, None)
            self._giver_of[conn_id], self._number_of[conn_id] = 0, conn_id
