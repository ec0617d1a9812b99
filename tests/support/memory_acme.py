"""The fake of `stores.acme_protocols.AcmeStore`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from doorward.stores.acme_protocols import (
    AcmeAccountRecord,
    AcmeChallengeRecord,
    AcmeOrderRecord,
    AcmePauseRecord,
)
from tests.support.memory_inventory import Store


class MemoryAcme(Store):
    """The fake of `AcmeStore`."""

    def account(self, account_id: str) -> AcmeAccountRecord | None:
        return self.state.acme_accounts.get(account_id)

    def save_account(self, account: AcmeAccountRecord) -> None:
        self.writable(account.tenant).acme_accounts[account.id] = account

    def add_order(self, order: AcmeOrderRecord) -> None:
        self.writable(order.tenant).acme_orders[order.order_id] = replace(order, version=0)

    def replace_order(self, order: AcmeOrderRecord) -> bool:
        kept = self.writable(order.tenant).acme_orders.get(order.order_id)
        if kept is None or kept.version != order.version:
            return False
        self.state.acme_orders[order.order_id] = replace(order, version=order.version + 1)
        return True

    def orders(self, order_ids: Collection[str]) -> dict[str, AcmeOrderRecord]:
        return {one: found for one in order_ids if (found := self.state.acme_orders.get(one))}

    def due(self, now: datetime) -> list[AcmeOrderRecord]:
        times = [(one, (one.next_try_at, one.ask_again_at)) for one in self.every_order()]
        return [one for one, every in times if any(at is not None and at <= now for at in every)]

    def next_due(self, now: datetime) -> datetime | None:
        times = [at for one in self.every_order() for at in (one.next_try_at, one.ask_again_at)]
        return min((at for at in times if at is not None and at > now), default=None)

    def every_order(self) -> list[AcmeOrderRecord]:
        return sorted(self.state.acme_orders.values(), key=lambda one: one.order_id)

    def remove_order(self, order_id: str) -> None:
        self.remove_challenges(order_id)
        self.state.acme_orders.pop(order_id, None)

    def save_challenge(self, challenge: AcmeChallengeRecord) -> None:
        self.writable(challenge.tenant).acme_challenges[challenge.token] = challenge

    def challenge(self, token: str) -> AcmeChallengeRecord | None:
        return self.state.acme_challenges.get(token)

    def challenges(self) -> list[AcmeChallengeRecord]:
        return sorted(self.state.acme_challenges.values(), key=lambda one: (one.host, one.token))

    def remove_challenges(self, order_id: str) -> int:
        kept = self.writable().acme_challenges
        gone = [token for token, one in kept.items() if one.order_id == order_id]
        for token in gone:
            del kept[token]
        return len(gone)

    def count_try(self, gateway_id: str, host: str, day: str) -> None:
        kept = self.writable().acme_tries
        for key in [key for key in kept if key[2] < day]:
            del kept[key]
        kept[gateway_id, host, day] = kept.get((gateway_id, host, day), 0) + 1

    def tries(self, host: str, day: str) -> dict[str, int]:
        found = self.state.acme_tries.items()
        return {gateway: count for (gateway, *of), count in found if of == [host, day]}

    def pauses(self) -> list[AcmePauseRecord]:
        return sorted(self.state.acme_pauses.values(), key=lambda one: one.directory)

    def save_pause(self, pause: AcmePauseRecord) -> None:
        self.writable(pause.tenant).acme_pauses[pause.directory] = pause

    def remove_pause(self, directory: str) -> None:
        self.writable().acme_pauses.pop(directory, None)
