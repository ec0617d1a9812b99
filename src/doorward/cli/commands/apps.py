"""`doorward app` and `doorward rule`: shortcuts that make revisions of the document."""

from __future__ import annotations

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.commands.policy import note_ending, report_applied
from doorward.cli.completing import (
    complete_app,
    complete_group,
    complete_issuer,
    complete_key,
    complete_principal,
    complete_profile,
)
from doorward.cli.confirming import YES, ask, may_ask
from doorward.cli.state import State, actor
from doorward.core.entities import PrincipalKind
from doorward.core.factor_kinds import SESSION_FACTORS
from doorward.core.untrusted_text import escape_unprintable

ALPN = click.option(
    "--alpn",
    multiple=True,
    help="Protocol that clients of a TCP application may offer (ALPN), such as mqtt or postgresql; repeatable.",
)

AUDIENCE = {"people": "page", "machines": "alert"}
"""`--for` to `on_refusal`: who uses the application, and how the door refuses a connection without a good certificate."""

FACTORS = ["any", *(kind.value for kind in SESSION_FACTORS)]

SERVER_FIRST = (
    "the door connects to a TCP server only after the client has sent a byte: protocols in which the server speaks "
    "first (SSH, MySQL, SMTP, FTP, IMAP, POP3) do not work"
)


@click.command("add", cls=Command)
@click.argument("name")
@click.option("--host", "hosts", multiple=True, required=True, help="Host name that people use; repeatable.")
@click.option(
    "--upstream",
    required=True,
    help="Where the application listens: http://host:port[/base], h2c://…, https://…, unix:///path; "
    "tcp://host:port or tcp+unix:///path for any other protocol.",
)
@ALPN
@click.option(
    "--for",
    "audience",
    type=click.Choice(list(AUDIENCE)),
    help="People with browsers get a page if they have no good certificate; machines get a TLS alert. "
    "Without it, a terminal is asked, and a script gets the alert.",
)
@click.pass_obj
def app_add(
    state: State,
    /,
    *,
    name: str,
    hosts: tuple[str, ...],
    upstream: str,
    alpn: tuple[str, ...],
    audience: str | None,
) -> None:
    """Add an application; no one may reach it until a rule allows it."""
    is_tcp = upstream.startswith("tcp")
    if is_tcp:
        state.output.note(f"note: {SERVER_FIRST}")
    if audience is None and not is_tcp and may_ask(state):
        question = f"Who uses {name}: people with browsers, or machines?"
        audience = click.prompt(
            escape_unprintable(question), type=click.Choice(list(AUDIENCE)), default="people", err=True
        )
    installation = state.installation()
    report_applied(
        state,
        installation.services,
        parts.shortcuts.add_app(
            installation.services,
            name,
            hosts=hosts,
            upstream=upstream,
            alpn=alpn,
            on_refusal=AUDIENCE.get(audience or "", ""),
            actor=actor(),
            check=parts.own_places.publishable(installation),
        ),
    )


@click.command("list", cls=Command)
@click.pass_obj
def app_list(state: State) -> None:
    """List the applications in force."""
    installation = state.installation()
    silent = parts.condition.silent_upstreams(installation)
    rows = [
        {
            "name": one.name,
            "hosts": list(one.hosts),
            "upstream": one.upstream.url,
            "answers": _answers(one.name, silent),
            "rules": len(one.rules),
            "on_refusal": one.on_refusal.value,
            "id": application_id,
        }
        for one, application_id in parts.applications.list_applications(installation.services)
    ]
    state.output.table(
        rows,
        ["name", "hosts", "upstream", "answers", "rules", "on_refusal"],
        empty="no applications; add one: doorward app add",
    )


def _answers(name: str, silent: dict[str, str] | None) -> str:
    return "unknown: no gateway runs" if silent is None else silent.get(name, "yes")


@click.command("set", cls=Command)
@click.argument("name", shell_complete=complete_app)
@click.option("--host", "hosts", multiple=True, help="Host name, in place of all present ones; repeatable.")
@click.option("--upstream", default="", help="Where the application listens.")
@click.option(
    "--alpn",
    multiple=True,
    help="Protocol that clients of a TCP application may offer, in place of all present ones; repeatable. "
    "An empty value ('') removes all protocols.",
)
@click.option(
    "--on-refusal",
    type=click.Choice(list(AUDIENCE.values())),
    help="How to refuse a connection without a good certificate: page for people, alert for machines.",
)
@click.option(
    "--certificates",
    type=click.Choice(["own", "acme"]),
    help="Who certifies the hosts: our own authority, or the ACME authority of the settings.",
)
@click.pass_obj
def app_set(
    state: State,
    /,
    *,
    name: str,
    hosts: tuple[str, ...],
    upstream: str,
    alpn: tuple[str, ...],
    on_refusal: str | None,
    certificates: str | None,
) -> None:
    """Give an application other hosts, another upstream, other protocols or other certificates; its rules stay."""
    if not any((hosts, upstream, alpn, on_refusal, certificates)):
        raise click.UsageError(
            "Say what to change: --host, --upstream, --alpn, --on-refusal or --certificates."
        )
    installation = state.installation()
    report_applied(
        state,
        installation.services,
        parts.shortcuts.set_app(
            installation.services,
            name,
            hosts=hosts,
            upstream=upstream,
            alpn=[one for one in alpn if one] if alpn else None,
            on_refusal=on_refusal or "",
            certificates=certificates or "",
            actor=actor(),
            check=parts.own_places.publishable(installation),
        ),
    )


