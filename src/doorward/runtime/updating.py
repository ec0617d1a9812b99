"""`doorward init` on an installation that was founded: its database comes to the schema of this program.

Not here: what the revisions do (`storage.migrations`), why a start does not do it (docs/design/0024).

    1. the locks of every role: a part that runs, of any version, holds one of them for all its life
    2. the ordinary user, who owns the database: root opens nothing that he could have exchanged
    3. the look at the schema; a newer one is refused, the same one is `already-initialised`
    4. where a lock could not be had: `already-running`, and nothing is changed
    5. the migration, in one transaction

Commands that only ask or change something for a moment hold no lock: whatever they would write after
step 5 is refused by their own `Database`, which sees that the schema is another.
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
    """Migrate the database of a founded installation; started by root, this process gives up root for good.

    Returns:
        The revision that it had before.

    Raises:
        RequestRefused: `already-initialised` where there is nothing to do.
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
                f"{installation.settings.data} holds an installation already, of this version",
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
