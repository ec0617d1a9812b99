"""Builds the surfaces for people: enrolment, portal, the door's own paths and pages.

Not here: sockets and jobs (serve), the surfaces themselves (web).
"""

from __future__ import annotations

from datetime import timedelta

from starlette.applications import Starlette

from doorward.directory.certificate_choices import CertificateChoiceRecorder
from doorward.directory.factors.context import FactorContext
from doorward.directory.help_desk import HelpDesk
from doorward.runtime.brand_settings import build_brand
from doorward.runtime.compose import Installation
from doorward.runtime.explaining import explain_id
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services
from doorward.web.app import build_enrolment_app, build_est_app, build_portal_app, build_sessions_app
from doorward.web.look.rendering import Look
from doorward.web.pages.surface import STATIC_BASE
from doorward.web.pool import UseCasePool
from doorward.web.portal.context import PortalOptions


class PeopleSurfaces:
    """Builds them; they share the policy in force, the brand, and the portal's settings.

    Args:
        installation: with a founded authority.
        services: of this process, with keys.
        pool: where use cases run.
        factors: figures of second factors in this process.
    """

    def __init__(
        self, installation: Installation, services: Services, pool: UseCasePool, factors: FactorContext
    ) -> None:
        settings = installation.settings
        self._installation = installation
        self._services = services
        self._pool = pool
        self._factors = factors
        self._brand = build_brand(settings)
        self._snapshots = PolicySnapshots()
        self._choice_recorder = CertificateChoiceRecorder(services)
        self._terms = PortalOptions(
            origin=installation.portal_origin,
            idle=settings.portal_session_idle,
            is_trusted=installation.is_portal_trusted(),
            renewal=timedelta(days=settings.passkey_renewal_days),
        )

    def enrolment(self) -> Starlette:
        """Return the application behind the enrolment host."""
        origin = self._installation.enrolment_origin()
        return build_enrolment_app(self._services, self._pool, origin=origin, look=Look(self._brand))

    def est(self, pool: UseCasePool) -> Starlette:
        """Return the application behind the EST host; `pool` is where its use cases run."""
        return build_est_app(self._services, pool, makes_keys=self._installation.settings.est_server_keygen)

    def portal(self) -> Starlette:
        """Return the application behind the portal's host."""
        look = Look(self._brand, chooses_language=True)
        return build_portal_app(
            self._services,
            self._pool,
            self._terms,
            look=look,
            snapshots=self._snapshots,
            factors=self._factors,
            choice_recorder=self._choice_recorder,
            help_desk=self._help_desk(),
        )

    def _help_desk(self) -> HelpDesk | None:
        installation, group = self._installation, self._installation.settings.help_desk_group
        if not group:
            return None
        return HelpDesk(self._services, group, lambda text: explain_id(installation, text))

    def sessions(self) -> Starlette:
        """Return the application of the door's own paths on hosts of applications."""
        return build_sessions_app(
            self._services,
            self._pool,
            self._terms,
            lifetime=self._installation.settings.session_lifetime,
            look=Look(self._brand, base=STATIC_BASE),
            snapshots=self._snapshots,
            choice_recorder=self._choice_recorder,
        )
