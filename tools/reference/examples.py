"""What the commands cannot say of themselves: an example of each, and exit codes beside the usual ones.

A command without an example here is a fault that `python -m tools.reference` reports.
"""

from __future__ import annotations

EXAMPLES = {
    "demo": "doorward demo --once",
    "up": "doorward up --trust-domain corp.example",
    "init": "doorward init --trust-domain corp.example --status-url http://pki.corp.example",
    "serve": "doorward serve --data /srv/doorward",
    "gateway": "doorward gateway --data /srv/doorward",
    "status": "doorward status --json",
    "apply": "doorward apply -f policy.yaml --expect 7",
    "diff": "doorward diff -f policy.yaml",
    "export": "doorward export > policy.yaml",
    "app add": "doorward app add accounts --host accounts.corp.example --upstream http://127.0.0.1:9000",
    "app list": "doorward app list",
    "policy check": "doorward policy check -f policy.yaml",
    "policy explain": "doorward policy explain --principal alice --app accounts GET /accounts/7",
    "person add": "doorward person add alice --group tellers --display-name 'Alice Miller'",
    "person list": "doorward person list",
    "person show": "doorward person show alice",
    "person suspend": "doorward person suspend alice",
    "person resume": "doorward person resume alice",
    "person remove": "doorward person remove alice",
    "device add": "doorward device add printer-3 --group printers",
    "device list": "doorward device list",
    "device show": "doorward device show printer-3",
    "device suspend": "doorward device suspend printer-3",
    "device resume": "doorward device resume printer-3",
    "device remove": "doorward device remove printer-3",
    "service add": "doorward service add billing --group callers",
    "service list": "doorward service list",
    "service show": "doorward service show billing",
    "service suspend": "doorward service suspend billing",
    "service resume": "doorward service resume billing",
    "service remove": "doorward service remove billing",
    "group create": "doorward group create tellers",
    "group add": "doorward group add tellers alice",
    "group remove": "doorward group remove tellers alice",
    "group list": "doorward group list",
    "invite": "doorward invite alice --hours 2",
    "invitation list": "doorward invitation list --of alice",
    "invitation revoke": "doorward invitation revoke inv_7tatuj2mxq4k5wd3ohzv",
    "enroll": "doorward enroll 'https://enroll.corp.example:8443/join#token=…&sha256=…' --out alice",
    "cert list": "doorward cert list --of alice --state valid",
    "cert show": "doorward cert show crt_7tatuj --pem",
    "cert revoke": "doorward cert revoke crt_7tatuj --reason key-compromise",
    "cert hold": "doorward cert hold crt_7tatuj",
    "cert release": "doorward cert release crt_7tatuj",
    "cert renew": "doorward cert renew crt_7tatuj --csr request.pem --out chain.pem",
    "ca list": "doorward ca list",
    "ca export": "doorward ca export --root --passphrase-file root.passphrase --out root-key.pem",
    "ca remove-root-key": "doorward ca remove-root-key --exported root-key.pem --passphrase-file root.passphrase",
    "audit tail": "doorward audit tail --lines 50 --follow",
    "audit verify": "doorward audit verify log.jsonl --checkpoint checkpoint.txt --key log.key",
    "audit export": "doorward audit export --out log.jsonl --checkpoint-out checkpoint.txt",
    "audit key": "doorward audit key > log.key",
    "completion": "doorward completion bash > ~/.local/share/bash-completion/completions/doorward",
}

EXITS = {
    "demo": "1 where a scene of the story was not as told.",
    "status": "3 where something is wrong.",
    "diff": "1 where there is a difference.",
    "policy check": "2 where the document has faults.",
    "policy explain": "1 where the request would be refused.",
    "audit verify": "4 where anything was altered or the signature is gone; 3 where nothing was signed yet.",
    "apply": "2 where the document has faults (nothing changes); 3 where a gateway that is alive does not confirm.",
    "cert revoke": "3 where a gateway that is alive does not confirm. The revocation is stored all the same.",
}
"""Exit codes that mean something particular, by command."""

SECTIONS = {
    "demo": "Starting",
    "apply": "The document: who may reach what",
    "person": "People, devices, services, groups",
    "invite": "Enrolment",
    "cert": "Certificates",
    "ca": "The authority",
    "audit": "Evidence",
    "completion": "Completion",
}
"""Where a section of the page begins: first word of a command -> heading."""
