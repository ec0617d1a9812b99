"""Renewing one identity: from the new key to the switched folder.

The steps, under `locking.turn`; the process may be killed after each of them:
1. the folder is read again: another tool may have renewed it;
2. a new key is made and stored beside the old one (`pending`);
3. the enrolment host returns the certificate for it, and the answer is checked (`credential`) and stored; it also says which
   roots to trust from now on (`roots`);
4. key and certificate are tried (`trial`);
5. the whole identity is replaced in one step (`generations`);
6. the renewal in work is forgotten.
The next run starts at step 1, with the key of step 2 and the answer of step 3.

Not here: when (`schedule`), what is done after it (`deploying`).
Standard: RFC 5280 section 6.1 (the checks of the answer).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.agent.credential import Credential, parse_credential
from doorward.agent.deploying import list_targets
from doorward.agent.generations import Identity, IdentityGenerations
from doorward.agent.link import Server, parse_server
from doorward.agent.options import IdentityOptions, Machine
from doorward.agent.pending import PendingRenewal
from doorward.agent.pkcs12 import choose_form, local_target, render_pkcs12
from doorward.agent.renewal import Advice, EnrolmentHost
from doorward.agent.root_list import ROOT_LIST, load_root_list
from doorward.agent.roots import Roots, render_roots
from doorward.agent.store import CERTIFICATE, CHAIN, KEY, ROOT, SERVER, encode_key, read_plain
from doorward.agent.successor import check_successor
from doorward.agent.trial import try_application, try_files
from doorward.core.errors import ConfigurationError, Fault, MalformedInput, RequestRefused, Unavailable
from doorward.core.ports import KeyKind, PrivateKey
from doorward.files import read_limited, replace_file
from doorward.pki.lifecycle import renewal_time
from doorward.wire.pem import render_certificates

_LAST_PART = 10
"""In the last tenth of its life, or after its end, the old certificate is replaced although a trial was not possible."""
_KEY_USED = "key-used-before"
"""The only refusal after which another key is made. With another key than that of a lost answer, the server would refuse
every further request: the certificate that it issued is then the newest of its line."""

_RSA_SMALL = 2048
_MAX_PASSWORD_BYTES, _MAX_PASSWORD_CHARACTERS = 1024, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """A renewal that is done.

    Args:
        identity: the new key and certificate.
        old: the identity before.
        advice: what the server said to the report by which the new certificate was tried; None if it was not tried.
        server_time: the server's clock.
        local_time: the clock of this machine at that moment.
        left_out: names of `.p12` files that were not renewed, because their password is not known.
    """

    identity: Identity
    old: Identity
    advice: Advice | None
    server_time: datetime
    local_time: datetime
    left_out: tuple[str, ...]


def find_server(options: IdentityOptions) -> Server:
    """Return the enrolment host of an identity.

    Raises:
        ConfigurationError: `server-unnamed`. MalformedInput: `server-address-malformed`.
    """
    if options.server:
        return options.server
    path = options.directory / SERVER
    try:
        data = read_plain(path)
    except OSError:
        data = None
    if data is None:
        fault = Fault(
            code="server-unnamed",
            message=f"the folder {options.directory} does not name its enrolment host",
            hint="name it once, as in the one-time link: --server https://enroll.corp.example:8443",
        )
        raise ConfigurationError([fault])
    return parse_server(data.decode("ascii", "replace"))


def open_host(options: IdentityOptions, machine: Machine, roots: Roots) -> EnrolmentHost:
    """Return the enrolment host of an identity, judged by the newest list of the root that this machine has seen.

    Raises:
        RequestRefused: `server-not-trusted`.
        ConfigurationError, MalformedInput: as `find_server`.
    """
    kept = load_root_list(options.directory, roots[0])
    host = EnrolmentHost(server=find_server(options), roots=roots, send=machine.send, root_list=kept)
    host = host.with_newest_list()
    if host.root_list is not kept:
        _keep_list(options, host)
    return host


def _keep_list(options: IdentityOptions, host: EnrolmentHost) -> None:
    if host.root_list is not None:
        with suppress(OSError):  # on a full disk the list is fetched again the next time
            replace_file(options.directory / ROOT_LIST, host.root_list.der, mode=0o644)


def renew(options: IdentityOptions, machine: Machine) -> Renewed:
    """Renew an identity now. The caller holds `locking.turn`.

    Args:
        options: the identity.
        machine: its world.

    Raises:
        DoorwardError: the old identity is in use, whole; the next call goes on.
    """
    generations = IdentityGenerations(options.directory)
    pending = PendingRenewal(options.directory)
    # 1. the folder
    old = generations.load()
    generations.adopt()
    host = open_host(options, machine, old.credential.roots)
    # 2. the key
    key = pending.begin(old, lambda: machine.factory.generate(choose_kind(old)))
    # 3. the certificate
    try:
        credential, server_time = _obtain(pending, host, old, key, machine.clock.now())
    except RequestRefused as error:
        if error.code == _KEY_USED:
            pending.drop()
        raise
    local_time = machine.clock.now()
    credential = _learn_roots(host, credential, key, server_time, urgent=_is_urgent(old, server_time))
    new = Identity(key=key, credential=credential)
    # 4. the trial
    advice = _try(options, machine, host, new, urgent=_is_urgent(old, server_time))
    # 5. the switch
    files, left_out = _render(options, machine, new, generations.names())
    generations.replace(files)
    if credential.roots[0] != host.roots[0]:
        with suppress(RequestRefused):  # the next report asks again
            _keep_list(options, host.with_roots(credential.roots))
    # 6. the end
    pending.drop()
    return Renewed(
        identity=new,
        old=old,
        advice=advice,
        server_time=server_time,
        local_time=local_time,
        left_out=left_out,
    )


def build_facts(options: IdentityOptions, machine: Machine, next_renewal: datetime) -> dict[str, str]:
    """Return what a report says: about the machine, where the certificate is, and when it is renewed next."""
    stores = [one.name for one in list_targets(options) if one.is_store]
    return {
        **machine.facts,
        "store": ", ".join(["PEM", *stores]),
        "next_renewal": f"{next_renewal:%Y-%m-%dT%H:%M:%SZ}",
    }


def _learn_roots(
    host: EnrolmentHost, credential: Credential, key: PrivateKey, now: datetime, *, urgent: bool
) -> Credential:
    """Return the certificate with the roots that the host offers now; without a change if they do not verify it.

    If the host does not answer, the renewal waits: without the next root, the identity could not come back after the old
    one retires. If the old certificate has no time left, it goes on with the roots that it has.
    """
    try:
        roots = host.learn_roots(now)
    except Unavailable:
        if not urgent:
            raise
        return credential
    if roots == credential.roots:
        return credential
    chain = render_certificates((credential.certificate, *credential.issuers))
    try:
        return parse_credential(chain, key, roots, now)
    except RequestRefused:
        return credential


def choose_kind(identity: Identity) -> KeyKind:
    """Return the kind of the new key: that of the old one, because the programs of this machine can use it."""
    match identity.key.public_key():
        case EllipticCurvePublicKey(curve=SECP384R1()):
            return KeyKind.P384
        case Ed25519PublicKey():
            return KeyKind.ED25519
        case RSAPublicKey(key_size=size):
            return KeyKind.RSA2048 if size <= _RSA_SMALL else KeyKind.RSA3072
        case _:
            return KeyKind.P256


def _obtain(
    pending: PendingRenewal, host: EnrolmentHost, old: Identity, key: PrivateKey, now: datetime
) -> tuple[Credential, datetime]:
    """Return the checked certificate for the new key, and the server's time; a stored answer is used first."""
    stored = pending.answer()
    if stored is not None:
        with suppress(MalformedInput, RequestRefused):
            return _check(stored, key, old, now), now
    chain, time = host.renew(old, key)
    # The server's clock judges the dates: a wrong clock of this machine must not stop a renewal.
    credential = _check(chain, key, old, time)
    pending.keep_answer(chain)
    return credential, time


