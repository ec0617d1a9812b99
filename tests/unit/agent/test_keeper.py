"""When the agent acts, what it remembers, and what it says: against a host without sockets and a turned clock."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.agent.identity_condition import describe_offset, read_condition
from doorward.agent.keeper import Keeper
from doorward.agent.locking import owned, turn
from doorward.agent.loop import run, sleep_seconds
from doorward.agent.options import IdentityOptions
from doorward.agent.schedule import FINAL
from doorward.agent.state import load_state
from doorward.core.errors import Unavailable
from tests.support.ports import NOON, FakeClock, Impatient
from tests.support.refusals import code_of, refused
from tests.support.renewal_server import RenewalServer, pair_of, problem

DAY = timedelta(days=1)


class Site:
    """A host, an identity, and its agent."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.server = RenewalServer(FakeClock())
        self.folder = self.server.enrolled(folder)
        self.server.clock = self.clock

    def keeper(self, **options: object) -> Keeper:
        """A new process of the agent."""
        return Keeper(IdentityOptions(directory=self.folder, **options), self.server.machine(self.clock))  # type: ignore[arg-type]

    def step(self, keeper: Keeper | None = None) -> timedelta:
        """One step; return in how long the next one is due."""
        return (keeper or self.keeper()).step(self.clock.now()) - self.clock.now()

    def renewals(self) -> int:
        """Return how often the server was asked for one."""
        return self.server.asked.count("/renew")

    def attention(self) -> str:
        """Return what `agent status` shows."""
        return " / ".join(read_condition(self.folder, self.clock.now()).attention)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    return Site(tmp_path / "id")


def test_a_renewal_is_made_at_two_thirds_of_each_life(site: Site) -> None:
    """The agent wakes only when something is due; the certificate never ends; three renewals in half a year."""
    site.server.advice = {"check_again_seconds": 86400}
    keeper = site.keeper()
    ages = []
    last = NOON
    while site.clock.now() < NOON + 190 * DAY:
        assert site.clock.now() < last + 90 * DAY
        before = site.renewals()
        wake = keeper.step(site.clock.now())
        if site.renewals() > before:
            ages.append((site.clock.now() - last) / DAY)
            last = site.clock.now()
            assert site.attention() == ""
        assert wake > site.clock.now()
        site.clock.present = wake
    assert len(ages) == 3
    assert all(57 - 0.1 <= age <= 63 + 0.1 for age in ages), ages


def test_a_machine_that_slept_renews_when_it_wakes(site: Site) -> None:
    """The wall clock decides: past the time, even past the end, the first step renews."""
    site.step()
    site.clock.turn(days=80)
    site.step()
    assert site.renewals() == 1
    site.clock.turn(days=100)
    site.step()
    assert site.renewals() == 2
    assert site.attention() == ""


def test_a_sleep_is_at_most_five_minutes_by_the_timer() -> None:
    """A timer stands still while the machine sleeps, so it is never long; and it is never zero."""
    assert sleep_seconds(NOON + 60 * DAY, NOON) == 300
    assert sleep_seconds(NOON - DAY, NOON) == 1
    assert sleep_seconds(NOON + timedelta(seconds=20), NOON) == 20


def test_the_server_may_want_it_earlier_but_not_again_and_again(site: Site) -> None:
    """The answer "now" renews at once; a server that always says it gets one renewal a day."""
    site.server.advice = {"renew": "now", "reason": "the authority changes"}
    keeper = site.keeper()
    for _ in range(24):
        keeper.step(site.clock.now())
        site.clock.turn(hours=1)
    assert site.renewals() == 1
    site.clock.turn(hours=1)
    keeper.step(site.clock.now())
    assert site.renewals() == 2


def test_a_time_that_the_server_names_is_kept(site: Site) -> None:
    """The renewal comes at the server's time if that is earlier than two thirds of the life."""
    site.server.advice = {"renew_at": "2026-12-10T00:00:00Z"}
    site.step()
    assert read_condition(site.folder, site.clock.now()).renew_at == NOON.replace(month=12, day=10, hour=0)


