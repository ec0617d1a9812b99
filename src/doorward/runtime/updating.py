"""`doorward init` on an existing installation: migrates its database to the schema of this program.

Not here: the revisions (`storage.migrations`), the reason why a start does not migrate (docs/design/0024).

    1. take the locks of every role: a running role, of any version, holds its lock while it runs
    2. become the ordinary user that owns the database: root must not open a file that this user could have replaced
    3. compare the schema: a newer one is refused, the same one is `already-initialised`
    4. if a lock is held: `already-running`, and nothing is changed
    5. migrate, in one transaction

Short commands hold no lock. If one writes after step 5, its own `Database` refuses, because the schema has changed.
"""

from __future__ import annotations

from contextlib import ExitStack

from doorward.core.errors import RequestRefused, Unavailable
from doorward.runtime.compose import Installation
from doorward.runtime.layout import only_one
from doorward.runtime.roles import become_ordinary
from doorward.storage.schema_versions import load_revisions

_LOCKS = ("init", "up", "serve", "gateway")


def update(installation: Installation) -> str:
    """Migrate the database of a founded installation; if started by root, this process gives up root for good.

    Returns:
        The revision that it had before.

    Raises:
        RequestRefused: `already-initialised` if there is nothing to do.
        Unavailable: `already-running`, `schema-newer`, and what opening the database raises.
        ConfigurationError: as `Installation.prepare_folders`.
    """
    with ExitStack() as held:
        busy = _hold_locks(installation, held)  # 1
        installation.prepare_folders()
        installation.load_database_driver()
        account = installation.account()
        if account is not None:  # 2
            load_revisions()
            become_ordinary(account, keep=frozenset(), hand_down=frozenset())
        if not installation.needs_migration():  # 3
            raise RequestRefused(
                "already-initialised",
                f"{installation.settings.data} already has an installation of this version",
                hint="start it with `doorward up`, or name another directory with --data",
            )
        if busy is not None:  # 4
            raise busy
        return installation.migrate() or ""  # 5


def _hold_locks(installation: Installation, held: ExitStack) -> Unavailable | None:
    try:
        for role in _LOCKS:
            held.enter_context(only_one(installation.layout, role))
    except Unavailable as error:
        return error
    return None