def _check(chain: bytes, key: PrivateKey, old: Identity, now: datetime) -> Credential:
    """Check an answer as at an enrolment, and compare it with the certificate that it replaces."""
    credential = parse_credential(chain, key, old.credential.roots, now)
    check_successor(credential, old.credential, now)
    return credential


def _try(
    options: IdentityOptions, machine: Machine, host: EnrolmentHost, new: Identity, *, urgent: bool
) -> Advice | None:
    """Try the new certificate; None if that was not possible and the old certificate has no time left for it."""
    pending = PendingRenewal(options.directory)
    try:
        try_files(pending.chain_path, pending.key_path)
        advice = host.report(new, build_facts(options, machine, _due(new)))
        if options.trial:
            try_application(
                options.trial,
                pending.chain_path,
                pending.key_path,
                new.credential.roots,
                root_list=host.root_list,
            )
    except (Unavailable, MalformedInput):
        if not urgent:
            raise
        return None
    return advice


def _due(identity: Identity) -> datetime:
    first, last = identity.credential.dates
    return renewal_time(first, last, sha256(identity.der).hexdigest())


def _is_urgent(old: Identity, now: datetime) -> bool:
    first, last = old.credential.dates
    return now >= last - (last - first) / _LAST_PART


def _render(
    options: IdentityOptions, machine: Machine, new: Identity, names: Sequence[str]
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the files of the new identity, and the names of `.p12` files that cannot be made."""
    credential = new.credential
    leaf = credential.certificate.public_bytes(Encoding.PEM)
    issuers = render_certificates(credential.issuers)
    files = {
        KEY: encode_key(new.key),
        CERTIFICATE: leaf,
        CHAIN: leaf + issuers,
        ROOT: render_roots(credential.roots),
    }
    bundles = [name for name in names if name.endswith(".p12")]
    if options.p12_password_file is None:
        return files, tuple(bundles)
    password = read_password(options.p12_password_file)
    for name in bundles or [f"{credential.name}.p12"]:
        files[name] = render_pkcs12(
            new.key,
            credential.certificate,
            credential.issuers,
            name=credential.name,
            password=password,
            form=choose_form(local_target(machine.platform)),
        )
    return files, ()


def read_password(path: Path) -> str:
    """Return the password in a file: its first line, ASCII, at most 128 characters.

    Raises:
        ConfigurationError: `password-file-unusable`.
    """
    why = ""
    text = ""
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            why = "other users may read it (chmod 600)"
        text = read_limited(path, _MAX_PASSWORD_BYTES).decode("ascii").partition("\n")[0].strip("\r")
    except UnicodeDecodeError:
        why = "it is not ASCII"
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if not why and not 0 < len(text) <= _MAX_PASSWORD_CHARACTERS:
        why = "its first line is no password of 1 to 128 characters"
    if why:
        fault = Fault(
            code="password-file-unusable",
            message=f"the password file {path} cannot be used: {why}",
            hint="put a password of ASCII characters into it, and give it the mode 0600",
        )
        raise ConfigurationError([fault])
    return text
