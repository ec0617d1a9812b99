"""The parts of the program that commands call, each imported when a command first uses it (PEP 562).

`parts.inventory.find_certificate(…)` imports `doorward.authority.inventory` at that moment. So the help and the
completion of a command import none of them, and a command imports only the modules that it uses (docs/design/0060).
Cheap modules, such as errors and entities, are imported at the top of a command's module as everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doorward.core.lazy_imports import import_lazily

if TYPE_CHECKING:  # for mypy and import-linter; a test compares the table below with it
    from doorward import files as files
    from doorward import stop_signals as stop_signals
    from doorward.access import applications as applications
    from doorward.access import completion_names as completion_names
    from doorward.access import explanation as explanation
    from doorward.access import policies as policies
    from doorward.access import rule_lines as rule_lines
    from doorward.access import shortcuts as shortcuts
    from doorward.agent import client as client
    from doorward.agent import commands as commands
    from doorward.agent import configuration as configuration
    from doorward.agent import deploying as deploying
    from doorward.agent import identity_condition as identity_condition
    from doorward.agent import keeper as keeper
    from doorward.agent import link as link
    from doorward.agent import log as log
    from doorward.agent import loop as loop
    from doorward.agent import machine_facts as machine_facts
    from doorward.agent import options as options
    from doorward.agent import pkcs12 as pkcs12
    from doorward.agent import service_files as service_files
    from doorward.audit import catalogue as catalogue
    from doorward.authority import authority_certificates as authority_certificates
    from doorward.authority import founding as founding
    from doorward.authority import gateways as gateways
    from doorward.authority import inventory as inventory
    from doorward.authority import issuing as issuing
    from doorward.authority import line as line
    from doorward.authority import revocation as revocation
    from doorward.authority import rollover as rollover
    from doorward.authority.status import root_crl as root_crl
    from doorward.authority.status import root_list_import as root_list_import
    from doorward.authority.status import stored_crls as stored_crls
    from doorward.core import mail_address as mail_address
    from doorward.demo import environment as environment
    from doorward.demo import report as report
    from doorward.demo import story as story
    from doorward.demo import trying as trying
    from doorward.directory import certificates as certificates
    from doorward.directory import endings as endings
    from doorward.directory import groups as groups
    from doorward.directory import invitations as invitations
    from doorward.directory import inviting as inviting
    from doorward.directory import mail_addresses as mail_addresses
    from doorward.directory import nesting as nesting
    from doorward.directory import notice_planning as notice_planning
    from doorward.directory import principal_inventory as principal_inventory
    from doorward.directory import principals as principals
    from doorward.directory import removal as removal
    from doorward.directory import session_ending as session_ending
    from doorward.directory import session_views as session_views
    from doorward.directory import sessions as sessions
    from doorward.directory.factors import enrolment_tickets as enrolment_tickets
    from doorward.directory.factors import removing as removing
    from doorward.directory.fleets import approval_lists as approval_lists
    from doorward.directory.fleets import approving as approving
    from doorward.directory.fleets import manufacturers as manufacturers
    from doorward.directory.fleets import serials as serials
    from doorward.directory.fleets import tags as tags
    from doorward.directory.importing import adding as adding
    from doorward.directory.importing import inviting_many as inviting_many
    from doorward.directory.importing import planning as planning
    from doorward.directory.importing import reading_files as reading_files
    from doorward.partners import examining as examining
    from doorward.partners import importing as importing
    from doorward.partners import showing as showing
    from doorward.partners import terms as terms
    from doorward.pki import facts as facts
    from doorward.policy import requirement_text as requirement_text
    from doorward.runtime import certificate_files as certificate_files
    from doorward.runtime import compose as compose
    from doorward.runtime import condition as condition
    from doorward.runtime import disruption as disruption
    from doorward.runtime import durations as durations
    from doorward.runtime import erasing as erasing
    from doorward.runtime import event_lines as event_lines
    from doorward.runtime import evidence as evidence
    from doorward.runtime import explaining as explaining
    from doorward.runtime import gateway as gateway
    from doorward.runtime import indexing as indexing
    from doorward.runtime import initialise as initialise
    from doorward.runtime import invitation_files as invitation_files
    from doorward.runtime import layout as layout
    from doorward.runtime import logging as logging
    from doorward.runtime import notices as notices
    from doorward.runtime import own_places as own_places
    from doorward.runtime import pem as pem
    from doorward.runtime import portal_trust as portal_trust
    from doorward.runtime import private_files as private_files
    from doorward.runtime import reading as reading
    from doorward.runtime import renewed_files as renewed_files
    from doorward.runtime import roles as roles
    from doorward.runtime import root_ceremony as root_ceremony
    from doorward.runtime import serve as serve
    from doorward.runtime import settings as settings
    from doorward.runtime import starting as starting
    from doorward.runtime import tile_export as tile_export
    from doorward.runtime import up as up
    from doorward.runtime import world as world
    from doorward.stores import fleet_records as fleet_records
    from doorward.stores import freed_names as freed_names
    from doorward.verification import identity as identity
    from doorward.verification import partner as partner
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "adding": "doorward.directory.importing.adding",
            "mail_address": "doorward.core.mail_address",
            "applications": "doorward.access.applications",
            "catalogue": "doorward.audit.catalogue",
            "certificate_files": "doorward.runtime.certificate_files",
            "completion_names": "doorward.access.completion_names",
            "compose": "doorward.runtime.compose",
            "condition": "doorward.runtime.condition",
            "certificates": "doorward.directory.certificates",
            "identity_condition": "doorward.agent.identity_condition",
            "client": "doorward.agent.client",
            "commands": "doorward.agent.commands",
            "configuration": "doorward.agent.configuration",
            "deploying": "doorward.agent.deploying",
            "machine_facts": "doorward.agent.machine_facts",
            "keeper": "doorward.agent.keeper",
            "loop": "doorward.agent.loop",
            "options": "doorward.agent.options",
            "service_files": "doorward.agent.service_files",
            "log": "doorward.agent.log",
            "disruption": "doorward.runtime.disruption",
            "endings": "doorward.directory.endings",
            "evidence": "doorward.runtime.evidence",
            "examining": "doorward.partners.examining",
            "explaining": "doorward.runtime.explaining",
            "explanation": "doorward.access.explanation",
            "facts": "doorward.pki.facts",
            "files": "doorward.files",
            "founding": "doorward.authority.founding",
            "approval_lists": "doorward.directory.fleets.approval_lists",
            "approving": "doorward.directory.fleets.approving",
            "manufacturers": "doorward.directory.fleets.manufacturers",
            "serials": "doorward.directory.fleets.serials",
            "tags": "doorward.directory.fleets.tags",
            "fleet_records": "doorward.stores.fleet_records",
            "freed_names": "doorward.stores.freed_names",
            "gateway": "doorward.runtime.gateway",
            "gateways": "doorward.authority.gateways",
            "groups": "doorward.directory.groups",
            "identity": "doorward.verification.identity",
            "importing": "doorward.partners.importing",
            "initialise": "doorward.runtime.initialise",
            "root_ceremony": "doorward.runtime.root_ceremony",
            "inventory": "doorward.authority.inventory",
            "inviting": "doorward.directory.inviting",
            "invitations": "doorward.directory.invitations",
            "issuing": "doorward.authority.issuing",
            "layout": "doorward.runtime.layout",
            "line": "doorward.authority.line",
            "link": "doorward.agent.link",
            "logging": "doorward.runtime.logging",
            "mail_addresses": "doorward.directory.mail_addresses",
            "nesting": "doorward.directory.nesting",
            "notices": "doorward.runtime.notices",
            "notice_planning": "doorward.directory.notice_planning",
            "authority_certificates": "doorward.authority.authority_certificates",
            "own_places": "doorward.runtime.own_places",
            "inviting_many": "doorward.directory.importing.inviting_many",
            "invitation_files": "doorward.runtime.invitation_files",
            "planning": "doorward.directory.importing.planning",
            "reading_files": "doorward.directory.importing.reading_files",
            "partner": "doorward.verification.partner",
            "pem": "doorward.runtime.pem",
            "pkcs12": "doorward.agent.pkcs12",
            "policies": "doorward.access.policies",
            "portal_trust": "doorward.runtime.portal_trust",
            "principal_inventory": "doorward.directory.principal_inventory",
            "principals": "doorward.directory.principals",
            "private_files": "doorward.runtime.private_files",
            "indexing": "doorward.runtime.indexing",
            "reading": "doorward.runtime.reading",
            "removal": "doorward.directory.removal",
            "renewed_files": "doorward.runtime.renewed_files",
            "requirement_text": "doorward.policy.requirement_text",
            "revocation": "doorward.authority.revocation",
            "roles": "doorward.runtime.roles",
            "removing": "doorward.directory.factors.removing",
            "enrolment_tickets": "doorward.directory.factors.enrolment_tickets",
            "session_ending": "doorward.directory.session_ending",
            "session_views": "doorward.directory.session_views",
            "sessions": "doorward.directory.sessions",
            "rollover": "doorward.authority.rollover",
            "root_crl": "doorward.authority.status.root_crl",
            "root_list_import": "doorward.authority.status.root_list_import",
            "stored_crls": "doorward.authority.status.stored_crls",
            "environment": "doorward.demo.environment",
            "rule_lines": "doorward.access.rule_lines",
            "serve": "doorward.runtime.serve",
            "settings": "doorward.runtime.settings",
            "shortcuts": "doorward.access.shortcuts",
            "showing": "doorward.partners.showing",
            "starting": "doorward.runtime.starting",
            "stop_signals": "doorward.stop_signals",
            "story": "doorward.demo.story",
            "report": "doorward.demo.report",
            "durations": "doorward.runtime.durations",
            "erasing": "doorward.runtime.erasing",
            "event_lines": "doorward.runtime.event_lines",
            "terms": "doorward.partners.terms",
            "trying": "doorward.demo.trying",
            "tile_export": "doorward.runtime.tile_export",
            "up": "doorward.runtime.up",
            "world": "doorward.runtime.world",
        },
    )
