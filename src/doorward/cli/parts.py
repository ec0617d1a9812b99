"""The parts of the program that commands call, each imported when a command first uses it (PEP 562).

`parts.inventory.find_certificate(…)` imports `doorward.authority.inventory` at that moment. So the help and the
completion of a command import none of them, and a command imports what it uses and no more (docs/design/0060).
Cheap modules, such as errors and entities, are imported at the top of a command's module as everywhere.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for mypy and import-linter; a test holds `_WHERE` to it
    from doorward import files as files
    from doorward.access import applications as applications
    from doorward.access import explanation as explanation
    from doorward.access import names as names
    from doorward.access import policies as policies
    from doorward.access import rule_lines as rule_lines
    from doorward.access import shortcuts as shortcuts
    from doorward.agent import client as client
    from doorward.agent import link as link
    from doorward.agent import pkcs12 as pkcs12
    from doorward.audit import catalogue as catalogue
    from doorward.authority import founding as founding
    from doorward.authority import gateways as gateways
    from doorward.authority import inventory as inventory
    from doorward.authority import issuing as issuing
    from doorward.authority import own_certificates as own_certificates
    from doorward.authority import revocation as revocation
    from doorward.authority.status import root_crl as root_crl
    from doorward.demo import scenery as scenery
    from doorward.demo import story as story
    from doorward.demo import teller as teller
    from doorward.demo import trying as trying
    from doorward.directory import certificates as certificates
    from doorward.directory import groups as groups
    from doorward.directory import invitations as invitations
    from doorward.directory import nesting as nesting
    from doorward.directory import principals as principals
    from doorward.partners import examining as examining
    from doorward.partners import importing as importing
    from doorward.partners import showing as showing
    from doorward.partners import terms as terms
    from doorward.runtime import certificate_files as certificate_files
    from doorward.runtime import compose as compose
    from doorward.runtime import condition as condition
    from doorward.runtime import disruption as disruption
    from doorward.runtime import door_port as door_port
    from doorward.runtime import evidence as evidence
    from doorward.runtime import explaining as explaining
    from doorward.runtime import gateway as gateway
    from doorward.runtime import initialise as initialise
    from doorward.runtime import layout as layout
    from doorward.runtime import logging as logging
    from doorward.runtime import own_places as own_places
    from doorward.runtime import pem as pem
    from doorward.runtime import private_files as private_files
    from doorward.runtime import reading as reading
    from doorward.runtime import renewed_files as renewed_files
    from doorward.runtime import roles as roles
    from doorward.runtime import serve as serve
    from doorward.runtime import settings as settings
    from doorward.runtime import telling as telling
    from doorward.runtime import up as up
    from doorward.runtime import updating as updating
    from doorward.runtime import world as world
    from doorward.stores import freed_names as freed_names
    from doorward.verification import identity as identity
    from doorward.verification import partner as partner
else:

    def __getattr__(name: str) -> object:
        if name not in _WHERE:
            raise AttributeError(f"module {__name__} has no attribute {name}")
        found = globals()[name] = importlib.import_module(f"doorward.{_WHERE[name]}")
        return found


_WHERE = {
    "applications": "access.applications",
    "catalogue": "audit.catalogue",
    "certificate_files": "runtime.certificate_files",
    "compose": "runtime.compose",
    "condition": "runtime.condition",
    "certificates": "directory.certificates",
    "client": "agent.client",
    "disruption": "runtime.disruption",
    "door_port": "runtime.door_port",
    "evidence": "runtime.evidence",
    "examining": "partners.examining",
    "explaining": "runtime.explaining",
    "explanation": "access.explanation",
    "files": "files",
    "founding": "authority.founding",
    "freed_names": "stores.freed_names",
    "gateway": "runtime.gateway",
    "gateways": "authority.gateways",
    "groups": "directory.groups",
    "identity": "verification.identity",
    "importing": "partners.importing",
    "initialise": "runtime.initialise",
    "inventory": "authority.inventory",
    "invitations": "directory.invitations",
    "issuing": "authority.issuing",
    "layout": "runtime.layout",
    "link": "agent.link",
    "logging": "runtime.logging",
    "names": "access.names",
    "nesting": "directory.nesting",
    "own_certificates": "authority.own_certificates",
    "own_places": "runtime.own_places",
    "partner": "verification.partner",
    "pem": "runtime.pem",
    "pkcs12": "agent.pkcs12",
    "policies": "access.policies",
    "principals": "directory.principals",
    "private_files": "runtime.private_files",
    "reading": "runtime.reading",
    "renewed_files": "runtime.renewed_files",
    "revocation": "authority.revocation",
    "roles": "runtime.roles",
    "root_crl": "authority.status.root_crl",
    "scenery": "demo.scenery",
    "rule_lines": "access.rule_lines",
    "serve": "runtime.serve",
    "settings": "runtime.settings",
    "shortcuts": "access.shortcuts",
    "showing": "partners.showing",
    "story": "demo.story",
    "teller": "demo.teller",
    "telling": "runtime.telling",
    "terms": "partners.terms",
    "trying": "demo.trying",
    "up": "runtime.up",
    "updating": "runtime.updating",
    "world": "runtime.world",
}
