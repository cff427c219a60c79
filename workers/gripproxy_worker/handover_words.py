"""What an old worker and a new one say to each other: the first field of each message.

The new one asks, the old one answers::

    HELLO version, seat                    HELLO version
    LISTENERS                              LISTENERS names, lingering channels; and the listeners
    ACCEPTING
    NEXT max_count                         NOTHING left_count, is_round, lingering channels, is_more
    NEXT max_count                         STOPPED position of the bus
    STOPPED position of the bus            BATCH is_round, tables, payloads, records; and the sockets
    TAKEN
    SETTLED

Both read no more of the bus from their STOPPED on, until TAKEN or NOTHING, which either may say in place of what is due
when they cannot meet, the old one last. `is_round`: all clients have been looked at. With TAKEN the connections are the
new one's. The old one may end that question by RETRACTED: they stay its own, and the link ends.
"""

from enum import IntEnum


class Word(IntEnum):
    """Kinds of messages."""

    HELLO = 0
    LISTENERS = 1
    ACCEPTING = 2  # clients that come from now on are the new worker's
    NEXT = 3  # a batch, please
    NOTHING = 4  # there is none now
    STOPPED = 5
    BATCH = 6
    TAKEN = 7
    SETTLED = 8  # the hub was told of the channels of the batch
    RETRACTED = 9


HELLO, LISTENERS, ACCEPTING, NEXT, NOTHING, STOPPED, BATCH, TAKEN, SETTLED, RETRACTED = map(int, Word)

# For either to come to a halt between two messages of the bus, else the batch is put off. With more items than it can
# deliver an old worker is as far behind the new one, which has few clients yet, as the bus is long; while the new one
# waits for it the bus fills and publishers wait. A worker that hangs is killed after as long a time in any case.
MEETING_MAX_S = 20.0
ANSWER_MAX_S = 25.0  # for the other to say what it has to, else the link ends
TAKEN_MAX_S = 5.0  # of that for TAKEN
