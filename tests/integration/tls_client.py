"""The raw client by TLS: exact bytes inside, and the ends of TLS and of TCP told apart."""

import ssl

from tests.certificates import common_name
from tests.integration.raw_client import RECEIVE_BYTES, RawClient
from tests.integration.readiness import is_readable


def client_context() -> ssl.SSLContext:
    """Make a context that takes any certificate: tests look at it themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class TlsClient(RawClient):
    """One TLS connection. `is_truncated`: its end came without the notice that says that it is the end."""

    def __init__(
        self,
        port: int,
        server_name: str | None = "a.test",
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        super().__init__(port)
        self.is_truncated = False
        self._begin(server_name, context or client_context(), session)

    @classmethod
    def over(cls, client: RawClient) -> "TlsClient":
        """Begin TLS on a connection that was made before."""
        tls_client = cls.__new__(cls)
        tls_client.__dict__ |= client.__dict__
        tls_client.is_truncated = False
        tls_client._begin("a.test", client_context(), None)
        return tls_client

    def _begin(self, server_name: str | None, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        plain = self.socket
        try:
            self.tls = context.wrap_socket(
                plain, server_hostname=server_name, suppress_ragged_eofs=False, session=session
            )
        except BaseException:
            plain.close()
            raise
        self.socket = self.tls

    @property
    def certificate_name(self) -> str:
        certificate = self.tls.getpeercert(binary_form=True)
        assert certificate is not None
        return common_name(certificate)

    def poll(self, timeout_s: float) -> bool:
        """Take what has come within `timeout_s`; say whether anything did (an end counts)."""
        if self.is_ended or not (self.tls.pending() or is_readable(self.socket, timeout_s)):
            return False
        self.tls.settimeout(0.0)
        try:
            data = self.tls.recv(RECEIVE_BYTES)
        except ssl.SSLWantReadError:
            return True  # a part of a record, or a ticket
        except ssl.SSLEOFError:
            self.is_truncated, data = True, b""
        except ConnectionResetError:
            self.is_reset, data = True, b""
        finally:
            self.tls.settimeout(10.0)
        self.received += data
        self.is_ended = not data
        return True
