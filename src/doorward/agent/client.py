"""Enrolment on the user's machine: a one-time link becomes a key, a certificate and files.

The steps:
1. the key is made here and stored, before any request is sent;
2. the root certificate is fetched over an unauthenticated connection and compared with the SHA-256 in the link;
   no secret is sent on that connection;
3. on a new connection the server proves its name by exactly that root, and gives the root's revocation list (`root_list`);
   on another one that no revoked authority vouches for, it gets the token and the CSR;
4. the answer is checked (`credential`) and stored at once; if a new root is on its way, it is learned too (`roots`);
5. the files are written (`store`).
If a run is interrupted, the same command continues it. The key never leaves the machine.

Not here: renewal. Standard: RFC 2986 (request), RFC 6750 section 2.1 (token), RFC 9457 (refusals).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.agent.credential import Credential, parse_credential, parse_root, read_roots
from doorward.agent.link import Link, render_server
from doorward.agent.pkcs12 import Pkcs12Form, make_password, render_pkcs12
from doorward.agent.root_list import (
    ROOT_LIST,
    ROOT_LISTS_PATH,
    ROOT_LISTS_TYPE,
    RootList,
    choose_newer,
    find_root_list,
    load_root_list,
)
from doorward.agent.roots import learn_roots, render_roots
from doorward.agent.store import CERTIFICATE, CHAIN, KEY, ROOT, SERVER, IdentityFolder
from doorward.agent.transport import (
    REQUEST_SECONDS,
    Response,
    ServerEndpoint,
    fetch,
    pinned_context,
    unverified_context,
)
from doorward.core.errors import DoorwardError, IntegrityError, MalformedInput, RequestRefused, Unavailable
from doorward.core.ports import Clock, KeyFactory, KeyKind, PrivateKey, RandomSource
from doorward.pki.csr import build_csr
from doorward.wire.pem import render_certificates

CHAIN_TYPE = "application/pem-certificate-chain"
_AWAY = frozenset({503, 504})
"""The door's own answers if the server behind it does not answer."""

_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_MAX_SENTENCE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """An identity that is now on this machine.

    `p12_password` is the password of the `.p12` file; it is shown once and stored nowhere. `previous` is the
    folder to which older files were moved, None if there were none.
    """

    credential: Credential
    directory: Path
    p12: Path
    p12_form: Pkcs12Form
    p12_password: str = field(repr=False)
    previous: Path | None

    @property
    def key(self) -> Path:
        """The private key's file."""
        return self.directory / KEY

    @property
    def certificate(self) -> Path:
        """The certificate's file."""
        return self.directory / CERTIFICATE

    @property
    def chain(self) -> Path:
        """The file of certificate and issuer."""
        return self.directory / CHAIN

    @property
    def root(self) -> Path:
        """The root certificate's file."""
        return self.directory / ROOT


def enroll(
    link: Link,
    *,
    out: Path,
    clock: Clock,
    random: RandomSource,
    factory: KeyFactory,
    key_kind: KeyKind = KeyKind.P256,
    p12_form: Pkcs12Form = Pkcs12Form.MODERN,
    force: bool = False,
    seconds: float = REQUEST_SECONDS,
) -> Enrolled:
    """Turn a one-time link into an identity in a folder.

    Args:
        link: from `parse_link`.
        out: the folder; made if it is missing (mode 0700).
        clock: for the dates of the certificate.
        random: for the password of the `.p12` file.
        factory: makes the private key.
        key_kind: its kind; Windows and macOS import P-256, P-384 and RSA.
        p12_form: how the `.p12` file is encoded; `choose_form` returns the form that a target can import.
        force: if the folder holds an identity already, move it aside.
        seconds: for each of the two requests.

    Raises:
        RequestRefused: `identity-exists`, `root-not-pinned`, `server-not-trusted`, the codes of
            `parse_credential`, and the server's own codes (`invitation-invalid`, …).
        Unavailable: `server-unreachable`, `server-too-slow`, and the server's own codes.
        MalformedInput: the answer cannot be read.
        ConfigurationError: `folder-unusable`. IntegrityError: `key-exposed`, `key-damaged`.
    """
    password = make_password(random)
    folder = IdentityFolder(out)
    # 1. the key
    key = folder.begin(lambda: factory.generate(key_kind), force=force)
    credential = _resume(folder, link, key, clock)
    if credential is None:
        # 2. the root
        root = fetch_root(link, seconds)
        # 3. the request
        root_list = _keep_root_list(folder, link, root, seconds)
        answer = request_certificate(link, root, key, seconds, root_list=root_list)
        # 4. the checks
        credential = parse_credential(answer, key, [root], clock.now())
        folder.keep(ROOT, render_roots(credential.roots))
        folder.keep(CHAIN, _pem(credential))
        credential = replace(
            credential, roots=fetch_roots(link, root, clock.now(), seconds, root_list=root_list)
        )
        folder.keep(ROOT, render_roots(credential.roots))
    # 5. the files
    # The agent renews there.
    folder.keep(SERVER, f"{render_server(link)}\n".encode())
    previous = _install(folder, key, credential, password, p12_form)
    return Enrolled(
        credential=credential,
        directory=out,
        p12=out / _p12_name(credential),
        p12_form=p12_form,
        p12_password=password,
        previous=previous,
    )


