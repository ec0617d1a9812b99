"""Imports all modules that a role may need later, before root is given up.

Not here: giving up root (privileges), and opening programs before that (`open_program`).

The interpreter, its packages and this source may be in a place that the ordinary user cannot enter, such as
/root. So nothing is read from there after root was given up:
1. every module of ours is imported, except commands, the demo and migrations, which need root
   or run in another process, and the packages of the other role; data files (the page, its style) are read with their modules;
2. modules that libraries import when they are first used are named here. `LATER` is complete as far as
   `tests/integration/test_up_closed_packages.py` drives the roles: it fails on every file that is
   opened below the packages after that. Modules that judging needs are found by
   `tests/integration/test_lazy_imports_of_judging.py`, with a corpus of odd certificates.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
from collections.abc import Collection, Iterable

import doorward
from doorward.core.errors import ConfigurationError, Fault

_NOT_NEEDED = (
    "doorward.cli",
    "doorward.demo",
    "doorward.storage.migrating",  # with Alembic; a role refuses a database of another schema
    "doorward.storage.migrations",
    "doorward.storage.postgresql",  # its driver may not be installed: `opening.load_driver` imports it if it is wanted
)

LATER = (
    "anyio._backends._asyncio",
    "anyio._core._tasks",
    "concurrent.futures.thread",
    "cryptography.hazmat.backends.openssl.backend",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.punycode",
    "encodings.unicode_escape",
    "encodings.utf_16_be",
    "encodings.utf_32_be",
    "http.client",
    "rich._emoji_codes",
    "sqlalchemy.pool.impl",
    "stringprep",
    "uvicorn.lifespan.off",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
    "zxcvbn.matching",
    "zxcvbn.scoring",
    "zxcvbn.time_estimates",
)
"""Modules that libraries import when they are first used."""

OBJECTS_BETWEEN_COLLECTIONS = 5_000, 20, 100
"""The three thresholds of `gc.set_threshold`. A collection of all objects stops every thread, for 40 ms with 5,000 live connections,
and found nothing. With the interpreter's 700, 10, 10 every second publication caused one, and a withdrawal waited. Now one comes after
ten million new objects, so that garbage in circles still goes. A command that loads modules has a number of its own (`cli.program`)."""


def preload_all(never: Collection[str] = ()) -> None:
    """Import all that a role may need later.

    Args:
        never: packages that this role does not use; they would cost it memory.

    Raises:
        ConfigurationError: a module cannot be imported (`module-missing`).
    """
    # 1. ours
    preload(
        found.name
        for found in pkgutil.walk_packages(doorward.__path__, "doorward.", onerror=lambda _name: None)
        if not found.name.startswith(_NOT_NEEDED) and not _is_within(found.name, never)
    )
    # 2. the libraries'
    preload(name for name in LATER if not _is_within(name, never))


def _is_within(module: str, packages: Collection[str]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)


def preload(modules: Iterable[str]) -> None:
    """Import modules by their names.

    Raises:
        ConfigurationError: one cannot be imported (`module-missing`).
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigurationError(
                [
                    Fault(
                        code="module-missing",
                        message=f"{name} cannot be imported: {error}",
                        hint="reinstall doorward",
                    )
                ]
            ) from None


def keep_what_is_loaded() -> None:
    """Call it once, when a role has loaded everything: from now on the garbage collector leaves these objects out.

    They stay until the process ends. Otherwise each full collection searches all of them, while connections wait.
    """
    gc.freeze()
    gc.set_threshold(*OBJECTS_BETWEEN_COLLECTIONS)
