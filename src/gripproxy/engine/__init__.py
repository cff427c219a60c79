"""State machines: (state, event, now) -> effects. Pure: no I/O, no clock."""
