"""`doorward ca`: our own authority, and partners' in the list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from doorward.cli import parts
from doorward.cli.command import Command
from doorward.cli.confirming import ask_always
from doorward.cli.rows import authority_row, own_authority_row
from doorward.cli.screen import escape
from doorward.cli.state import State, actor

if TYPE_CHECKING:
    from doorward.stores.records import CrlRecord


@click.command("list", cls=Command)
@click.pass_obj
def list_(state: State) -> None:
    """List the certificates of our own authority and of the partners."""
    services = state.installation().services
    rows = [
        own_authority_row(one) for one in parts.authority_certificates.list_authority_certificates(services)
    ]
    rows += [authority_row(one) for one in parts.showing.list_partner_authorities(services)]
    columns = ["kind", "partner", "subject", "state", "not_after", "key", "id"]
    state.output.table(rows, columns, empty="no authority yet: `doorward status` says what to do")


@click.command("export", cls=Command)
@click.option(
    "--root", "root_key", is_flag=True, help="Export the root's private key, encrypted, for safe keeping."
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Passphrase for the exported key.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write here; without it, to standard output.",
)
@click.pass_obj
def export(state: State, root_key: bool, passphrase_file: Path | None, out: Path | None) -> None:
    """Print the root certificate and the issuing certificate (or the root's key, encrypted, with --root)."""
    if root_key:
        text = _export_root(state, passphrase_file).decode("ascii")
    else:
        text = parts.pem.render_pem(
            *parts.authority_certificates.current_authority_certificates(state.installation().services)
        )
    if out:
        parts.private_files.create_private(out, text.encode("ascii"))
        state.output.result({"written": str(out)}, f"written to {escape(str(out))}")
    elif state.output.as_json:
        state.output.document({"pem": text})
    else:
        click.echo(text, nl=False)


def _export_root(state: State, passphrase_file: Path | None) -> bytes:

    installation = state.installation(keys=True)
    passphrase = installation.read_passphrase(
        passphrase_file, "passphrase for the exported root key", option="--passphrase-file"
    )
    return parts.founding.export_root(installation.services, passphrase=passphrase, actor=actor())


@click.command("remove-root-key", cls=Command)
@click.option(
    "--exported",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The exported key; it is opened and compared before anything is removed.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Passphrase of the exported key.",
)
@click.pass_obj
def remove_root_key(state: State, exported: Path, passphrase_file: Path | None) -> None:
    """Remove the root's private key from this machine, after its export was checked."""
    installation = state.installation(keys=True)
    passphrase = installation.read_passphrase(
        passphrase_file, "passphrase of the exported root key", option="--passphrase-file"
    )
    parts.founding.remove_root_key(
        installation.services, exported=parts.pem.read_bounded(exported), passphrase=passphrase, actor=actor()
    )
    state.output.result(
        {"removed": True},
        "the root's key is no longer on this machine; keep the exported file and its passphrase apart",
    )


@click.command("renew-root-list", cls=Command)
@click.option(
    "--exported",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The exported root key; it signs once and is not kept.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Passphrase of the exported key.",
)
@click.option(
    "--signed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A list that the root has signed elsewhere; it is checked and published.",
)
@click.option("--yes", is_flag=True, help="Publish it also if it revokes an authority that is in use.")
@click.pass_obj
def renew_root_list(
    state: State, exported: Path | None, passphrase_file: Path | None, signed: Path | None, *, yes: bool
) -> None:
    """Sign the root's next revocation list, good for a year, with the exported key; or publish one that was signed elsewhere."""
    if (exported is None) == (signed is None):
        raise click.UsageError("give either --exported or --signed")
    installation = state.installation()
    if signed is not None:
        data = parts.pem.read_bounded(signed)
        for one in parts.root_list_import.revoked_in_use(installation.services, data):
            ask_always(
                state,
                f"the list revokes {one.id}, which is in use: agents that read it refuse our hosts",
                yes=yes,
            )
        _tell_list(
            state, parts.root_list_import.install_root_list(installation.services, data, actor=actor())
        )
        return
    pem = parts.pem.read_bounded(exported) if exported is not None else b""
    parts.inventory.root_certificate(installation.services)  # fail before the passphrase is asked for
    passphrase = installation.read_passphrase(
        passphrase_file, "passphrase of the exported root key", option="--passphrase-file"
    )
    made = parts.root_crl.renew_exported_root_list(
        installation.services, exported=pem, passphrase=passphrase, actor=actor()
    )
    _tell_list(state, made)


def _tell_list(state: State, made: CrlRecord) -> None:
    state.output.result(
        {"authority": made.authority_id, "number": made.number, "next_update": made.next_update},
        f"list {made.number} of the root is published and good until {made.next_update:%Y-%m-%d}",
    )
