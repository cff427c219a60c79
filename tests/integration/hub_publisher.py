"""A publisher that counts, as a process of its own."""

import time

import zmq

LINGER_MS = 60_000


def run_publisher(kind: str, spec: str, name: str, count: str, *options: str) -> None:
    """Send so many items, and end when all are with the kernel."""
    values = dict(option.partition("=")[::2] for option in options)
    pause_s, filler = float(values.get("pause", 0)), b"x" * int(values.get("size", 0))
    zmq_context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    zmq_socket = zmq_context.socket(zmq.PUSH if kind == "PUSH" else zmq.XPUB)
    zmq_socket.setsockopt(zmq.SNDHWM, 0 if kind == "PUB" else 1_000)  # PUB drops what exceeds it
    if "curve" in values:
        zmq_socket.curve_serverkey = values["curve"].encode()
        zmq_socket.curve_publickey, zmq_socket.curve_secretkey = zmq.curve_keypair()
    if "bind" in values:
        zmq_socket.bind(spec)
    else:
        zmq_socket.connect(spec)
    if kind == "PUB":
        while zmq_socket.recv() != b"\x01c":
            pass
    for number in range(int(count)):
        item = b'J{"channel":"c","http-stream":{"content":"%s %d %s"}}' % (name.encode(), number, filler)
        zmq_socket.send_multipart([item] if kind == "PUSH" else [b"c", item])
        if pause_s:
            time.sleep(pause_s)
    zmq_socket.close(LINGER_MS)
    zmq_context.term()