@click.command("remove", cls=Command)
@click.argument("name", shell_complete=complete_app)
@YES
@click.pass_obj
def app_remove(state: State, name: str, yes: bool) -> None:
    """Remove an application and its rules from the document; on a terminal, the command asks first."""
    installation = state.installation()
    note_ending(state, parts.disruption.tell_removal(installation, name))
    ask(state, f"remove the application {name} with its rules? No one can reach it any more.", yes=yes)
    report_applied(
        state,
        installation.services,
        parts.shortcuts.remove_app(
            installation.services, name, actor=actor(), check=parts.own_places.publishable(installation)
        ),
        unchanged=f"there is no application named {name}",
    )


@click.command("add", cls=Command)
@click.argument("app", shell_complete=complete_app)
@click.option("--deny", is_flag=True, help="Forbid instead of allow.")
@click.option("--name", default="", help="Name of the rule; without it, a number is given.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    shell_complete=complete_group,
    help="Members of this group; repeatable.",
)
@click.option(
    "--person",
    "persons",
    multiple=True,
    shell_complete=complete_principal(PrincipalKind.PERSON),
    help="This person.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    shell_complete=complete_principal(PrincipalKind.DEVICE),
    help="This device.",
)
@click.option(
    "--service",
    "services",
    multiple=True,
    shell_complete=complete_principal(PrincipalKind.SERVICE),
    help="This service.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in PrincipalKind]),
    help="Everyone of this kind.",
)
@click.option(
    "--issuer",
    multiple=True,
    shell_complete=complete_issuer,
    help="A certificate of the authority with this id (`doorward ca list`).",
)
@click.option(
    "--profile",
    multiple=True,
    shell_complete=complete_profile,
    help="A certificate of ours with this profile: person, device, service.",
)
@click.option("--san-dns", multiple=True, help="A certificate with this DNS name, or one below *.DOMAIN.")
@click.option("--san-email", multiple=True, help="A certificate with this mailbox, or one at @DOMAIN.")
@click.option("--san-uri", multiple=True, help="A certificate with this URI, or one within BEGINNING/**.")
@click.option("--policy-oid", multiple=True, help="A certificate for which this policy is valid.")
@click.option(
    "--key",
    "key",
    multiple=True,
    shell_complete=complete_key,
    help="A certificate with this kind of key, such as ec-p256 or rsa-3072+.",
)
@click.option(
    "--source",
    metavar="NETWORK",
    multiple=True,
    help="A connection from this network, such as 10.0.0.0/8; repeatable.",
)
@click.option("--method", "methods", multiple=True, help="Only this method; repeatable.")
@click.option(
    "--path", "paths", multiple=True, help="Only this path pattern, such as /reports/**; repeatable."
)
@click.option(
    "--require",
    "factor",
    type=click.Choice(FACTORS),
    help="Only if this second factor was shown in the session; any accepts every kind.",
)
@click.option(
    "--level",
    type=click.Choice(["2", "3"]),
    help="Only with this level: 2 is the certificate and any second factor, 3 the certificate and a passkey.",
)
@click.option(
    "--within",
    default="",
    metavar="TIME",
    help="Only if the factor was shown within this time, such as 5m or 1h.",
)
@click.pass_obj
def rule_add(
    state: State,
    /,
    *,
    app: str,
    deny: bool,
    name: str,
    factor: str | None,
    level: str | None,
    within: str,
    **selected: tuple[str, ...],
) -> None:
    """Add a rule to an application: which clients, with which methods and paths.

    No option sets a time window: use doorward export, add `time` to the rule, then doorward apply.
    A repeated option lists alternatives; different options must all match.
    """
    if factor and level:
        raise click.UsageError("Say what the rule requires by --require or by --level, not by both.")
    if within and not (factor or level):
        raise click.UsageError("Say with --require or --level what must have been shown within that time.")
    lines = parts.rule_lines.render_rule(
        name=name,
        deny=deny,
        who={**selected, "kind": selected["kinds"]},
        certificate={option.replace("_", "-"): values for option, values in selected.items()},
        source=selected["source"],
        to=selected,
        require={"factor": factor or "", "level": level or "", "within": within},
    )
    installation = state.installation()
    report_applied(
        state,
        installation.services,
        parts.shortcuts.add_rule(
            installation.services, app, lines, actor=actor(), check=parts.own_places.publishable(installation)
        ),
        further=[parts.portal_trust.UNTRUSTED]
        if (factor or level) and not installation.is_portal_trusted()
        else [],
    )


@click.command("remove", cls=Command)
@click.argument("app", shell_complete=complete_app)
@click.argument("rule_name", metavar="RULE")
@click.pass_obj
def rule_remove(state: State, app: str, rule_name: str) -> None:
    """Remove a rule from an application. RULE is its name, as `doorward policy explain` shows it."""
    installation = state.installation()
    report_applied(
        state,
        installation.services,
        parts.shortcuts.remove_rule(
            installation.services,
            app,
            rule_name,
            actor=actor(),
            check=parts.own_places.publishable(installation),
        ),
        unchanged=f"{app} has no rule named {rule_name}; `doorward export` shows its rules",
    )
