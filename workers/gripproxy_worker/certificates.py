"""The certificates of the TLS listeners: found by the name that a client asks for, and read again when they change."""

import logging
import os
import ssl
import sys
from dataclasses import dataclass

log = logging.getLogger(__name__)

NAME_MAX_BYTES = 253  # of a host name (RFC 1035), same as Pushpin
LOADED_MAX_COUNT = 200  # at the start: half a second
PAIRS_MAX_COUNT = 1000  # kept; the one that was kept longest makes room
# Mozilla's "intermediate" list for TLS 1.2, without those that need Diffie-Hellman parameters; TLS 1.3 has its own.
CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)

FileState = tuple[int, int, int]  # when it was changed, its size, its inode
PairState = tuple[FileState | None, FileState | None]  # None: there is no such file


@dataclass(slots=True)
class _Pair:
    """What was read. `context` is None if nothing good ever was; `states` are those of the last attempt."""

    states: PairState
    context: ssl.SSLContext | None


def new_context() -> ssl.SSLContext:
    """Make a context without a certificate: TLS 1.2 or later, and nothing but HTTP/1.1 inside."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # a phone without AES in hardware knows what is fast for it
    context.set_alpn_protocols(["http/1.1"])
    return context


def load_pair(directory: str, name: str) -> ssl.SSLContext:
    """Read ``NAME.crt`` and ``NAME.key``.

    Raises:
        ValueError: they cannot be used; names the file and says why.
    """
    certificate, key = _paths(directory, name)
    for path in (certificate, key):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None
    context = new_context()
    try:
        context.load_cert_chain(certificate, key, password="")  # else OpenSSL asks for it on the terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key}: is not the key of the certificate {certificate}") from None
        raise ValueError(f"{certificate} and {key}: not a PEM certificate and its key without password") from None
    except OSError as error:
        raise ValueError(f"{certificate}: {error.strerror}") from None
    return context


def candidates(server_name: str | None, port: int) -> list[str]:
    """Give the names of the pairs that may serve a client, the best first.

    Args:
        server_name: that the client asks for; None if it names none.
    """
    default = f"default_{port}"
    if server_name is None:
        return [default]
    name = server_name.lower()
    _, dot, rest = name.partition(".")
    return [name, *([f"_.{rest}"] if dot else []), default]


def is_valid_name(name: str) -> bool:
    """Tell whether a client may ask for it: it becomes a file's name."""
    return (
        bool(name) and len(name.encode(errors="replace")) <= NAME_MAX_BYTES and "/" not in name and name.isprintable()
    )


def hush_odd_names() -> None:
    """Keep Python from printing a traceback for each client that asks for a name that is not ASCII.

    Such a handshake fails, before anything of ours is called.
    """
    show = sys.unraisablehook

    def show_others(unraisable: "sys.UnraisableHookArgs") -> None:
        is_odd_name = isinstance(unraisable.exc_value, UnicodeDecodeError) and isinstance(unraisable.object, bytes)
        if not is_odd_name:
            show(unraisable)

    sys.unraisablehook = show_others


class CertificateStore:
    """The pairs of one directory, read when they are asked for and again when their files have changed."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._pairs: dict[str, _Pair] = {}

    def load_all(self) -> tuple[list[str], list[str]]:
        """Read the pairs there are; give the names of those that can be used, and what is wrong with the others.

        Done before the workers are forked, they all have the old pair should a new one be bad. Pairs beyond
        `LOADED_MAX_COUNT` are read when they are asked for, and taken as good here: a start should take no minutes.
        """
        try:
            files = os.listdir(self._directory)
        except FileNotFoundError:
            return [], []
        except OSError as error:
            return [], [f"{self._directory}: {error.strerror}"]
        names = sorted({file.rpartition(".")[0] for file in files if file.endswith((".crt", ".key"))})
        good: list[str] = []
        problems: list[str] = []
        for name in names[:LOADED_MAX_COUNT]:
            states = self._states(name)
            try:
                self._pairs[name] = _Pair(states, load_pair(self._directory, name))
            except ValueError as error:
                problems.append(str(error))
            else:
                good.append(name)
        return good + names[LOADED_MAX_COUNT:], problems

    def serve(self, context: ssl.SSLContext, port: int) -> None:
        """Let the context of a listener pick its certificates here, for each handshake."""

        def choose(stream: ssl.SSLObject, server_name: str | None, _: ssl.SSLContext) -> int | None:
            if server_name is not None and not is_valid_name(server_name):
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            found = self.find(server_name, port)
            if found is None:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            stream.context = found
            return None

        context.sni_callback = choose

    def find(self, server_name: str | None, port: int) -> ssl.SSLContext | None:
        """Give the context with the certificate for a client, or None if there is none."""
        for name in candidates(server_name, port):
            context = self._get(name)
            if context is not None:
                return context
        return None

    def refresh(self) -> None:
        """Look at every pair that was read: whoever asks for one next, it is the same in every worker."""
        for name in list(self._pairs):
            self._get(name)

    def _get(self, name: str) -> ssl.SSLContext | None:
        states = self._states(name)
        if states == (None, None):
            self._pairs.pop(name, None)
            return None
        known = self._pairs.get(name)
        if known is not None and known.states == states:
            return known.context
        return self._read(name, known, states)

    def _states(self, name: str) -> PairState:
        certificate, key = _paths(self._directory, name)
        return _state(certificate), _state(key)

    def _read(self, name: str, known: _Pair | None, states: PairState) -> ssl.SSLContext | None:
        context = None if known is None else known.context
        try:
            context = load_pair(self._directory, name)
        except ValueError as error:
            log.error("certificate %s: %s", "not used" if context is None else "not reloaded, the old one stays", error)
        else:
            if known is not None:
                log.info("certificate %s read again", name)
        self._pairs.pop(name, None)
        while len(self._pairs) >= PAIRS_MAX_COUNT:
            del self._pairs[next(iter(self._pairs))]
        self._pairs[name] = _Pair(states, context)
        return context


def _paths(directory: str, name: str) -> tuple[str, str]:
    return f"{directory}/{name}.crt", f"{directory}/{name}.key"


def _state(path: str) -> FileState | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
