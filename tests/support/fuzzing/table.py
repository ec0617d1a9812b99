"""The table of all targets, and the readers that no target covers, each with its reason."""

from __future__ import annotations

from tests.support.fuzzing.acme import ACME_TARGETS
from tests.support.fuzzing.agent import AGENT_TARGETS
from tests.support.fuzzing.authorizer import AUTHORIZER_TARGETS
from tests.support.fuzzing.certificates import DER_TARGETS
from tests.support.fuzzing.discovery import DISCOVERY_TARGETS
from tests.support.fuzzing.factors import FACTOR_TARGETS
from tests.support.fuzzing.fetching import FETCHING_TARGETS
from tests.support.fuzzing.fleets import FLEET_TARGETS
from tests.support.fuzzing.messages import MESSAGE_TARGETS
from tests.support.fuzzing.pages import PAGE_TARGETS
from tests.support.fuzzing.policy import POLICY_TARGETS
from tests.support.fuzzing.renewal import RENEWAL_TARGETS
from tests.support.fuzzing.tables import TABLE_TARGETS
from tests.support.fuzzing.targets import Target
from tests.support.fuzzing.texts import TEXT_TARGETS
from tests.support.fuzzing.web import WEB_TARGETS

TARGETS: dict[str, Target] = {
    one.name: one
    for one in (
        *ACME_TARGETS,
        *DER_TARGETS,
        *MESSAGE_TARGETS,
        *FETCHING_TARGETS,
        *FACTOR_TARGETS,
        *FLEET_TARGETS,
        *TEXT_TARGETS,
        *TABLE_TARGETS,
        *POLICY_TARGETS,
        *PAGE_TARGETS,
        *RENEWAL_TARGETS,
        *WEB_TARGETS,
        *DISCOVERY_TARGETS,
        *AGENT_TARGETS,
        *AUTHORIZER_TARGETS,
    )
}

_PIECE = "a part of parse_crl and parse_basic_response, which are fuzzed"
EXCUSED = {
    "agent.identity_condition.read_condition": "gives its files to parse_state, parse_key and read_chain",
    "agent.renewing.read_password": "a file of the user's own; whatever is wrong is one error",
    "agent.store.read_plain": "reads a file of the agent's own; its bytes go to parsers of the table",
    "audit.index.read_bucket": "reads rows of our own database; any whole number of entries unpacks, and anything else is None",
    "audit.judging.read_checkpoint": "gives its text to parse_note and open_checkpoint",
    "runtime.evidence.read_events": "reads leaves of our own database, which render_canonical wrote",
    "gateway.authorizer.identifying.read_identity": "our own configuration writes the metadata; addresses go to parse_endpoint",
    "gateway.access_log.counting.parse_stored_limiter": "gives its text to parse_limiter, which is fuzzed",
    "partners.trust.parse_if_sound": "gives its bytes to parse_path_certificate",
    "partners.trust.read_inputs": "gives each of its texts to parse_subtree",
    "core.mail_address.parse_mail_address": "addresses are the operator's own",
    "notices.webhook.parse_webhook_secret": "a secret of the operator's own",
    "core.addresses.parse_address": "reads what the kernel said, and an option of the operator's own command",
    "core.addresses.parse_private_networks": "terms are the operator's own",
    "runtime.certificate_files.read_certificate_files": "gives the bytes of each file to read_certificates",
    "runtime.incidents.parse_incident": "an option of the operator's own command",
    "runtime.pem.read_bounded": "reads a file that an operator named; its bytes go to parsers of the table",
    "runtime.reading.parse_moment": "an option of the operator's own command",
    "runtime.renewed_files.read_key_of": "a key of the operator's own; whatever the library raises is one error",
    "runtime.settings.parse_database": "settings are the operator's own",
    "runtime.durations.parse_duration": "settings are the operator's own",
    "runtime.settings.parse_host": "settings are the operator's own",
    "runtime.settings.parse_listen": "settings are the operator's own",
    "runtime.settings.read_settings_file": "settings are the operator's own",
    "verification.revocation.crl.read_reason": _PIECE,
    "verification.revocation.der.read_bounds": _PIECE,
    "verification.revocation.der.read_element": _PIECE,
    "verification.revocation.der.read_extensions": _PIECE,
    "verification.revocation.der.read_whole": _PIECE,
    "verification.revocation.signed.parse_canonical_name": _PIECE,
    "verification.revocation.signed.read_outline": _PIECE,
    "verification.revocation.signed.read_signed": _PIECE,
    "verification.revocation.sources.parse_source": "terms are the operator's own",
    "verification.steps.read_leaf": "gives its bytes to parse_certificate or parse_partner_leaf",
    "verification.subject_text.parse_subject_text": "names in commands are the operator's own",
}
"""Functions named like parsers that read nothing from outside."""
