"""The browser's own modules in Node, for tests of what they make.

`browser_modules` yields a function: JavaScript with the exports of `keys.js` in scope becomes the value that it
returns, and `input` is what it is given. One process runs one script; give it a list of cases rather than many scripts.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.support.commands import run_program

STATIC = Path(__file__).parents[2] / "src/doorward/web/static"
SECONDS = 120.0

_FRAME = """
// Before Node 20 WebCrypto is no global.
globalThis.crypto ??= (await import("node:crypto")).webcrypto;
const keys = await import(%(module)s);
const { encryptTripleDes } = await import(%(des3)s);
const input = JSON.parse(await new Response(process.stdin).text());
const bytes = text => Uint8Array.from(Buffer.from(text, "base64"));
const text = data => Buffer.from(data).toString("base64");
const run = async () => { %(body)s };
process.stdout.write(JSON.stringify(await run()));
"""


def encode(data: bytes) -> str:
    """Return bytes as the scripts take and give them."""
    return base64.b64encode(data).decode("ascii")


def run_in_node(body: str, value: object) -> Any:
    """Run the body of an async function; `value` is its `input`, and what it returns is returned."""
    names = {name: json.dumps((STATIC / f"{name}.js").as_uri()) for name in ("keys", "des3")}
    script = _FRAME % {"module": names["keys"], "des3": names["des3"], "body": body}
    done = run_program(
        ["node", "--input-type=module", "--eval", script], input=json.dumps(value), timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