def fetch_root(link: Link, seconds: float = REQUEST_SECONDS) -> x509.Certificate:
    """Return the root certificate that the link pins; the connection itself is not authenticated.

    Raises:
        RequestRefused: `root-not-pinned`. MalformedInput: `root-malformed`. Unavailable: no answer.
    """
    answer = fetch(link, "GET", "/root.pem", unverified_context(), seconds=seconds)
    if answer.status != 200:  # noqa: PLR2004 - OK
        raise read_problem(answer, link)
    return parse_root(answer.body, link.root_sha256)


def take_root_list(
    ask: Callable[[], Response], root: x509.Certificate, kept: RootList | None
) -> RootList | None:
    """Return the newer one of the kept list and of an answer; the kept one if there is no answer that can be used.

    Args:
        ask: makes the request.
        root: the pinned root.
        kept: from an earlier answer.

    Raises:
        RequestRefused: `server-not-trusted`.
    """
    try:
        answer = ask()
        if answer.status != 200 or answer.media_type != ROOT_LISTS_TYPE:  # noqa: PLR2004 - OK
            return kept  # for example an older server, which has no such path
        return choose_newer(kept, find_root_list(answer.body, root))
    except (Unavailable, MalformedInput):
        return kept


def _keep_root_list(
    folder: IdentityFolder, link: Link, root: x509.Certificate, seconds: float
) -> RootList | None:
    """Fetch the root's list, and store a newer one with the pending identity."""
    kept = load_root_list(folder.directory, root)
    context = pinned_context(root.public_bytes(Encoding.PEM).decode("ascii"))
    headers = {"Accept": ROOT_LISTS_TYPE}
    found = take_root_list(
        lambda: fetch(
            link, "GET", ROOT_LISTS_PATH, context, headers=headers, seconds=seconds, root_list=kept
        ),
        root,
        kept,
    )
    if found is not None and found is not kept:
        folder.keep(ROOT_LIST, found.der)
    return found


def fetch_roots(
    link: Link,
    root: x509.Certificate,
    now: datetime,
    seconds: float = REQUEST_SECONDS,
    *,
    root_list: RootList | None = None,
) -> tuple[x509.Certificate, ...]:
    """Return the pinned root and, during a rollover of the root, the next one; the pinned one alone if there is no answer.

    The certificate was issued already, so nothing is raised here; the next renewal asks again.
    """
    pinned = (root,)

    def get(path: str, roots: tuple[x509.Certificate, ...]) -> Response:
        context = pinned_context(render_roots(roots).decode("ascii"))
        return fetch(link, "GET", path, context, seconds=seconds, root_list=root_list)

    try:
        found = learn_roots(pinned, get, now, root_list)
    except Unavailable:
        return pinned
    return found if found[0] == root else pinned


