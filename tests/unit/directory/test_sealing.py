"""`directory.sealing`: what is sealed opens in its place only, and with its key store only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from doorward.core.errors import IntegrityError, Unavailable
from doorward.core.ports import KeyKind
from doorward.directory.sealing import SECRETS_KEY, open_sealed, seal
from doorward.stores.services import Services
from tests.support.memory_store import MemoryUnitOfWork
from tests.support.ports import FakeClock, FakeRandom, MemoryKeyStore, PlainKeys
from tests.support.refusals import refused

SECRET = b"a secret of TOTP"
PLACE = "factor:fct_one"


@pytest.fixture
def services() -> Services:
    """Ports with an empty key store."""
    return Services(
        work=MemoryUnitOfWork(),
        clock=FakeClock(),
        random=FakeRandom(),
        factory=PlainKeys(),
        keys=MemoryKeyStore(),
    )


def test_a_secret_opens_in_its_place(services: Services) -> None:
    """A sealed secret does not contain the plain text, is different each time, and can be decrypted; also an empty one."""
    sealed = seal(services, SECRET, context=PLACE)
    assert SECRET not in sealed
    assert sealed != seal(services, SECRET, context=PLACE)
    assert open_sealed(services, sealed, context=PLACE) == SECRET
    assert open_sealed(services, seal(services, b"", context=PLACE), context=PLACE) == b""


def test_a_secret_opens_in_no_other_place(services: Services) -> None:
    """A value that was copied into another row cannot be decrypted there: no person gets the secret of another."""
    sealed = seal(services, SECRET, context=PLACE)
    with refused(IntegrityError, "secret-unreadable"):
        open_sealed(services, sealed, context="factor:fct_two")


@pytest.mark.parametrize("change", [b"", b"\x01", b"\x01" + b"0" * 12, b"\x02" + b"0" * 40, b"0" * 41])
def test_other_bytes_do_not_open(services: Services, change: bytes) -> None:
    """Bytes that were never sealed, in any length, are refused in the same way."""
    seal(services, SECRET, context=PLACE)
    with refused(IntegrityError, "secret-unreadable"):
        open_sealed(services, change, context=PLACE)


def test_an_altered_secret_does_not_open(services: Services) -> None:
    """Each byte of a sealed value is held by its tag."""
    sealed = seal(services, SECRET, context=PLACE)
    for place in (0, 1, len(sealed) // 2, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(IntegrityError):
            open_sealed(services, bytes(changed), context=PLACE)


def test_the_key_of_another_store_opens_nothing(services: Services) -> None:
    """Secrets belong to the key store that sealed them, and a store without the key says so too."""
    sealed = seal(services, SECRET, context=PLACE)
    other = replace(services, keys=MemoryKeyStore())
    for _ in range(2):
        with refused(IntegrityError, "secret-unreadable"):
            open_sealed(other, sealed, context=PLACE)
        seal(other, b"", context=PLACE)


def test_a_process_without_keys_says_so(services: Services) -> None:
    """Neither sealing nor opening is possible without a key store."""
    sealed = seal(services, SECRET, context=PLACE)
    bare = replace(services, keys=None)
    with refused(Unavailable, "keys-locked"):
        seal(bare, SECRET, context=PLACE)
    with pytest.raises(Unavailable):
        open_sealed(bare, sealed, context=PLACE)


def test_one_key_is_made_by_two_processes(services: Services) -> None:
    """Two that need the key at once use the one that was stored first."""
    first = PlainKeys().generate(KeyKind.ED25519)

    class Late(MemoryKeyStore):
        """Another process stores the key between the look and the storing."""

        def store(self, name, key):  # type: ignore[no-untyped-def]
            self.keys.setdefault(name, first)
            super().store(name, key)

    late = replace(services, keys=Late())
    sealed = seal(late, SECRET, context=PLACE)
    kept = MemoryKeyStore()
    kept.store(SECRETS_KEY, first)
    assert open_sealed(replace(services, keys=kept), sealed, context=PLACE) == SECRET


def test_a_key_of_another_kind_is_not_used(services: Services) -> None:
    """What lies under the name of the key and is another is a fault of the store."""
    assert services.keys is not None
    services.keys.store(SECRETS_KEY, PlainKeys().generate(KeyKind.P256))
    with refused(IntegrityError, "secrets-key-foreign"):
        seal(services, SECRET, context=PLACE)
