"""Names of connections: as long as they live, on whichever worker, and never another one's."""

from gripproxy_worker.connection_names import ConnectionNames


def names(seat: int = 0, salt: int = 7) -> ConnectionNames:
    return ConnectionNames(seat, salt, 64 * (seat + 1))


def test_name_says_who_gave_it() -> None:
    own = names(3)
    own.begin(20, is_socket=False)
    assert own.name(20) == "3-14-100"
    assert own.is_live("3-14-100") and own.is_known(20) and not own.is_socket(20)
    assert not own.is_known(5)
    for odd in ("3-14-101", "4-14-100", "3-15-100", "3-14-0", "3-14", "x-y-z", "3-14--100", ""):
        assert not own.is_live(odd), odd


def test_last_one_that_ended_can_still_be_spoken_of() -> None:
    """Its end is logged after it."""
    own = names()
    own.begin(1, is_socket=False)
    name = own.name(1)
    own.end(1)
    assert (own.name(1), own.is_known(1), own.is_live(name)) == (name, False, False)
    own.begin(1, is_socket=False)
    assert own.name(1) != name


def test_socket_is_found_by_its_name_until_its_end() -> None:
    own = names()
    own.begin(9, is_socket=True)
    name = own.name(9)
    assert name == own.connection_id(9).decode()
    assert own.socket_of(name) == 9 and own.is_socket(9) and own.is_live(name)
    assert names(0, 8).socket_of(name) is None  # as is one of another process
    own.end(9)
    assert own.socket_of(name) is None
    own.begin(9, is_socket=True)
    assert own.socket_of(name) is None


def test_connection_keeps_its_name_wherever_it_goes() -> None:
    """Origins, monitors and operators know it by that. Two upgrades later the first worker's seat is taken again."""
    workers = [names(0, 7), names(512, 8), names(0, 9)]
    workers[0].begin(5, is_socket=True)
    workers[0].begin(6, is_socket=False)
    socket_name, plain_name = workers[0].name(5), workers[0].name(6)
    places = [5, 6]
    for former, latter, next_places in ((workers[0], workers[1], [30, 31]), (workers[1], workers[2], [6, 5])):
        latter.begin(next_places[0], is_socket=True)  # by which another client was known
        for place, next_place in zip(places, next_places, strict=True):
            latter.take_over(next_place, former.identity(place))
            former.forget(place)
        assert former.socket_of(socket_name) is None and not former.is_live(plain_name)
        assert latter.socket_of(socket_name) == next_places[0]
        assert latter.connection_id(next_places[0]).decode() == socket_name
        assert [latter.name(place) for place in next_places] == [socket_name, plain_name]
        assert latter.is_live(plain_name) and latter.is_live(socket_name)
        places = next_places
    last = workers[2]
    last.end(6)
    last.end(5)
    assert last.socket_of(socket_name) is None and not last.is_live(plain_name)
    last.begin(5, is_socket=False)
    assert last.name(5).startswith("0-5-")


def test_connection_that_comes_back_is_as_it_was() -> None:
    """What another worker did not take goes on where it was."""
    own = names()
    own.begin(5, is_socket=True)
    name, identity = own.name(5), own.identity(5)
    own.forget(5)
    own.take_over(5, identity)
    assert (own.name(5), own.socket_of(name)) == (name, 5)
