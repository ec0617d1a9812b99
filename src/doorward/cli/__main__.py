"""The entry point: `doorward`, one command a line of DESIGN section 5."""

from __future__ import annotations

import click

from doorward import __version__
from doorward.cli.command import LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "demo": "commands.demo:demo",
        "up": "commands.roles:up",
        "init": "commands.roles:init",
        "serve": "commands.roles:serve",
        "gateway": "commands.roles:gateway",
        "status": "commands.status:status",
        "apply": "commands.policy:apply",
        "diff": "commands.policy:diff",
        "export": "commands.policy:export",
        "app": "commands.apps:app",
        "rule": "commands.apps:rule",
        "policy": "commands.policy:policy",
        "person": "commands.directory:person",
        "device": "commands.directory:device",
        "service": "commands.directory:service",
        "group": "commands.directory:group",
        "invite": "commands.enrolment:invite",
        "invitation": "commands.enrolment:invitation",
        "enroll": "commands.enrolment:enroll",
        "cert": "commands.cert:cert",
        "ca": "commands.ca:ca",
        "audit": "commands.audit:audit",
        "explain": "commands.explain:explain",
        "completion": "commands.completion:completion",
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Every command takes --json. First steps: doorward demo",
)
@click.version_option(__version__, prog_name="doorward")
def main() -> None:
    """Doorward: client certificates at the door of your applications."""


if __name__ == "__main__":
    main()