def test_an_unreachable_server_is_asked_with_growing_pauses(site: Site) -> None:
    """A minute, two, four, at most six hours; after two days without a server the renewal is made at once."""
    site.step()
    site.clock.turn(days=65)
    site.server.away = True
    keeper = site.keeper()
    pauses = []
    end = site.clock.now() + 2 * DAY
    while site.clock.now() < end:
        wake = keeper.step(site.clock.now())
        pauses.append(wake - site.clock.now())
        site.clock.present = wake
    minutes = [one.total_seconds() / 60 for one in pauses]
    assert 0.8 <= minutes[0] <= 1.2
    assert all(minutes[at] < 3.1 * minutes[at - 1] for at in range(1, len(minutes)))
    assert 180 < max(minutes) <= 6 * 60 * 1.2
    assert len(pauses) < 25
    assert site.attention() == ""
    site.server.away = False
    site.clock.present = keeper.step(site.clock.now())
    keeper.step(site.clock.now())
    assert pair_of(site.folder)
    assert site.renewals() == 1


def test_status_turns_bad_before_the_end(site: Site) -> None:
    """A renewal that is late needs attention while the certificate still works."""
    site.server.away = True
    keeper = site.keeper()
    site.clock.turn(days=70)
    keeper.step(site.clock.now())
    assert site.attention() == ""
    site.clock.turn(days=14)
    keeper.step(site.clock.now())
    assert "the renewal is late" in site.attention()
    assert "server-unreachable" in site.attention()
    site.clock.turn(days=10)
    assert "the certificate ended" in site.attention()
    site.server.away = False
    keeper.step(site.clock.now())
    assert site.attention() == ""


def test_a_delay_of_the_server_is_obeyed_across_restarts(site: Site) -> None:
    """Retry-After of a day: no request before, by no process; status shows when the next one is."""
    site.clock.turn(days=65)
    site.server.refusal = problem(503, "busy", retry_after=86400)
    site.step()
    asked = len(site.server.asked)
    for _ in range(23):
        site.clock.turn(hours=1)
        site.step()  # each time a new process
    assert len(site.server.asked) == asked
    next_try = read_condition(site.folder, site.clock.now()).next_try
    assert next_try is not None
    assert next_try >= NOON + 66 * DAY
    site.server.refusal = None
    site.clock.present = next_try
    site.step()
    assert site.renewals() == 2


def test_an_absurd_delay_is_cut_to_a_week(site: Site) -> None:
    """A mistake of the server must not let the certificate end."""
    site.clock.turn(days=65)
    site.server.refusal = problem(503, "busy", retry_after=999_999_999)
    site.step()
    site.clock.turn(days=7)
    site.step()
    assert site.renewals() == 2


@pytest.mark.parametrize("code", sorted(FINAL))
def test_a_final_refusal_stops_and_says_what_to_do(site: Site, code: str) -> None:
    """Not asked again for about a day; status shows the server's words; a certificate by another way ends it."""
    site.clock.turn(days=65)
    site.server.refusal = problem(403, code)
    assert site.step() > 0.7 * DAY
    assert f"no: {code} ({code}); ask" in site.attention()
    assert read_condition(site.folder, site.clock.now()).word == "refused"
    other = site.server.enrolled(site.folder.parent / "other")
    for name in ("key.pem", "certificate.pem", "chain.pem"):
        (site.folder / name).write_bytes((other / name).read_bytes())
    assert site.attention() == ""


def test_a_wrong_clock_is_told_and_does_not_stop_a_renewal(site: Site) -> None:
    """Five hours behind the server: the new certificate is not valid yet by this clock, and it is used."""
    site.server.clock = FakeClock(NOON + timedelta(days=65, hours=5))
    site.clock.turn(days=65)
    site.step()
    assert site.renewals() == 1
    assert "the clock of this machine is 5 h behind the server's" in site.attention()
    assert load_state(site.folder).renewed_at == site.clock.now()


def test_a_clock_that_was_set_back_does_not_make_the_agent_wait(site: Site) -> None:
    """Pauses that were noted by a wrong clock no longer count."""
    site.clock.turn(days=65)
    site.server.away = True
    site.clock.turn(days=3650)
    site.step()
    site.clock.turn(days=-3650)
    site.server.away = False
    site.step()
    assert site.renewals() == 1


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-18000, "5 h behind"), (400, "7 minutes ahead of"), (-3e6, "35 days behind"), (30, "30 s ahead of")],
)
def test_an_offset_is_told_in_its_largest_unit(seconds: float, said: str) -> None:
    """People read hours."""
    assert describe_offset(timedelta(seconds=seconds)) == said


