"""HTTPS to one appliance: mutual TLS, its own name checked, out of the right network namespace.

Law: the server's certificate must carry the amphora's id, whatever address it has; the key of the
client's own certificate touches no disk. A connection keeps the namespace in which it was opened.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

from lbdrivers.drivers.certificate import Credential, Trust
from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers_amphora.client_settings import ClientSettings
from lbdrivers_amphora.site.namespaces import in_namespace
from lbdrivers_amphora.wire.fields import Fields, Malformed
from lbdrivers_amphora.wire.request import Request

#: Seconds after which an agent that does not answer is worth asking again: it boots within one.
_RETRY_AFTER = 0.05
_NO_LINK = "No suitable network interface found"


class Answer:
    """What an agent answered. ``status`` below 400 is success."""

    def __init__(self, status: int, content: bytes) -> None:
        self.status = status
        self.content = content

    @property
    def words(self) -> str:
        """The agent's own words about a failure."""
        try:
            source = Fields.of_text(self.content)
            said = (source.text_or_none(name) for name in ("message", "details", "error"))
            return ": ".join(text for text in said if text)
        except Malformed:
            return self.content.decode(errors="replace")[:500]


def tls_context(credential: Credential, trust: Trust) -> ssl.SSLContext:
    """A context that shows the controller's certificate and demands one of the agents' authority.

    :raises PermanentError: when certificate or authority cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # OpenSSL reads certificates from a path only; an anonymous file in memory has one.
    descriptor = os.memfd_create("credential", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, credential.pem.reveal())
        context.load_verify_locations(cadata=trust.server_ca.decode("ascii"))
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except (OSError, ValueError) as error:
        raise PermanentError(
            "the controller's certificate cannot be used", f"certificate or authority of the controller: {error}"
        ) from error
    finally:
        os.close(descriptor)
    return context


def _connection_class(vantage: str | None, seen: Callable[[Mapping[str, Any]], None]) -> type[HTTPSConnection]:
    """A connection whose socket is opened inside that network namespace; it tells the certificate that it is shown."""

    class Connection(HTTPSConnection):
        def _new_conn(self) -> Any:
            return super()._new_conn() if vantage is None else in_namespace(vantage, super()._new_conn)

        def connect(self) -> None:
            super().connect()
            if isinstance(self.sock, ssl.SSLSocket):
                seen(self.sock.getpeercert() or {})

    return Connection


class _Adapter(HTTPAdapter):
    """Asserts the amphora's name on every request, and connects from the machine's vantage."""

    def __init__(
        self,
        context: ssl.SSLContext,
        amphora_id: str,
        vantage: str | None,
        seen: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._context, self._amphora_id, self._vantage, self._seen = context, amphora_id, vantage, seen
        super().__init__(pool_connections=1, pool_maxsize=4)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **extra: Any) -> None:
        self.poolmanager = PoolManager(
            num_pools=connections,
            maxsize=maxsize,
            block=block,
            ssl_context=self._context,
            assert_hostname=self._amphora_id,
            server_hostname=self._amphora_id,
            **extra,
        )
        pool = type("Pool", (HTTPSConnectionPool,), {"ConnectionCls": _connection_class(self._vantage, self._seen)})
        self.poolmanager.pool_classes_by_scheme = {"https": pool}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context says all; requests must not load authorities of its own."""

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context}


class Line:
    """A line to one appliance, kept open between requests.

    ``certificate_expires``: end of the certificate that it showed last, in seconds since the epoch.
    """

    def __init__(
        self, address: str, vantage: str | None, amphora_id: str, settings: ClientSettings, context: ssl.SSLContext
    ) -> None:
        host = f"[{address}]" if ":" in address else address
        self._base = f"https://{host}:{settings.port}"
        self._timeouts = (settings.connect_timeout, settings.read_timeout)
        self._amphora_id = amphora_id
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("https://", _Adapter(context, amphora_id, vantage, self._note_certificate))
        self.certificate_expires: float | None = None

    def _note_certificate(self, certificate: Mapping[str, Any]) -> None:
        end = certificate.get("notAfter")
        self.certificate_expires = None if end is None else float(ssl.cert_time_to_seconds(end))

    def ask(self, request: Request) -> Answer:
        """Send the request; it is idempotent, so a kept connection that has died meanwhile costs one repeat.

        :raises TemporaryError: when the agent does not answer, or is not the amphora that it must be.
        """
        try:
            return self._send(request)
        except (requests.exceptions.ConnectTimeout, requests.exceptions.ReadTimeout) as error:
            raise self._silent(error) from error
        except requests.exceptions.SSLError as error:
            raise TemporaryError(
                "an appliance cannot be trusted", f"amphora {self._amphora_id} at {self._base}: {error}"
            ) from error
        except requests.exceptions.ConnectionError:
            pass
        try:
            return self._send(request)
        except requests.exceptions.RequestException as error:
            raise self._silent(error) from error

    def _send(self, request: Request) -> Answer:
        body = request.body()
        headers: Mapping[str, str] = {"Content-Type": "application/octet-stream"} if body else {}
        response = self._session.request(
            request.METHOD, self._base + request.target(), data=body or None, headers=headers, timeout=self._timeouts
        )
        return Answer(response.status_code, response.content)

    def _silent(self, error: Exception) -> TemporaryError:
        return TemporaryError(
            "an appliance does not answer",
            f"agent of amphora {self._amphora_id} at {self._base}: {error}",
            retry_after=_RETRY_AFTER,
        )

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()


def demand(answer: Answer, what: str, amphora_id: str) -> Answer:
    """The answer, when it is a success.

    :raises TemporaryError: when the agent could not do it now (5xx, a link that has not come yet).
    :raises PermanentError: when it refuses, with its own words.
    """
    if answer.status < 400:
        return answer
    words = answer.words
    operator = f"amphora {amphora_id}: {what}: HTTP {answer.status}: {words}"
    if answer.status >= 500 and answer.status != 501:
        raise TemporaryError(f"an appliance failed: {what}", operator)
    if answer.status == 404 and _NO_LINK in words:
        raise TemporaryError("a port has not arrived at its appliance yet", operator, retry_after=_RETRY_AFTER)
    if what.startswith("upload"):
        raise PermanentError(f"the configuration was refused: {words}", operator)
    raise PermanentError(f"an appliance refused: {what}", operator)
