"""What each command says of one success and of one error. The order is one in which all succeed on one site."""

from __future__ import annotations

from dataclasses import dataclass

CONFIRMED = "seq confirmed_by away milliseconds"
APPLIED = f"revision changed differences findings {CONFIRMED}"
PRINCIPAL = "name kind state groups inherited display_name id"
INVENTORY = f"{PRINCIPAL} last_seen where certificate_until host_name system agent_version store next_renewal reported_at"
CERTIFICATE = "id subject profile state not_before not_after serial sha256 principal reason revoked_at"
MANUFACTURER = "name id tag most_pending pending approved enrolled duplicate refused"
TAG = "name id approval groups name_template closed_at"
ROLLOVER = f"id state old new began_at moved_at window_seconds next notes {CONFIRMED}"
TERMS = (
    "name id kind identity domain groups everyone permitted excluded revocation refresh_seconds "
    "max_staleness_seconds short_lived_seconds allow_private crl_urls ocsp_urls"
)


@dataclass(frozen=True, kw_only=True)
class Success:
    """A command that does what it is for.

    `{word}` stands for what the site has: files, ids (see `things` in `test_every_command`).

    Args:
        words: the words after the command.
        says: what people read on standard output, in this order.
        members: of the document, or of each document of its list.
        code: the exit code.
    """

    words: str = ""
    says: tuple[str, ...]
    members: str
    code: int = 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A command that cannot do what it is asked for: its words, the code of the error, the exit code."""

    words: str = ""
    error: str
    code: int = 1


def _of(kind: str) -> dict[str, Success]:
    """The commands of one kind of principal."""
    return {
        f"{kind} add": Success(
            words=f"{kind}-1",
            says=(f"added {kind} {kind}-1", f"next: doorward invite {kind}-1"),
            members=f"{PRINCIPAL} seq notes",
        ),
        f"{kind} list": Success(says=("name", "state", f"{kind}-1", "active"), members=INVENTORY),
        f"{kind} set": Success(
            words=f"{kind}-1 --display-name X",
            says=(f"{kind} {kind}-1 is shown as X",),
            members=f"{PRINCIPAL} seq notes",
        ),
        f"{kind} show": Success(
            words=f"{kind}-1",
            says=(f"{kind}-1  {kind}, active", "id", "groups"),
            members=f"{PRINCIPAL} mail_address certificates older_certificates facts suspected_clones",
        ),
        f"{kind} suspend": Success(
            words=f"{kind}-1", says=(f"suspended {kind} {kind}-1",), members=f"{PRINCIPAL} notes {CONFIRMED}"
        ),
        f"{kind} resume": Success(
            words=f"{kind}-1", says=(f"resumed {kind} {kind}-1",), members=f"{PRINCIPAL} notes {CONFIRMED}"
        ),
        f"{kind} rename": Success(
            words=f"{kind}-1 {kind}-2",
            says=(f"{kind} {kind}-1 is now {kind}-2", f"next: doorward invite {kind}-2"),
            members=f"{PRINCIPAL} notes {CONFIRMED}",
        ),
        f"{kind} remove": Success(
            words=f"{kind}-2", says=(f"removed {kind} {kind}-2",), members=f"{PRINCIPAL} notes {CONFIRMED}"
        ),
    }


SUCCESSES: dict[str, Success] = {
    "init": Success(
        words="--data {fresh} --trust-domain other.example",
        says=("an authority for other.example in {fresh}", "the passphrase of its keys", "next: doorward up"),
        members="data trust_domain passphrase_file",
    ),
    "status": Success(
        says=(
            "✓ authority",
            "✓ inventory",
            "certificates issued: ",
            "✗ serve",
            "→ start it: doorward up",
            "✗ gateway",
            "something is wrong: ",
        ),
        members="well parts",
        code=3,
    ),
    "apply": Success(
        words="-f {document}",
        says=("nothing changed; revision 1 stays in force",),
        members="revision changed differences findings",
    ),
    "diff": Success(words="-f {document}", says=("no difference",), members="differences ending"),
    "export": Success(says=("trust_domain: corp.example", "tellers [/b] read"), members="document revision"),
    "app add": Success(
        words="wiki --host wiki.corp.example --upstream http://127.0.0.1:9001",
        says=("+ apps.wiki", "revision 2 is in force", "no gateway runs"),
        members=APPLIED,
    ),
    "app list": Success(
        says=("name", "hosts", "upstream", "payments", "wiki", "unknown: no gateway runs"),
        members="name hosts upstream answers rules on_refusal id",
    ),
    "app set": Success(
        words="wiki --upstream http://127.0.0.1:9002",
        says=("~ apps.wiki.upstream: http://127.0.0.1:9001 -> http://127.0.0.1:9002", "revision 3"),
        members=APPLIED,
    ),
    "rule add": Success(
        words="wiki --group tellers --name all",
        says=("+ apps.wiki.rules.all: allow: {{groups: [tellers]}}", "revision 4"),
        members=APPLIED,
    ),
    "rule remove": Success(words="wiki all", says=("- apps.wiki.rules.all", "revision 5"), members=APPLIED),
    "app remove": Success(words="wiki", says=("- apps.wiki", "revision 6"), members=APPLIED),
    "policy history": Success(
        says=("revision", "created at", "actor", "6", "os:"), members="revision created_at actor sha256"
    ),
    "policy show": Success(words="1", says=("trust_domain: corp.example",), members="document revision"),
    "policy rollback": Success(words="2 --yes", says=("+ apps.wiki", "revision 7"), members=APPLIED),
    "policy check": Success(words="-f {document}", says=("the document is valid",), members="valid findings"),
    "policy explain": Success(
        words="--principal alice --app payments GET /accounts/7",
        says=("allowed  GET /accounts/7", "● allow tellers [/b] read", "because:"),
        members="allowed reasons determining path missing rules certificate notes",
    ),
    "group create": Success(words="more", says=("created group more",), members="group seq notes"),
    "group add": Success(
        words="more alice", says=("alice is now in more",), members=f"{PRINCIPAL} group notes {CONFIRMED}"
    ),
    "group list": Success(
        says=("group", "members", "more", "tellers"), members="group members groups inherited"
    ),
    "group show": Success(words="more", says=("alice", "person"), members=f"{PRINCIPAL} through"),
    "group remove": Success(
        words="more alice",
        says=("alice is no longer in more",),
        members=f"{PRINCIPAL} group notes {CONFIRMED}",
    ),
    "invite": Success(
        words="alice",
        says=(
            "A one-time link for alice",
            "/join#token=",
            "doorward enroll '",
            "doorward invitation revoke inv_",
        ),
        members="id name link browser_link command expires_at notes",
    ),
    "invitation list": Success(
        says=("id", "inv_", "invited", "alice"), members="id name created_at expires_at"
    ),
    "invitation revoke": Success(
        words="{invited}", says=("the link {invited} works no longer",), members="id voided_at"
    ),
    "factor list": Success(
        words="alice",
        says=("kind", "webauthn", "blue key", "recovery-code", "2"),
        members="id kind name number created_at last_used_at lost",
    ),
    "factor invite": Success(
        words="alice",
        says=(
            "A one-time link for alice",
            "https://portal.corp.example",
            "/enrol#token=",
            "doorward factor invite alice",
        ),
        members="id name link expires_at notes",
    ),
    "session list": Success(
        words="alice",
        says=("id", "application", "{session}", "alice", "payments", "password, webauthn", "192.0.2.7"),
        members="id name application factors source client certificate created_at seen_at ends_at",
    ),
    "session end": Success(
        words="{session}", says=("ended the session {session}", "no gateway runs"), members=f"id {CONFIRMED}"
    ),
    "factor reset": Success(
        words="alice --yes",
        says=("removed 3 second factors of alice", "no gateway runs", "next: doorward factor invite alice"),
        members=f"name removed notes {CONFIRMED}",
    ),
    "notices list": Success(
        says=("created at", "mail", "waiting", "14", "crt_a", "the mail server [b] answers 451"),
        members="id kind channel certificate days outcome created_at try_at done_at failures problem",
    ),
    "cert list": Success(says=("subject", "{first}", "{second}", "{third}"), members=CERTIFICATE),
    "cert show": Success(
        words="{first}",
        says=("alice  person, valid", "{first}", "not_before", "Z", "not_after", "Z", "serial", "sha256"),
        members=f"{CERTIFICATE} revocation_information suspected_clone pem",
    ),
    "cert revoke": Success(
        words="{first} --reason key-compromise",
        says=("alice {first} is revoked",),
        members=f"{CERTIFICATE} notes {CONFIRMED}",
    ),
    "cert hold": Success(
        words="{second}", says=("alice {second} is on-hold",), members=f"{CERTIFICATE} notes {CONFIRMED}"
    ),
    "cert release": Success(
        words="{second}", says=("alice {second} is valid",), members=f"{CERTIFICATE} notes {CONFIRMED}"
    ),
    "cert renew": Success(
        words="{third} --csr {csr}",
        says=("renewed {third} by crt_", "-----BEGIN CERTIFICATE-----"),
        members=f"{CERTIFICATE} pem replaces p12 p12_password notes",
    ),
    "ca list": Success(
        says=("ocsp-responder", "issuing", "root", "CN=corp.example Root 1", "current"),
        members="kind partner subject state not_after current key sha256 id",
    ),
    "ca import": Success(
        words="clinic {clinic} --yes",
        says=("trusting clinic: 1 anchor, 0 intermediates", "next: name the partner", "next: add those"),
        members=f"{TERMS} findings changes notes {CONFIRMED}",
    ),
    "ca show": Success(
        words="clinic",
        says=("clinic  a partner", "identity", "revocation", "anchor       CN=Clinic", "no evidence"),
        members=f"{TERMS} heard_by authorities evidence",
    ),
    "ca remove": Success(
        words="clinic", says=("removed partner clinic",), members=f"name id notes {CONFIRMED}"
    ),
    "tag add": Success(
        words="sensors --approval expected --group sensors --name-template sensor-{{serial}}",
        says=("added tag sensors, approval expected", "next: doorward manufacturer import"),
        members=f"{TAG} notes",
    ),
    "tag set": Success(
        words="spare --approval operator",
        says=("changed tag spare, approval operator",),
        members=f"{TAG} notes",
    ),
    "tag list": Success(says=("name", "approval", "sensors", "expected", "sensor-{{serial}}"), members=TAG),
    "manufacturer import": Success(
        words="acme --from {acme} --tag sensors",
        says=("devices of acme may ask for certificates; they are approved by the tag sensors", "next:"),
        members=f"{MANUFACTURER} findings notes",
    ),
    "manufacturer list": Success(says=("name", "pending", "acme", "maker"), members=MANUFACTURER),
    "manufacturer show": Success(
        words="maker",
        says=("maker  mfr_", "devices  3 pending; at most 1000 wait", "anchor", "CN=Maker"),
        members=f"{MANUFACTURER} authorities barred",
    ),
    "manufacturer set": Success(
        words="maker --most-pending 999",
        says=("maker has no tag; at most 999 of its devices wait",),
        members=f"{MANUFACTURER} notes",
    ),
    "manufacturer expect": Success(
        words="acme SN-3 --from {serials}",
        says=("3 of 3 serial numbers of acme are now expected",),
        members="manufacturer standing given changed notes",
    ),
    "manufacturer bar": Success(
        words="acme SN-3",
        says=("1 of 1 serial numbers of acme are now barred",),
        members="manufacturer standing given changed notes",
    ),
    "manufacturer barred": Success(words="acme", says=("serial", "SN-3"), members="serial created_at"),
    "device pending": Success(
        says=("id", "manufacturer", "{den_one}", "maker", "pending", "serial-not-expected", "next:"),
        members="id manufacturer serial subject state reason name tag created_at seen_at contacts keys sources source key "
        "decided_by",
    ),
    "device approve": Success(
        words="{den_one} --name gauge-1 --group gauges",
        says=("approved gauge-1", "at its next contact"),
        members="approved failed notes",
    ),
    "device refuse": Success(words="{den_two}", says=("refused {den_two}",), members="refused failed notes"),
    "manufacturer remove": Success(
        words="maker", says=("removed manufacturer maker",), members=f"name id notes {CONFIRMED}"
    ),
    "tag remove": Success(words="spare", says=("removed tag spare",), members=f"{TAG} notes"),
    "ca export": Success(
        words="--root --passphrase-file {secret} --out {exported}",
        says=("written to {exported}",),
        members="written",
    ),
    "ca csr": Success(
        says=("-----BEGIN CERTIFICATE REQUEST-----",),
        members="id state old new began_at moved_at window_seconds request notes",
    ),
    "ca install": Success(
        words="{issued}",
        says=("the next issuing authority is prepared", "next: `doorward ca rotate activate`"),
        members=ROLLOVER,
    ),
    "ca rotate prepare": Success(
        says=("the next issuing authority is prepared", "next: `doorward ca rotate activate`"),
        members=ROLLOVER,
    ),
    "ca rotate activate": Success(
        says=("new certificates are issued by the new authority",), members=ROLLOVER
    ),
    "ca rotate drain": Success(
        words="--over 1h", says=("certificates are issued again over 1 h",), members=ROLLOVER
    ),
    "ca rotate status": Success(
        says=("draining since", "certificates are replaced", "missing: alice", "next: `doorward ca rotate"),
        members="state meaning next rollover replaced total percent in_use missing unseen gateways",
    ),
    "ca rotate undo": Success(says=("the old authority issues again; both are trusted",), members=ROLLOVER),
    "ca rotate retire": Success(
        words="--dry-run",
        says=("not now: the rollover is reverting", "nothing was changed"),
        members="step would refused why",
    ),
    "ca remove-root-key": Success(
        words="--exported {exported} --passphrase-file {secret}",
        says=("the root's key is no longer on this machine",),
        members="removed",
    ),
    "ca renew-root-list": Success(
        words="--exported {exported} --passphrase-file {secret}",
        says=("list 2 of the root is published and good until",),
        members="authority number next_update",
    ),
    "audit tail": Success(
        words="-n 1000",
        says=("authority:created", "principal:created person/alice", "certificate:issued"),
        members="",
    ),
    "explain": Success(
        words="{second}",
        says=("certificate {second}", "holder", "person/alice", "→ doorward cert show {second}"),
        members="certificate around",
    ),
    "audit verify": Success(
        says=("✓", "events verified", "root"),
        members="verified consistent origin size root anchored_size signature_verified opened redacted faults faults_omitted",
    ),
    "audit export": Success(
        words="--out {log}", says=("wrote", "events to {log}"), members="written events checkpoint"
    ),
    "audit reindex": Success(says=("events are indexed",), members="events indexed written removed"),
    "audit erase": Success(
        words="--person alice --yes", says=("values were erased",), members="values copies_gone notes"
    ),
    "audit key": Success(says=("corp.example/audit+",), members="key"),
    "completion": Success(words="bash", says=("_DOORWARD_COMPLETE",), members="shell script"),
    **_of("person"),
    **_of("device"),
    **_of("service"),
}


def _failing(kind: str) -> dict[str, Failure]:
    """The commands of one kind of principal."""
    return {
        f"{kind} add": Failure(words="Bad/Name/x", error="name-malformed", code=2),
        f"{kind} list": Failure(words="--data {nothing}", error="not-initialised", code=3),
        f"{kind} set": Failure(words="nobody-here --display-name X", error="principal-unknown"),
        f"{kind} show": Failure(words="nobody-here", error="principal-unknown"),
        f"{kind} suspend": Failure(words="nobody-here", error="principal-unknown"),
        f"{kind} resume": Failure(words="nobody-here", error="principal-unknown"),
        f"{kind} rename": Failure(words="nobody-here other", error="principal-unknown"),
        f"{kind} remove": Failure(words="nobody-here", error="principal-unknown"),
    }


FAILURES: dict[str, Failure] = {
    "demo": Failure(words="--once --keep {folder}", error="folder-not-empty"),
    "up": Failure(words="--listen nonsense", error="setting-invalid", code=2),
    "init": Failure(words="--trust-domain other.example", error="already-initialised"),
    "serve": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "gateway": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "status": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "apply": Failure(words="-f {wrong}", error="unknown-key", code=2),
    "diff": Failure(words="-f {wrong}", error="unknown-key", code=2),
    "export": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "app add": Failure(
        words="payments --host other.corp.example --upstream http://127.0.0.1:1", error="app-exists"
    ),
    "app list": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "app set": Failure(words="nothing --upstream http://127.0.0.1:1", error="app-unknown"),
    "app remove": Failure(words="payments --data {nothing}", error="not-initialised", code=3),
    "rule add": Failure(words="nothing --group tellers", error="app-unknown"),
    "rule remove": Failure(words="nothing all", error="app-unknown"),
    "policy check": Failure(words="-f {wrong}", error="unknown-key", code=2),
    "policy explain": Failure(words="--principal alice --app nothing GET /", error="app-unknown"),
    "policy history": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "policy show": Failure(words="99", error="revision-unknown"),
    "policy rollback": Failure(words="99", error="revision-unknown"),
    **_failing("person"),
    **_failing("device"),
    **_failing("service"),
    "group create": Failure(words="Bad/Name", error="name-malformed", code=2),
    "group add": Failure(words="tellers nobody-here", error="principal-unknown"),
    "group remove": Failure(words="tellers --yes", error="group-in-use"),
    "group list": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "group show": Failure(words="nothing", error="group-unknown"),
    "invite": Failure(words="nobody-here", error="principal-unknown"),
    "invitation list": Failure(words="--of nobody-here", error="principal-unknown"),
    "invitation revoke": Failure(words="inv_nothing", error="invitation-unknown"),
    "factor list": Failure(words="nobody-here", error="principal-unknown"),
    "factor invite": Failure(words="nobody-here", error="principal-unknown"),
    "factor reset": Failure(words="nobody-here --yes", error="principal-unknown"),
    "session list": Failure(words="nobody-here", error="principal-unknown"),
    "session end": Failure(words="ses_nothing", error="session-unknown"),
    "agent run": Failure(words="--dir {nothing}", error="folder-unusable", code=2),
    "agent install": Failure(words="--reload=--now", error="unit-malformed", code=2),
    "agent renew": Failure(words="--dir {folder}", error="identity-missing"),
    "agent status": Failure(words="--config {wrong}", error="agent-config-invalid", code=2),
    "enroll": Failure(words="https://nonsense", error="link-malformed", code=2),
    "notices list": Failure(words="--limit 0", error="usage-error", code=2),
    "notices test": Failure(words="--to a@corp.example", error="notices-off", code=3),
    "cert list": Failure(words="--of nobody-here", error="principal-unknown"),
    "cert show": Failure(words="crt_nothing", error="certificate-unknown"),
    "cert revoke": Failure(words="crt_nothing", error="certificate-unknown"),
    "cert hold": Failure(words="short", error="certificate-text-too-short"),
    "cert release": Failure(words="crt_nothing", error="certificate-unknown"),
    "cert renew": Failure(words="crt_nothing --csr {csr}", error="certificate-unknown"),
    "ca list": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "ca export": Failure(words="--root --passphrase-file {empty}", error="passphrase-short"),
    "ca remove-root-key": Failure(
        words="--exported {document} --passphrase-file {secret}", error="export-unreadable"
    ),
    "ca renew-root-list": Failure(
        words="--exported {document} --passphrase-file {secret}", error="export-unreadable"
    ),
    "ca csr": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "ca install": Failure(words="{clinic}", error="authority-refused"),
    "ca rotate prepare": Failure(
        words="--exported {document} --passphrase-file {secret}", error="rollover-step-refused"
    ),
    "ca rotate activate": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "ca rotate drain": Failure(words="--over nonsense", error="usage-error", code=2),
    "ca rotate status": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "ca rotate undo": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "ca rotate retire": Failure(words="--yes", error="rollover-step-refused"),
    "ca import": Failure(words="clinic {document} --yes", error="certificate-malformed", code=2),
    "ca show": Failure(words="nothing", error="partner-unknown"),
    "ca remove": Failure(words="nothing", error="partner-unknown"),
    "tag add": Failure(words="a --approval automatic", error="template-missing", code=2),
    "tag list": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "tag set": Failure(words="nothing --no-groups", error="tag-unknown"),
    "tag remove": Failure(words="nothing", error="tag-unknown"),
    "manufacturer import": Failure(words="acme --from {document}", error="certificate-malformed", code=2),
    "manufacturer list": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "manufacturer show": Failure(words="nothing", error="manufacturer-unknown"),
    "manufacturer set": Failure(words="maker --tag nothing", error="tag-unknown"),
    "manufacturer barred": Failure(words="nothing", error="manufacturer-unknown"),
    "manufacturer remove": Failure(words="nothing", error="manufacturer-unknown"),
    "manufacturer expect": Failure(words="nothing SN-1", error="manufacturer-unknown"),
    "manufacturer bar": Failure(words="maker ' '", error="serial-malformed", code=2),
    "device pending": Failure(words="--manufacturer nothing", error="manufacturer-unknown"),
    "device approve": Failure(words="--all --manufacturer nothing", error="manufacturer-unknown"),
    "device refuse": Failure(words="--data {nothing} den_x", error="not-initialised", code=3),
    "audit tail": Failure(words="--event nonsense", error="event-unknown", code=2),
    "audit verify": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "audit export": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "audit reindex": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "audit erase": Failure(words="--person stranger --yes", error="principal-unknown", code=1),
    "audit key": Failure(words="--data {nothing}", error="not-initialised", code=3),
    "explain": Failure(words="nothing-of-this", error="id-unknown"),
    "completion": Failure(words="csh", error="usage-error", code=2),
}
