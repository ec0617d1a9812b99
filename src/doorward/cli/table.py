"""The table of all commands: the help, the completion and the reference page are made from it.

Each line names a module below `cli.commands`, which is imported when one of its commands is called. What a
command needs of the rooms below is imported at its first use (docs/design/0060).
"""

from __future__ import annotations

from doorward.cli.agent_table import AGENT_COMMANDS
from doorward.cli.groups import Branch, Entry


def _entry(where: str, summary: str, of: str = "") -> Entry:
    return Entry(where=where, summary=summary, of=of)


def _principals(word: str) -> Branch:
    """The commands of one kind of principal."""
    return Branch(
        summary=f"Manage {word}s.",
        entries={
            "add": _entry("principals:add_command", f"Add a {word} to the directory.", word),
            "list": _entry("principals:list_command", f"List the {word}s.", word),
            "set": _entry(
                "principals:set_command", f"Change the display name or mail address of a {word}.", word
            ),
            "rename": _entry("principals:rename_command", f"Give a {word} another name.", word),
            "show": _entry("principals:show_command", f"Show one {word} and its certificates.", word),
            "suspend": _entry(
                "principals:suspend_command", f"Take all rights from a {word} until `resume`.", word
            ),
            "resume": _entry("principals:resume_command", f"Give a suspended {word} all rights back.", word),
            "remove": _entry(
                "principals:remove_command", f"Remove a {word}; its certificates are revoked.", word
            ),
        },
    )


