"""The conversation with one ACME server for one account: nonces, signed requests, and what its answers say.

A nonce is used once. If the server refuses a nonce, the request is signed again with the one that came with the refusal,
at most `NONCE_TRIES` times. All requests of one conversation have one deadline.

Not here: sockets (runtime.acme), what is asked in which order (filling).
Standard: RFC 8555 sections 6 and 7; RFC 9773.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from doorward.authority.acme.ports import AcmeAnswer, AcmeRefusal, AcmeTransport
from doorward.core.errors import MalformedInput
from doorward.core.ports import Clock
from doorward.wire.acme import (
    AcmeAuthorization,
    AcmeDirectory,
    AcmeOrder,
    RenewalWindow,
    check_acme_url,
    parse_authorization,
    parse_chain,
    parse_directory,
    parse_order,
    parse_problem,
    parse_renewal_window,
    parse_retry_after,
    render_payload,
)
from doorward.wire.acme_jws import render_binding, render_request
from doorward.wire.base64url import render_base64url

NONCE_TRIES = 5
"""Of one request: pebble, a test server, refuses a part of all nonces on purpose."""

CONVERSATION_SECONDS = 120.0
"""For all requests together: a server that is slow with each of them must not hold up the others."""

_REFUSED = 400


class Conversation:
    """Asks one server; for one thread.

    Args:
        transport: HTTPS.
        directory: the URL of the directory.
        key: the account's key.
        clock: for answers that name a time.
        account: the account's URL, if it is known.
    """

    def __init__(
        self,
        transport: AcmeTransport,
        directory: str,
        key: EllipticCurvePrivateKey,
        clock: Clock,
        *,
        account: str = "",
    ) -> None:
        self._transport = transport
        self._url = check_acme_url(directory)
        self._key = key
        self._clock = clock
        self._nonce = ""
        self._resources: AcmeDirectory | None = None
        self._until = clock.monotonic() + CONVERSATION_SECONDS
        self.account = account
        self.wait_seconds = 0.0
        """What the last answer asked us to wait before we ask again; 0 if it did not say so."""

    def allow(self, seconds: float) -> None:
        """Put off the deadline by time that passed without the server."""
        self._until += seconds

    def directory(self) -> AcmeDirectory:
        """Return the server's resources; asked once."""
        if self._resources is None:
            answer = self._checked(self._send("GET", self._url))
            self._resources = parse_directory(answer.body, self._url)
        return self._resources

    def make_account(self, contact: str, *, kid: str, secret: bytes) -> str:
        """Make the account, or find the one that this key has; return its URL.

        By this request the operator who configured the directory agrees to the server's terms.

        Raises:
            AcmeRefusal: `acme-refused`; `acme-account-unusable` if the server requires an external account.

        Standard: RFC 8555 section 7.3.
        """
        resources = self.directory()
        if resources.external_account_required and not kid:
            raise AcmeRefusal(
                "acme-account-unusable",
                "the server makes accounts only for customers that it knows: set acme_eab_kid and acme_eab_key_file",
            )
        payload: dict[str, object] = {"termsOfServiceAgreed": True}
        if contact:
            payload["contact"] = [f"mailto:{contact}"]
        if kid:
            payload["externalAccountBinding"] = render_binding(
                self._key, url=resources.new_account, kid=kid, secret=secret
            )
        answer = self._post(resources.new_account, render_payload(payload))
        self.account = check_acme_url(answer.fields.get("location", ""), self._url)
        return self.account

    def change_contact(self, contact: str) -> None:
        """Replace the account's mail address (RFC 8555 section 7.3.2)."""
        self._post(self.account, render_payload({"contact": [f"mailto:{contact}"] if contact else []}))

    def place_order(self, hosts: tuple[str, ...], replaces: str = "") -> tuple[str, AcmeOrder]:
        """Place an order; return its URL and the order.

        Args:
            hosts: DNS names in lower case.
            replaces: the renewal identifier of the certificate that it replaces (RFC 9773 section 5).
        """
        resources = self.directory()
        payload: dict[str, object] = {"identifiers": [{"type": "dns", "value": one} for one in hosts]}
        if replaces and resources.renewal_info:
            payload["replaces"] = replaces
        answer = self._post(resources.new_order, render_payload(payload))
        url = check_acme_url(answer.fields.get("location", ""), self._url)
        return url, parse_order(answer.body, self._url)

    def order(self, url: str) -> AcmeOrder:
        """Return the present state of an order."""
        return parse_order(self._get(url).body, self._url)

    def authorization(self, url: str) -> AcmeAuthorization:
        """Return the present state of an authorization."""
        return parse_authorization(self._get(url).body, self._url)

    def answer_challenge(self, url: str) -> None:
        """Tell the server that it may look (RFC 8555 section 7.5.1)."""
        self._post(url, b"{}")

    def finalize(self, url: str, csr: bytes) -> AcmeOrder:
        """Send the request for the certificate, DER; return the order."""
        return parse_order(self._post(url, render_payload({"csr": render_base64url(csr)})).body, self._url)

    def download(self, url: str) -> tuple[bytes, ...]:
        """Return the chain, DER, leaf first."""
        return parse_chain(self._get(url).body)

    def renewal_window(self, certificate: str) -> RenewalWindow | None:
        """Return when the server wants a certificate to be renewed; None if it gives no such information.

        Args:
            certificate: its renewal identifier.

        Standard: RFC 9773 section 4.
        """
        base = self.directory().renewal_info
        if not base or not certificate:
            return None
        answer = self._checked(self._send("GET", f"{base.rstrip('/')}/{certificate}"))
        return parse_renewal_window(answer.body)

    # requests

    def _get(self, url: str) -> AcmeAnswer:
        """POST-as-GET (RFC 8555 section 6.3)."""
        return self._post(url, b"")

    def _post(self, url: str, payload: bytes) -> AcmeAnswer:
        for tries_left in reversed(range(NONCE_TRIES)):
            nonce = self._take_nonce()
            body = render_request(self._key, url=url, nonce=nonce, payload=payload, account=self.account)
            try:
                return self._checked(self._send("POST", url, body))
            except AcmeRefusal as refusal:
                if refusal.kind != "badNonce" or not tries_left:
                    raise
        raise AssertionError  # the last try returns or raises

    def _send(self, method: str, url: str, body: bytes | None = None) -> AcmeAnswer:
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise AcmeRefusal(
                "acme-unreachable",
                f"the server is slow: the requests of one try took more than {CONVERSATION_SECONDS:g} seconds together",
                is_network=True,
            )
        return self._transport.send(method, url, body, seconds=left)

    def _take_nonce(self) -> str:
        if not self._nonce:
            self._checked(self._send("HEAD", self.directory().new_nonce))
        nonce, self._nonce = self._nonce, ""
        if not nonce:
            raise MalformedInput("acme-answer-malformed", "the server gave no nonce")
        return nonce

    def _checked(self, answer: AcmeAnswer) -> AcmeAnswer:
        self._nonce = answer.fields.get("replay-nonce", "")
        wait = parse_retry_after(answer.fields.get("retry-after", ""), self._clock.now())
        self.wait_seconds = wait.total_seconds() if wait is not None else 0.0
        if answer.status >= _REFUSED:
            problem = parse_problem(answer.body)
            raise AcmeRefusal(
                "acme-refused",
                f"the server answered {answer.status}, {problem}",
                retry_after=wait,
                kind=problem.kind,
            )
        return answer
