"""Rollover of the issuing authority: from one key and certificate to the next, without a refused handshake.

Modules: `table` (states and steps), `preparing` (the new key and certificate), `ceremony` (the same with a root that is
elsewhere), `root_preparing`, `root_moving` and `root_leaving` (with a new root above it), `moving` (activate, drain, undo),
`leaving` (retire), `progress` (what is issued again), `schedule` (when a certificate is issued again), `viewing` (what people
see), docs/design/0083 and 0089.

Each step is one transaction that moves the rollover from one state to the next, or does nothing: after a crash there is the
state before or the state after. Keys are made before the transaction and destroyed after it.
Standard: RFC 5280 sections 3.3 and 4.2.1.1; RFC 4949 ("key rollover").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.lazy_imports import import_lazily

if TYPE_CHECKING:
    from doorward.authority.rollover import ceremony as ceremony
    from doorward.authority.rollover import leaving as leaving
    from doorward.authority.rollover import moving as moving
    from doorward.authority.rollover import preparing as preparing
    from doorward.authority.rollover import root_preparing as root_preparing
    from doorward.authority.rollover import table as table
    from doorward.authority.rollover import viewing as viewing
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "ceremony": "doorward.authority.rollover.ceremony",
            "leaving": "doorward.authority.rollover.leaving",
            "moving": "doorward.authority.rollover.moving",
            "preparing": "doorward.authority.rollover.preparing",
            "root_preparing": "doorward.authority.rollover.root_preparing",
            "table": "doorward.authority.rollover.table",
            "viewing": "doorward.authority.rollover.viewing",
        },
    )