def test_an_issuer_that_ends_first_is_due_first(site: Site) -> None:
    """The leaf is good for 90 days, its issuer for 30: the renewal is due within 30."""
    server = RenewalServer(site.clock)
    server.issuing = server.root.issuing(not_before=NOON - DAY, not_after=NOON + 30 * DAY)
    folder = server.enrolled(site.folder.parent / "short")
    condition = read_condition(folder, NOON)
    assert condition.ends_at == NOON + 30 * DAY
    assert condition.renew_at is not None
    assert condition.renew_at < NOON + 28 * DAY


def test_a_failed_hook_is_not_deployed_until_it_works(site: Site) -> None:
    """Renewed and deployed are two states; the old key stays until the last program has the new one."""
    keeper = site.keeper(commands=(("publish", "--quiet"), ("other",)), units=("nginx.service",))
    keeper.step(site.clock.now())
    assert site.server.commands == []  # nothing was renewed
    site.server.failing = {"publish": 3}
    site.clock.turn(days=65)
    wait = site.step(keeper)
    assert wait <= timedelta(minutes=2)
    assert site.server.commands == [
        ("publish", "--quiet"),
        ("other",),
        ("systemctl", "reload", "nginx.service"),
    ]
    assert (
        "not deployed to publish --quiet: `publish --quiet` ended with status 3: said something"
        in site.attention()
    )
    assert len(list(site.folder.glob("generations/*"))) == 2
    site.server.failing = {}
    site.clock.turn(minutes=5)
    site.step()  # a new process without the options: it has no target
    site.step(keeper)
    assert site.server.commands[3:] == [("publish", "--quiet")]
    assert site.attention() == ""
    assert len(list(site.folder.glob("generations/*"))) == 1


def test_no_text_of_the_server_reaches_a_command_or_a_path(site: Site) -> None:
    """A name with shell signs and slashes in the certificate changes no argument and no file name."""
    evil = "../$(touch x)`id`;|\n"
    site.server.advice = {"reason": evil}
    folder = site.server.enrolled(site.folder.parent / "evil")
    site.server.refusal = problem(403, "no-such-code", None)
    keeper = Keeper(
        IdentityOptions(directory=folder, commands=(("publish",),)), site.server.machine(site.clock)
    )
    keeper.step(site.clock.now())
    site.server.refusal = None
    site.clock.turn(days=65)
    keeper.step(site.clock.now())
    assert site.server.commands == [("publish",)]
    assert not [path for path in folder.rglob("*") if "touch" in path.name]


def test_a_unit_with_signs_is_refused(site: Site) -> None:
    """What could be an option of systemctl is no unit."""
    assert code_of(site.keeper, units=("--now",)) == "unit-malformed"


def test_facts_are_reported(site: Site) -> None:
    """Host, version, stores and the next renewal; each short."""
    machine = site.server.machine(site.clock)
    machine.facts["system"] = "x" * 999 + "\n"  # type: ignore[index]
    Keeper(IdentityOptions(directory=site.folder), machine).step(site.clock.now())
    (facts,) = site.server.facts
    assert (facts["host_name"], facts["agent_version"], facts["store"]) == ("sensor", "1", "PEM")
    assert facts["next_renewal"].startswith("2027-01-")
    assert len(facts["system"]) == 200


def test_the_report_of_a_new_certificate_says_where_it_is_and_when_it_is_renewed(site: Site) -> None:
    """Also after `agent renew`: the inventory would otherwise show an empty store, and no next renewal."""
    site.keeper(keychain=True).renew_now(site.clock.now())
    (facts,) = site.server.facts
    assert facts["store"] == "PEM, macOS keychain"
    assert facts["next_renewal"].startswith("2027-01-")


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00"])
def test_an_impossible_time_of_the_server_is_a_malformed_answer(site: Site, time: str) -> None:
    """A time that no calendar has in UTC."""
    site.server.advice = {"renew_at": time}
    assert code_of(site.keeper().renew_now, site.clock.now()) == "server-answer-malformed"


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+00:00"])
def test_an_odd_time_of_the_server_stops_nothing(site: Site, time: str) -> None:
    """The certificate is renewed by its own dates, at most once a day."""
    site.server.advice = {"renew_at": time, "check_again_seconds": 10**400}
    site.keeper().renew_now(site.clock.now())
    assert timedelta() < site.step() <= 7 * DAY