def request_certificate(
    link: Link,
    root: x509.Certificate,
    key: PrivateKey,
    seconds: float = REQUEST_SECONDS,
    *,
    root_list: RootList | None = None,
) -> bytes:
    """Send the token and a CSR of that key; return the PEM chain that the server answers.

    Raises:
        RequestRefused, Unavailable, MalformedInput: the server's refusal, or its answer is unusable.
    """
    # The server ignores the name in the CSR, so the CSR says nothing about the user.
    body = build_csr(key, "enrolment")
    headers = {
        "Authorization": f"Bearer {link.token}",
        "Content-Type": "application/pkcs10",
        "Accept": CHAIN_TYPE,
    }
    context = pinned_context(root.public_bytes(Encoding.PEM).decode("ascii"))
    answer = fetch(
        link,
        "POST",
        "/v1/certificates",
        context,
        headers=headers,
        body=body,
        seconds=seconds,
        root_list=root_list,
    )
    if answer.status not in (200, 201) or answer.media_type != CHAIN_TYPE:
        raise read_problem(answer, link)
    return answer.body


def read_problem(answer: Response, server: ServerEndpoint) -> DoorwardError:
    """Return the server's refusal as an error; its text is made safe for a terminal.

    If the server named a delay (Retry-After), `context["retry_after_seconds"]` of the error has it.

    Standard: RFC 9457 section 3.
    """
    try:
        members = json.loads(answer.body) if answer.media_type == "application/problem+json" else None
    except (ValueError, RecursionError):
        members = None
    code = members.get("code") if isinstance(members, dict) else None
    if not isinstance(members, dict) or not isinstance(code, str) or not _CODE.fullmatch(code):
        if answer.status in _AWAY:
            detail = (
                f"{server.authority} answers, but what is behind it is away (HTTP status {answer.status})"
            )
            return Unavailable("server-unreachable", detail, hint="try again in a minute")
        hint = "check that you copied the whole link; if it is complete, a proxy may answer instead of the server"
        detail = f"{server.authority} did not answer as an enrolment server (HTTP status {answer.status})"
        return MalformedInput("server-answer-malformed", detail, hint=hint)
    detail, hint = _sentence(members.get("detail")), _sentence(members.get("hint"))
    # After 429 and 5xx a later try may succeed; every other status is final.
    kind = Unavailable if answer.status == 429 or answer.status >= 500 else RequestRefused  # noqa: PLR2004
    delay = answer.retry_after_seconds
    context = {} if delay is None else {"retry_after_seconds": delay}
    return kind(code, detail or "the server refused the request and gave no reason", hint=hint, **context)


def _resume(folder: IdentityFolder, link: Link, key: PrivateKey, clock: Clock) -> Credential | None:
    """Return the credential that an earlier run received but did not install, if it is complete and by this authority."""
    received = folder.received()
    if not {ROOT, CHAIN} <= received.keys():
        return None
    try:
        pinned, *more = read_roots(received[ROOT])
        parse_root(pinned.public_bytes(Encoding.PEM), link.root_sha256)
        return parse_credential(received[CHAIN], key, [pinned, *more], clock.now())
    except (MalformedInput, RequestRefused, IntegrityError):
        return None


def _install(
    folder: IdentityFolder, key: PrivateKey, credential: Credential, password: str, form: Pkcs12Form
) -> Path | None:
    """Write the last files, including the `.p12`; return the folder to which older files were moved."""
    p12 = render_pkcs12(
        key,
        credential.certificate,
        credential.issuers,
        name=credential.name,
        password=password,
        form=form,
    )
    certificate = credential.certificate.public_bytes(Encoding.PEM)
    return folder.finish({_p12_name(credential): p12, CERTIFICATE: certificate})


def _p12_name(credential: Credential) -> str:
    return f"{credential.name}.p12"


def _pem(credential: Credential) -> bytes:
    return render_certificates((credential.certificate, *credential.issuers))


def _sentence(value: object) -> str:
    """Return a sentence of the server without control characters, which could rewrite the user's terminal."""
    text = value if isinstance(value, str) else ""
    return "".join(character for character in text if character.isprintable())[:_MAX_SENTENCE]