COMMANDS: dict[str, Entry | Branch] = {
    "demo": _entry("demo:demo", "Run a little bank behind the door, with test users."),
    "up": _entry("roles:up", "Run everything on this machine, in the foreground."),
    "init": _entry("roles:init", "Make an installation, or update an old one."),
    "serve": _entry("roles:serve", "Run the authority: CRL, OCSP, enrolment, evidence."),
    "gateway": _entry("roles:gateway", "Run the door: Envoy, and the decisions about connections."),
    "status": _entry("status:status", "Check every part, and say what to do if one is not well."),
    "apply": _entry("policy:apply", "Put a document into force."),
    "diff": _entry("policy:diff", "Show what `apply` would change."),
    "export": _entry("policy:export", "Print the document in force."),
    "app": Branch(
        summary="Manage applications.",
        entries={
            "add": _entry("apps:app_add", "Add an application; no one may reach it yet."),
            "list": _entry("apps:app_list", "List the applications in force."),
            "set": _entry("apps:app_set", "Give an application other hosts or another upstream."),
            "remove": _entry("apps:app_remove", "Remove an application and its rules."),
        },
    ),
    "rule": Branch(
        summary="Manage rules of applications.",
        entries={
            "add": _entry("apps:rule_add", "Add a rule to an application."),
            "remove": _entry("apps:rule_remove", "Remove a rule of an application."),
        },
    ),
    "policy": Branch(
        summary="Check a document, explain a decision, list revisions.",
        entries={
            "check": _entry("policy:check", "Check a document without putting it into force."),
            "explain": _entry("policy:explain", "Show for each rule whether it holds, and why."),
            "history": _entry("policy:history", "List the revisions of the document."),
            "show": _entry("policy:show_revision", "Print the document of a revision."),
            "rollback": _entry("policy:rollback", "Put an earlier revision into force again."),
        },
    ),
    "person": _principals("person"),
    "device": Branch(
        summary="Manage devices.",
        entries={
            **_principals("device").entries,
            "pending": _entry("device_enrolments:pending", "List devices that wait for an operator."),
            "approve": _entry("device_enrolments:approve", "Approve devices that wait."),
            "refuse": _entry("device_enrolments:refuse", "Refuse devices that wait."),
        },
    ),
    "service": _principals("service"),
    "group": Branch(
        summary="Manage groups.",
        entries={
            "create": _entry("group:create", "Create a group."),
            "add": _entry("group:add", "Put a member into a group."),
            "remove": _entry("group:remove", "Take a member out of a group, or remove the group."),
            "list": _entry("group:list_", "List the groups."),
            "show": _entry("group:show", "List the members of a group."),
        },
    ),
    "invite": _entry("enrolment:invite", "Print a one-time link for getting a certificate."),
    "invitation": Branch(
        summary="List and withdraw one-time links that are open.",
        entries={
            "list": _entry("enrolment:list_", "List the one-time links that still work."),
            "revoke": _entry("enrolment:revoke", "Withdraw a one-time link."),
        },
    ),
    **AGENT_COMMANDS,
    "factor": Branch(
        summary="Manage second factors of persons.",
        entries={
            "list": _entry("factors:list_", "List the second factors of a person."),
            "invite": _entry("factors:invite", "Print a one-time link to enrol a second factor."),
            "reset": _entry("factors:reset", "Remove every second factor of a person."),
        },
    ),
    "session": Branch(
        summary="List and end sessions that a second factor opened.",
        entries={
            "list": _entry("sessions:list_", "List the open sessions."),
            "end": _entry("sessions:end", "End one session, all of a person, or all."),
        },
    ),
    "cert": Branch(
        summary="List, show, revoke, hold, release and renew certificates.",
        entries={
            "list": _entry("cert:list_", "List certificates, oldest first."),
            "show": _entry("cert:show", "Show one certificate."),
            "revoke": _entry("cert:revoke", "Revoke a certificate for good."),
            "hold": _entry("cert:hold", "Suspend a certificate until it is released or revoked."),
            "release": _entry("cert:release", "Release a certificate from hold."),
            "renew": _entry("cert:renew", "Issue the successor of a certificate."),
        },
    ),
    "notices": Branch(
        summary="Notices about certificates that end.",
        entries={
            "list": _entry("notices:list_", "List the notices, newest first."),
            "test": _entry("notices:test", "Send a test message by mail and to the webhook."),
        },
    ),
    "ca": Branch(
        summary="Manage our own authority, its root key, and partners.",
        entries={
            "list": _entry("ca:list_", "List the certificates of our authority and of partners."),
            "export": _entry("ca:export", "Print our authority's certificates, or export the root's key."),
            "remove-root-key": _entry(
                "ca:remove_root_key", "Remove the exported root key from this machine."
            ),
            "renew-root-list": _entry(
                "ca:renew_root_list", "Sign or publish the root's next revocation list."
            ),
            "csr": _entry("rotate:csr", "Print a request for the next issuing authority's certificate."),
            "install": _entry("rotate:install", "Install the certificate that the root made of it."),
            "rotate": Branch(
                summary="Replace the issuing authority, or with it the root, in phases.",
                entries={
                    "status": _entry("rotate:status", "Say where the rollover stands, and who is missing."),
                    "prepare": _entry("rotate:prepare", "Make the next authority; both are trusted."),
                    "activate": _entry("rotate:activate", "Let the new authority issue."),
                    "drain": _entry("rotate:drain", "Have the old certificates issued again."),
                    "retire": _entry("rotate:retire", "Trust the old authority no more."),
                    "undo": _entry("rotate:undo", "Let the old authority issue again."),
                },
            ),
            "import": _entry("partner:import_", "Trust a partner's certificates."),
            "show": _entry("partner:show", "Show a partner: terms, authorities, evidence."),
            "remove": _entry("partner:remove", "Remove a partner; its certificates are refused at once."),
        },
    ),
    "manufacturer": Branch(
        summary="Manage makers of devices that register themselves.",
        entries={
            "import": _entry(
                "manufacturer:import_", "Let the devices of a manufacturer ask for certificates."
            ),
            "list": _entry("manufacturer:list_", "List the manufacturers."),
            "show": _entry("manufacturer:show", "Show a manufacturer: authorities, tag, devices."),
            "set": _entry("manufacturer:set_", "Change the tag of its devices, or how many may wait."),
            "remove": _entry("manufacturer:remove", "Remove a manufacturer; its devices can ask no more."),
            "expect": _entry("manufacturer:expect", "Expect devices by serial number."),
            "bar": _entry("manufacturer:bar", "Bar devices by serial number."),
            "barred": _entry("manufacturer:barred", "List the barred serial numbers."),
        },
    ),
    "tag": Branch(
        summary="Say how a manufacturer's devices are approved and named.",
        entries={
            "add": _entry("manufacturer:tag_add", "Add a tag."),
            "list": _entry("manufacturer:tag_list", "List the tags."),
            "set": _entry("manufacturer:tag_set", "Change a tag."),
            "remove": _entry("manufacturer:tag_remove", "Remove a tag."),
        },
    ),
    "audit": Branch(
        summary="Read, verify and export the evidence.",
        entries={
            "tail": _entry("audit:tail", "Print the newest events, one line per event."),
            "verify": _entry("audit:verify", "Verify the log, or an export of it."),
            "export": _entry("audit:export", "Export the log, to be verified anywhere."),
            "reindex": _entry("audit:reindex", "Make the search index of the log again."),
            "erase": _entry("audit_erase:erase", "Erase personal values of the log."),
            "key": _entry("audit:key", "Print the verifier key of the log."),
        },
    ),
    "explain": _entry("explain:explain", "Explain what happened to a request, connection or certificate."),
    "completion": _entry("completion:completion", "Print the completion script for a shell."),
}
