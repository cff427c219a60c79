"""Bytes to values and back: GRIP, HTTP, publish items, routes. Pure: no I/O, no clock."""