def test_a_long_delay_of_the_server_is_bounded(site: Site) -> None:
    """The certificate would end: a week is the most."""
    site.clock.turn(days=70)
    site.server.refusal = problem(503, "busy", retry_after=999_999_999)
    assert site.step() == 7 * DAY


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_what_the_agent_remembers_is_its_owners(site: Site) -> None:
    """Unless the folder may be listed by a group: then this group may read it, and no other."""
    site.step()
    state = site.folder / "agent.json"
    assert state.stat().st_mode & 0o777 == 0o600
    site.folder.chmod(0o750)
    site.clock.turn(hours=7)
    site.step()
    assert state.stat().st_mode & 0o777 == 0o640
    assert state.stat().st_gid == site.folder.stat().st_gid


def test_a_second_agent_is_refused_by_number(site: Site) -> None:
    """The kernel holds the lock; the message names the process; a step of a command still works."""
    stop = Impatient()
    stop.set()
    with owned(site.folder), refused(Unavailable, "folder-owned") as caught:
        run([site.keeper()], site.clock, stop)
    assert "process" in str(caught.value)
    with owned(site.folder):
        site.keeper().renew_now(site.clock.now())
    with turn(site.folder), refused(Unavailable, "folder-owned"), turn(site.folder, 0.1):
        raise AssertionError("two processes changed one folder")


def test_a_folder_that_others_may_change_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another owner, or a folder that the group or every user may write: links in it would lead an agent of root elsewhere."""
    site.clock.turn(days=65)
    for mode in (0o777, 0o775, 0o757):
        site.folder.chmod(mode)
        assert code_of(site.keeper().renew_now, site.clock.now()) == "folder-foreign"
        site.step()  # the agent's loop goes on, and does nothing there
    site.folder.chmod(0o750)
    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: 54321)
        assert code_of(site.keeper().renew_now, site.clock.now()) == "folder-foreign"
    assert site.server.asked == []
    site.step()
    assert site.renewals() == 1


@pytest.mark.parametrize("name", ["generations", ".renewing"])
def test_a_link_in_place_of_its_own_folder_is_refused(site: Site, tmp_path: Path, name: str) -> None:
    """The agent deletes and writes below these folders: a link would lead it to files of its user elsewhere."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").touch()
    site.clock.turn(days=65)
    (site.folder / name).symlink_to(victim)
    assert code_of(site.keeper().renew_now, site.clock.now()) == "folder-foreign"
    site.step()
    assert (site.server.asked, [one.name for one in victim.iterdir()]) == ([], ["kept"])
    (site.folder / name).unlink()
    site.step()
    assert site.renewals() == 1


@pytest.mark.parametrize("name", ["generations", ".renewing"])
def test_a_foreign_folder_in_place_of_its_own_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Another user who made it could change what is in it."""
    (site.folder / name).mkdir()
    real = Path.lstat

    def foreign(path: Path) -> os.stat_result:
        status = real(path)
        if path != site.folder / name:
            return status
        return os.stat_result((*status[:4], status.st_uid + 1, *status[5:10]))

    monkeypatch.setattr(Path, "lstat", foreign)
    assert code_of(site.keeper().renew_now, site.clock.now()) == "folder-foreign"
    assert site.server.asked == []


def test_a_damaged_state_is_no_obstacle(site: Site) -> None:
    """Rubbish in agent.json is as if it were missing."""
    site.step()
    for text in (b"", b"[]", b'{"failures": "x", "not_before": 7, "problem": []}', b"\xff\xfe", b"[" * 99999):
        (site.folder / "agent.json").write_bytes(text)
        site.step()
    assert site.attention() == ""


def test_one_identity_that_fails_does_not_stop_the_other(site: Site) -> None:
    """A folder that is gone is looked at again; the other one is renewed."""
    gone = Keeper(IdentityOptions(directory=site.folder / "gone"), site.server.machine(site.clock))
    site.clock.turn(days=65)
    stop = Impatient()
    (site.folder / "gone").mkdir()
    keeper = site.keeper()

    class Once:
        def now(self) -> object:
            stop.set() if site.renewals() else None
            return site.clock.now()

        def monotonic(self) -> float:
            return 0.0

    run([gone, keeper], Once(), stop)  # type: ignore[arg-type]
    assert site.renewals() == 1
