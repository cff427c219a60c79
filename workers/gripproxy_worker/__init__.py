"""One worker process: loop, sockets, parked connections, origin pool, driver."""
