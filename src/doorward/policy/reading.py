"""Reads a YAML tree as a policy document: frozen values, or every fault with its place.

Not here: YAML itself (`yaml_tree`), the entry point (`document`), advice on valid documents (`analysis`).

Keys of a later version are refused with `not-built-yet`: an ignored condition would admit people that the author wants
to keep out.
"""

from __future__ import annotations

import re
from dataclasses import replace

from doorward.core.errors import Fault, MalformedInput
from doorward.core.names import (
    OWN_AUTHORITY,
    is_at_or_below,
    own_hosts,
    parse_dns_name,
    parse_principal_name,
    parse_trust_domain,
    portal_host,
)
from doorward.policy.app_limits import APP_LIMIT_KEYS, read_app_limits
from doorward.policy.group_factors import read_group_factors
from doorward.policy.model import (
    METHOD,
    AppPolicy,
    Document,
    Effect,
    Residual,
    Rule,
)
from doorward.policy.node_reader import NodeReader
from doorward.policy.on_refusal import read_on_refusal
from doorward.policy.open_access import OPEN_ACCESS_KEYS, read_cors, read_public
from doorward.policy.path_options import read_path_options
from doorward.policy.paths import EVERY_PATH, OWNER, PathPattern
from doorward.policy.request_headers import DEFAULT_HEADER_OPTIONS, read_header_options
from doorward.policy.requirement_text import read_requirements
from doorward.policy.requirements import Requirement
from doorward.policy.selectors.table import read_selector
from doorward.policy.server_certificates import read_certificates
from doorward.policy.tcp import TCP_KEYS, check_kind, read_alpn
from doorward.policy.upstreams import check_base, read_upstream
from doorward.policy.yaml_tree import Node, Scalar, Sequence

_APP_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_RULE_NAME_LIMIT = 128
_UNBUILT_RULE = {
    "when": "remove it, or use groups instead",
    "mode": "remove it: every rule is enforced",
}
MOST_HOSTS = 100
"""Of one application: the names in its server certificate, which each TLS handshake carries."""

APP_KEYS = ("hosts", "upstream", "certificates", "on_refusal", "trust", "headers", "rules", "paths")


