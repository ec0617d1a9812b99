"""Commands that a visitor of the demo can copy and try."""

from __future__ import annotations

import shlex

from doorward.demo.environment import HOST, DemoEnvironment


def commands_to_try(scene: DemoEnvironment) -> list[tuple[str, str]]:
    """Return pairs of a description and a command to try, for a demo that runs until Ctrl-C."""
    data = shlex.quote(str(scene.installation.settings.data))
    url = f"https://{HOST}:{scene.door.port}"
    curl = f"curl -s --cacert {shlex.quote(str(scene.door.root))}"

    def as_person(name: str) -> str:
        folder = scene.credential(name)
        return f"{curl} --cert {shlex.quote(str(folder / 'chain.pem'))} --key {shlex.quote(str(folder / 'key.pem'))}"

    return [
        ("no certificate, no entry", f"{curl} -S {url}/accounts"),
        ("Alice reads her accounts", f"{as_person('alice')} {url}/accounts"),
        ("Bob may not", f"{as_person('bob')} {url}/accounts"),
        ("why not", f"doorward policy explain --data {data} --principal bob --app bank GET /accounts"),
        ("Alice's second factors", f"doorward factor list --data {data} alice"),
        ("let Bob in, at once", f"doorward group add --data {data} customers bob"),
        ("suspend Alice: her connections end", f"doorward person suspend --data {data} alice"),
        ("is everything well?", f"doorward status --data {data}"),
        ("what happened", f"doorward audit tail --data {data} -n 5"),
        ("the record was not rewritten", f"doorward audit verify --data {data}"),
    ]
