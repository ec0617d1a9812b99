"""The entry point: `doorward`, one command a line of DESIGN section 5."""

from __future__ import annotations

import click

from doorward import __version__
from doorward.cli.command import LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "demo": "demo:demo",
        "up": "roles:up",
        "init": "roles:init",
        "serve": "roles:serve",
        "gateway": "roles:gateway",
        "status": "status:status",
        "apply": "policy:apply",
        "diff": "policy:diff",
        "export": "policy:export",
        "app": "apps:app",
        "rule": "apps:rule",
        "policy": "policy:policy",
        "person": "directory:person",
        "device": "directory:device",
        "service": "directory:service",
        "group": "directory:group",
        "invite": "enrolment:invite",
        "invitation": "enrolment:invitation",
        "enroll": "enrolment:enroll",
        "cert": "cert:cert",
        "ca": "ca:ca",
        "audit": "audit:audit",
        "explain": "explain:explain",
        "completion": "completion:completion",
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Every command takes --json. First steps: doorward demo",
)
@click.version_option(__version__, prog_name="doorward")
def main() -> None:
    """Doorward: client certificates at the door of your applications."""


if __name__ == "__main__":
    main()