class DocumentReader:
    """Reads one tree; `faults` has every fault."""

    def __init__(self, file: str) -> None:
        self._nodes = NodeReader(file)
        self._hosts: dict[str, tuple[str, int]] = {}
        self._trust_domain = ""
        self._trust: tuple[str, ...] = ()  # of the application that is being read

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults in the order of the text."""
        return self._nodes.faults

    def read(self, root: Node) -> Document | None:
        """Return the document; None if it has faults."""
        top = self._nodes.mapping(root, "", ("trust_domain", "factors", "apps"))
        self._trust_domain = self._read_trust_domain(root, top.get("trust_domain"))
        apps = [
            app
            for name, node in (self._optional_entries(top["apps"], "apps") if "apps" in top else [])
            if (app := self._read_app(name, node))
        ]
        factors = read_group_factors(self._nodes, top["factors"]) if "factors" in top else ()
        if self.faults:
            return None
        return Document(trust_domain=self._trust_domain, apps=tuple(apps), factors=factors)

    def _optional_entries(self, node: Node, key: str) -> list[tuple[Scalar, Node]]:
        absent = isinstance(node, Scalar) and not node.given
        return [] if absent else self._nodes.entries(node, key)

    def _read_trust_domain(self, root: Node, node: Node | None) -> str:
        if node is None:
            hint = "write `trust_domain:` with the domain that `doorward init` was given"
            self._nodes.add_fault(
                root, "missing-key", "there is no `trust_domain`", key="trust_domain", hint=hint
            )
            return ""
        text = self._nodes.text(node, "trust_domain")
        try:
            return parse_trust_domain(text.value) if text else ""
        except MalformedInput as error:
            self._nodes.add_malformed(node, error, key="trust_domain")
            return ""

    def _read_app(self, name: Scalar, node: Node) -> AppPolicy | None:
        key = f"apps.{name.value}"
        if not _APP_NAME.fullmatch(name.value):
            hint = "use a-z, 0-9 and '-', at most 63 characters, and begin with a letter or digit"
            self._nodes.add_fault(
                name, "app-name-malformed", "this is not a usable application name", key=key, hint=hint
            )
        found = self._nodes.mapping(node, key, (*APP_KEYS, *OPEN_ACCESS_KEYS, *APP_LIMIT_KEYS, *TCP_KEYS))
        for needed in ("hosts", "upstream"):
            if needed not in found:
                self._nodes.add_fault(
                    name, "missing-key", f"application {name.value!r} has no `{needed}`", key=key
                )
        hosts = self._read_hosts(found["hosts"], f"{key}.hosts", name.value) if "hosts" in found else ()
        upstream = (
            read_upstream(self._nodes, found["upstream"], f"{key}.upstream") if "upstream" in found else None
        )
        check_kind(self._nodes, found, key, upstream)
        trust = self._read_trust(found["trust"], f"{key}.trust") if "trust" in found else (OWN_AUTHORITY,)
        headers = (
            read_header_options(found["headers"], f"{key}.headers", self._nodes)
            if "headers" in found
            else DEFAULT_HEADER_OPTIONS
        )
        self._trust = trust
        app_limits = read_app_limits(self._nodes, found, key)
        rules = self._read_rules(found["rules"], f"{key}.rules") if "rules" in found else ()
        check_base(self._nodes, name, f"{key}.upstream", upstream, judged=headers.destination)
        self._check_owned(found, key, rules, judged=headers.destination)
        public, origins = read_public(self._nodes, found, key, rules), read_cors(self._nodes, found, key)
        keeps_slashes = read_path_options(self._nodes, found, key, rules, public)
        alpn = read_alpn(self._nodes, found, key)
        on_refusal = read_on_refusal(self._nodes, found, key)
        certificates = read_certificates(self._nodes, found, key)
        if self.faults or upstream is None:
            return None
        return AppPolicy(
            name=name.value,
            hosts=hosts,
            upstream=upstream,
            on_refusal=on_refusal,
            trust=trust,
            headers=headers,
            app_limits=app_limits,
            rules=rules,
            public=public,
            origins=origins,
            keeps_slashes=keeps_slashes,
            alpn=alpn,
            certificates=certificates,
        )

    def _read_hosts(self, node: Node, key: str, app: str) -> tuple[str, ...]:
        hosts = []
        texts = self._nodes.texts(node, key)
        if len(texts) > MOST_HOSTS:
            message = f"the application has {len(texts)} hosts, at most {MOST_HOSTS} are allowed"
            hint = "make two applications: one server certificate has all hosts of an application"
            self._nodes.add_fault(node, "too-many-hosts", message, key=key, hint=hint)
        for text in texts:
            problem = self._problem_of_host(text.value)
            if problem:
                code, message, hint = problem
                self._nodes.add_fault(text, code, f"{text.value!r}: {message}", key=key, hint=hint)
            elif text.value in self._hosts:
                other, line = self._hosts[text.value]
                message = f"host {text.value} already belongs to application {other!r} in line {line}"
                self._nodes.add_fault(
                    text, "host-taken", message, key=key, hint="a host leads to one application"
                )
            else:
                self._hosts[text.value] = app, text.line
                hosts.append(text.value)
        return tuple(hosts)

    def _problem_of_host(self, host: str) -> tuple[str, str, str] | None:
        """Return code, message and hint if a host is not allowed."""
        if "*" in host:
            return "host-malformed", "a host has no wildcard", "list each host"
        if ":" in host:
            return "host-malformed", "a host has no port", "remove the port: the gateway's settings have it"
        try:
            name = parse_dns_name(host)
        except MalformedInput as error:
            return "host-malformed", error.detail, error.hint
        if name != host:
            return "host-malformed", "a host is written in lower case", f"write {name}"
        if self._trust_domain and host in own_hosts(self._trust_domain):
            return "host-reserved", "this host belongs to Doorward", "choose another host for the application"
        if self._trust_domain and is_at_or_below(name, portal := portal_host(self._trust_domain)):
            message = (
                f"the host is below the portal's host {portal}, so its pages could ask for people's passkeys"
            )
            return "host-reserved", message, "choose a host that is not below it"
        return None

    def _read_trust(self, node: Node, key: str) -> tuple[str, ...]:
        """Return the names of authorities, sorted; an empty list is a fault."""
        return tuple(sorted(self._read_names(node, key)))

    def _read_rules(self, node: Node, key: str) -> tuple[Rule, ...]:
        if isinstance(node, Scalar) and not node.given:
            return ()
        if not isinstance(node, Sequence):
            hint = "write each rule as an entry that begins with `- `"
            self._nodes.add_fault(node, "wrong-type", "`rules` is not a list", key=key, hint=hint)
            return ()
        rules = []
        names: dict[str, int] = {}
        for at, item in enumerate(node.items):
            rule = self._read_rule(item, f"{key}[{at}]", generated_name(at))
            if rule is None:
                continue
            if rule.name in names:
                message = f"the rule in line {names[rule.name]} has the name {rule.name!r}, too"
                hint = "give each rule of an application another name"
                self._nodes.add_fault(item, "rule-name-taken", message, key=f"{key}[{at}]", hint=hint)
            names.setdefault(rule.name, item.line)
            rules.append(rule)
        return () if self.faults else tuple(rules)

    def _read_rule(self, node: Node, key: str, default_name: str) -> Rule | None:
        found = self._nodes.mapping(node, key, ("name", "allow", "deny", "to", "require"), _UNBUILT_RULE)
        name = self._read_rule_name(found["name"], f"{key}.name") if "name" in found else default_name
        effects = [effect for effect in Effect if effect.value in found]
        if len(effects) != 1:
            message = (
                "a rule has both `allow` and `deny`" if effects else "a rule has neither `allow` nor `deny`"
            )
            hint = "make two rules" if effects else "write `allow: {groups: [...]}`"
            self._nodes.add_fault(node, "rule-effect", message, key=key, hint=hint)
            return None
        word = effects[0].value
        selector = read_selector(self._nodes, found[word], f"{key}.{word}")
        if selector is not None and selector.unissued and len(self._trust) > 1:
            message = f"`{selector.unissued[0]}` has no issuer, and the application trusts {' and '.join(self._trust)}"
            hint = "add `issuer: [aut_...]` to `certificate`; `doorward ca list` shows the ids"
            self._nodes.add_fault(found[word], "issuer-missing", message, key=f"{key}.{word}", hint=hint)
        residual = self._read_residual(found["to"], f"{key}.to") if "to" in found else Residual()
        asked = (
            self._read_require(found["require"], f"{key}.require", effects[0]) if "require" in found else ()
        )
        if selector is None or residual is None:
            return None
        residual = replace(residual, requirements=frozenset(asked)) if asked else residual
        return Rule(name=name, effect=effects[0], selector=selector, residual=residual)

    def _read_require(self, node: Node, key: str, effect: Effect) -> frozenset[Requirement]:
        if effect is Effect.ALLOW:
            return read_requirements(self._nodes, node, key)
        message = "a deny rule cannot have `require`: it would deny people who show a factor"
        hint = "move `require` to the allow rule"
        self._nodes.add_fault(node, "requirement-unwanted", message, key=key, hint=hint)
        return frozenset()

    def _check_owned(
        self, found: dict[str, Node], key: str, rules: tuple[Rule, ...], *, judged: bool
    ) -> None:
        """Refuse `{principal}` if `Destination` is judged: the second path is not compared with the principal."""
        if judged and any(pattern.owned for rule in rules for pattern in rule.residual.paths):
            message = f"{OWNER} in a path is not supported yet together with `destination: judge`"
            hint = f"remove `destination` from `headers`, or write the paths without {OWNER}"
            self._nodes.add_fault(found["rules"], "not-built-yet", message, key=f"{key}.rules", hint=hint)

    def _read_rule_name(self, node: Node, key: str) -> str:
        text = self._nodes.text(node, key)
        name = text.value if text else ""
        if text and (len(name) > _RULE_NAME_LIMIT or not name.isprintable() or name != name.strip()):
            message = f"{name[:_RULE_NAME_LIMIT]!r} is not a rule name"
            hint = f"write one line of printable text, at most {_RULE_NAME_LIMIT} characters"
            self._nodes.add_fault(node, "rule-name-malformed", message, key=key, hint=hint)
        return name

    def _read_names(self, node: Node, key: str) -> frozenset[str]:
        names = set()
        for text in self._nodes.texts(node, key):
            try:
                names.add(parse_principal_name(text.value))
            except MalformedInput as error:
                self._nodes.add_malformed(text, error, key=key)
        return frozenset(names)

    def _read_residual(self, node: Node, key: str) -> Residual | None:
        found = self._nodes.mapping(node, key, ("methods", "paths"))
        if not found:
            hint = "write `methods` or `paths`; remove `to` if the rule is about every request"
            self._nodes.add_fault(
                node, "residual-empty", "`to` has neither methods nor paths", key=key, hint=hint
            )
            return None
        methods = self._read_methods(found["methods"], f"{key}.methods") if "methods" in found else None
        paths = self._read_paths(found["paths"], f"{key}.paths") if "paths" in found else (EVERY_PATH,)
        if (methods is not None and not methods) or not paths:
            return None
        return Residual(methods=methods, paths=paths)

    def _read_methods(self, node: Node, key: str) -> frozenset[str]:
        methods = set()
        for text in self._nodes.texts(node, key):
            if text.value == "CONNECT":
                message = "rules about CONNECT are not supported yet"
                hint = "remove it: the door refuses CONNECT"
                self._nodes.add_fault(text, "not-built-yet", message, key=key, hint=hint)
            elif METHOD.fullmatch(text.value):
                methods.add(text.value)
            else:
                hint = (
                    f"write {text.value.upper()}"
                    if METHOD.fullmatch(text.value.upper())
                    else (
                        "remove `methods` if the rule is about every method"
                        if text.value == "*"
                        else "write GET, HEAD, POST and so on"
                    )
                )
                message = f"{text.value!r} is not an HTTP method"
                self._nodes.add_fault(text, "method-malformed", message, key=key, hint=hint)
        return frozenset(methods)

    def _read_paths(self, node: Node, key: str) -> tuple[PathPattern, ...]:
        patterns = []
        for text in self._nodes.texts(node, key):
            try:
                patterns.append(PathPattern(text.value))
            except MalformedInput as error:
                self._nodes.add_malformed(text, error, key=key)
        return tuple(patterns)


def generated_name(at: int) -> str:
    """Return the name of a rule without a name; `at` is its position, counted from 0."""
    return f"rule {at + 1}"
