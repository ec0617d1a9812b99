"""The supervisor: starts Envoy, watches it, replaces it, and adopts or replaces an Envoy that an earlier gateway left.

Not here: Envoy's configuration (publishing), which connections end (cutter), and which Envoy may go on (adoption).

Each run of Envoy is an *epoch* with its own folder, `FOLDER/000007/`: admin socket, logs, and
`run.json`, which has the end of a drain. Envoy is the leader of a new session: Ctrl-C in the terminal reaches
only the gateway, and a crash of the gateway does not end Envoy, so connections go on. The next start

1. finds every Envoy of this folder by its command line and opens a pidfd (a process id can be used again);
2. adopts one (docs/design/0076): if exactly one of them is what it would start now, and its connections can be cut,
   and publishing brings it up to date, it goes on as the running Envoy, under its old number. No connection ends;
3. otherwise, and for all others: makes it close its listening sockets, which frees the port, and ask its clients to
   close their connections, and starts a new Envoy in a new epoch;
4. ends a replaced Envoy when its drain time is over, or at once if its connections cannot be cut.
"""

from __future__ import annotations

import select
import signal
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import structlog

from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.pauses import double_pause
from doorward.core.ports import Clock
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.envoy.admin import AdminClient, check_socket_path
from doorward.gateway.envoy.adoption import find_difference
from doorward.gateway.envoy.diagnosis import check_free, explain_exit, explain_unwritable
from doorward.gateway.envoy.epochs import epoch_of, forget_run, new_epoch, note_run, noted_end, noted_runs
from doorward.gateway.envoy.process import Child
from doorward.gateway.envoy.program import EnvoyOptions, find_orphans, spawn
from doorward.gateway.envoy.run import EnvoyRun, Phase
from doorward.gateway.wakeup import Wakeup

_log = structlog.get_logger("doorward.supervisor")

_TICK_SECONDS = 0.1
# While one Envoy runs, none starts or drains, and the kernel does not say when it ends.
_CALM_TICK_SECONDS = 0.25
_READY_SECONDS = 0.02
_RELEASE_SECONDS = 3.0  # a replaced Envoy usually frees the port within some milliseconds
_GRACE_SECONDS = 2.0  # from SIGTERM to SIGKILL; Envoy needs 0.03 s
_ASK_SECONDS = 2.0  # between two checks whether it still answers
_HUNG_SECONDS = 15.0  # without an answer, if nothing was published meanwhile
_BUSY_SECONDS = 150.0  # the same during a publication; Envoy's own watchdog ends its main thread after 120
_UNWRITTEN_SECONDS = 0.5  # Envoy writes its log every 0.05 s
_SETTLED_SECONDS = 10.0  # if Envoy ran for so long, it is started again without delay
_ADDRESS_ERRORS = frozenset(
    {"port-in-use", "port-forbidden", "address-unknown"}
)  # no configuration changes these
_FIRST_DELAY, _LONGEST_DELAY = timedelta(seconds=0.25), timedelta(seconds=30)
_SERVING = frozenset({Phase.STARTING, Phase.RUNNING})


class Supervisor:
    """Keeps one Envoy running. Methods may be called from any thread. Callbacks come from them, or from the supervisor's own thread.

    Properties and `envoy_pids` never wait: the cutter must find the processes also while another Envoy is slow to
    start or to end. Only one of `start`, `replace` and `stop` works at a time.

    Args:
        options: how Envoy is run.
        prepare: called with the epoch and its empty folder (mode 0700); writes the
            bootstrap and returns its path. The admin socket must be `folder/admin.sock`.
        clock: for drain times and delays.
        listeners: where Envoy will listen; checked beforehand, so that a port in use gives a clear
            error instead of a rejected listener.
        may_drain: whether connections of an old Envoy can still be cut (`Cutter.reaches`); if
            not, it is ended at once.
        on_started: called with pid and epoch when Envoy is LIVE.
        on_died: called with pid, epoch, exit status (minus the signal) and a number of seconds when Envoy ended unasked: lines
            of its access log from the last so many may be missing. The status is None if an earlier gateway started this Envoy.
            If it raises, or if this gateway dies meanwhile, the next start calls `on_vanished`.
        on_killed: called with the same when an Envoy that was asked to end, or that drained, did not end in order: killed by
            this gateway or by others. The seconds are infinite if this gateway never knew it to work.
        on_vanished: called with pid (0 if unknown) and epoch of an Envoy that ended while no gateway ran, before `find`
            returns; called again at the next start if it raises.
        verify: called when Envoy reports that it is ready; raises if it does not enforce the prepared configuration.
        on_failed: called with Envoy's status (None if it still ran) when a start failed; returns whether
            `prepare` will give another configuration now, which is then started at once.
        adopt: called with epoch and folder of an Envoy of an earlier gateway that is what would be started now. Returns
            whether its bootstrap (`folder/bootstrap.json`) is, byte for byte, what `prepare` would write there, and
            its resources are ready for it; `verify` follows. If it returns False or raises, a new Envoy is started.
        is_publishing: whether Envoy was given something that may keep its main thread busy for long.
    """

    def __init__(
        self,
        options: EnvoyOptions,
        *,
        prepare: Callable[[int, Path], Path],
        clock: Clock,
        listeners: Callable[[], Sequence[Endpoint]] = tuple,
        may_drain: Callable[[int], bool] = lambda _pid: True,
        on_started: Callable[[int, int], None] = lambda _pid, _epoch: None,
        on_died: Callable[[int, int, int | None, float], None] = lambda _pid, _epoch, _status, _seconds: None,
        on_killed: Callable[[int, int, int | None, float], None] = lambda _pid, _epoch, _status, _seconds: (
            None
        ),
        on_vanished: Callable[[int, int], None] = lambda _pid, _epoch: None,
        verify: Callable[[AdminClient], None] = lambda _admin: None,
        on_failed: Callable[[int | None, DoorwardError], bool] = lambda _status, _error: False,
        adopt: Callable[[int, Path], bool] = lambda _epoch, _folder: False,
        is_publishing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._options = options
        self._prepare = prepare
        self._clock = clock
        self._listeners = listeners
        self._may_drain = may_drain
        self._on_started = on_started
        self._on_died = on_died
        self._on_killed = on_killed
        self._on_vanished = on_vanished
        self._verify = verify
        self._on_failed = on_failed
        self._adopt_configuration = adopt
        self._is_publishing = is_publishing
        self._acting = threading.RLock()
        self._runs: tuple[EnvoyRun, ...] = ()  # replaced as a whole, so that readers need no lock
        self._trouble = ""
        self._failures = 0
        self._retry_at = 0.0
        self._ask_at = 0.0
        self._stopping = threading.Event()
        self._wakeup = Wakeup()
        self._watcher: threading.Thread | None = None
        self._has_searched = False

    @property
    def running(self) -> EnvoyRun | None:
        """The Envoy that takes new connections; None while there is none."""
        return next((run for run in self._runs if run.phase is Phase.RUNNING), None)

    @property
    def epoch(self) -> int:
        """The number of the Envoy that takes new connections, or soon will; 0 while there is none."""
        return next((run.epoch for run in self._runs if run.phase in _SERVING), 0)

    @property
    def draining(self) -> tuple[EnvoyRun, ...]:
        """Replaced Envoys that still have connections."""
        return tuple(run for run in self._runs if run.phase is Phase.DRAINING)

    def envoy_pids(self) -> list[int]:
        """Return every process that may hold connections, the newest first."""
        return [run.pid for run in self._runs]

    def serves(self, pid: int) -> bool:
        """Return whether this process is the Envoy that takes new connections, or soon will: it may have its resources.

        Not once that Envoy has ended, though it is listed until the next tick: another process may have its id by then.
        """
        return any(
            run.pid == pid and run.phase in _SERVING and not run.process.has_ended() for run in self._runs
        )

    def trouble(self) -> str:
        """Return why no Envoy is running, in a sentence for `status`; empty if all is well."""
        return self._trouble

    def find(self) -> None:
        """Find the Envoys of an earlier gateway, once; these go on, and from now on their connections can be cut.

        Raises:
            ConfigurationError: the folder's path is too long.
            DoorwardError: any error that `on_vanished` raises.
            OSError: the folder cannot be made.
        """
        with self._acting:
            if self._has_searched:
                return
            self._options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for process, folder, epoch in find_orphans(self._options.folder):
                run = EnvoyRun(process, epoch, folder, self._clock.monotonic(), Phase.FOUND)
                self._runs = (*self._runs, run)
            self._note_vanished({run.epoch for run in self._runs})
            self._has_searched = True

    def _note_vanished(self, found: Collection[int]) -> None:
        """Report the runs that ended unseen, as after a power cut: the end of a run that a gateway sees is noted."""
        for folder, pid in noted_runs(self._options.folder):
            epoch = epoch_of(folder)
            if epoch is not None and epoch not in found:
                _log.error("envoy-vanished", pid=pid, epoch=epoch)
                self._on_vanished(pid, epoch)
                forget_run(folder)

    def start(self) -> EnvoyRun:
        """Adopt the Envoy of an earlier gateway, or start one; watch it from now on.

        Raises:
            Unavailable: Envoy did not start: `port-in-use`, `port-forbidden`, `address-unknown`,
                `envoy-would-not-start`, with a hint.
            ConfigurationError: the folder's path is too long.
            DoorwardError: any error that `prepare` raises.
        """
        with self._acting:
            if self._watcher is not None:
                raise ValueError("a supervisor is started once")
            self.find()
            run = self._adopt() or self._launch()
            self._watcher = threading.Thread(target=self._watch, name="envoy-watch", daemon=True)
            self._watcher.start()
            return run

    def replace(self) -> EnvoyRun:
        """Start a new Envoy in a new epoch; the present one drains. For about 0.1 s no socket listens.

        Raises:
            Unavailable: the new Envoy did not start; it is tried again with growing delays.
        """
        with self._acting:
            try:
                if self.running:
                    self._retire(self.running)
                return self._launch()
            finally:
                self._wakeup.set()  # the watch has other processes to wait for

    def stop(self) -> None:
        """End every Envoy, and with them all connections. One that was only found goes on: the next start decides."""
        self._end_watch()
        with self._acting:
            for run in self._found():
                run.process.close()
            self._runs = tuple(run for run in self._runs if run.phase is not Phase.FOUND)
            asked, ends_at = self._runs, self._clock.monotonic() + _GRACE_SECONDS
            for run in asked:
                run.ask_to_end()
            ended = [self._await_end(run, ends_at - self._clock.monotonic()) for run in asked]
            for run, status in zip(asked, ended, strict=True):  # recording may wait for the database
                self._note_end(run, status)

    def _found(self) -> list[EnvoyRun]:
        return [run for run in self._runs if run.phase is Phase.FOUND]

    def _adopt(self) -> EnvoyRun | None:
        """Let one Envoy of an earlier gateway go on, and retire all others; return it, or None."""
        found, alike = self._found(), []
        for run in found:
            difference = find_difference(run.pid, run.folder, self._options, self._listeners())
            if not difference and not self._may_drain(run.pid):
                difference = "its connections could not be cut"
            if difference:
                _log.info("envoy-not-adopted", pid=run.pid, epoch=run.epoch, why=difference)
            else:
                alike.append(run)
        chosen = alike[0] if len(alike) == 1 else None
        for run in found:
            if run is not chosen:
                self._retire(run)
        if chosen is None or not self._bring_up_to_date(chosen):
            return None
        chosen.phase, self._trouble, chosen.answered = Phase.RUNNING, "", self._clock.monotonic()
        _log.info("envoy-adopted", pid=chosen.pid, epoch=chosen.epoch)
        return chosen

    def _bring_up_to_date(self, run: EnvoyRun) -> bool:
        """Give an Envoy of an earlier gateway the present configuration; retire it if that fails."""
        run.phase = Phase.STARTING  # from now on it may have its resources
        self._runs = (run, *(one for one in self._runs if one is not run))
        try:
            if self._adopt_configuration(run.epoch, run.folder):
                self._verify(run.admin)
                return True
            why = "it was started with another bootstrap"
        except (DoorwardError, OSError) as error:
            why = str(error)
        _log.warning("envoy-not-adopted", pid=run.pid, epoch=run.epoch, why=why)
        self._retire(run)
        return False

    def _launch(self) -> EnvoyRun:
        try:
            run = self._launch_one()
        except (DoorwardError, OSError) as problem:
            error = problem if isinstance(problem, DoorwardError) else explain_unwritable(problem)
            self._trouble = error.detail
            self._delay_retry()
            _log.error("envoy-would-not-start", code=error.code, detail=error.detail, hint=error.hint)
            raise error from problem
        run.phase, self._trouble, run.answered = Phase.RUNNING, "", self._clock.monotonic()
        self._on_started(run.pid, run.epoch)
        return run

    def _launch_one(self, *, again: bool = True) -> EnvoyRun:
        self._wait_until_free()
        epoch, folder = new_epoch(self._options.folder)
        config = self._prepare(epoch, folder)
        check_socket_path(folder / "admin.sock")  # before Envoy fails with a less clear message
        child = spawn(self._options, folder, config)
        run = EnvoyRun(child, epoch, folder, self._clock.monotonic())
        self._runs = (run, *self._runs)
        try:
            note_run(folder, child.pid, None)
            self._wait_until_live(run, child)
        except BaseException as error:
            ended = child.has_ended()
            self._end(run)
            is_stopping = self._stopping.is_set()
            if (
                again
                and not is_stopping
                and isinstance(error, DoorwardError)
                and error.code not in _ADDRESS_ERRORS
            ):
                _log.error("envoy-start-failed", epoch=epoch, code=error.code, detail=error.detail)
                if self._on_failed(child.status if ended else None, error):
                    return self._launch_one(again=False)
            raise
        return run

    def _wait_until_free(self) -> None:
        """Wait until Envoy can listen: a replaced Envoy closes its sockets only when its workers are free."""
        wait_until = self._clock.monotonic() + (_RELEASE_SECONDS if self.draining else 0.0)
        while True:
            try:
                check_free(self._listeners())
            except Unavailable:
                if self._clock.monotonic() >= wait_until:
                    raise
                self._stopping.wait(_READY_SECONDS)
            else:
                return

    def _wait_until_live(self, run: EnvoyRun, child: Child) -> None:
        wait_until = self._clock.monotonic() + self._options.start_seconds
        while not run.admin.is_ready():
            if child.wait(_READY_SECONDS):
                raise explain_exit(run.folder, child.status or 0)
            if self._stopping.is_set():
                why, hint = (
                    "the gateway stops, and its Envoy was not ready yet",
                    "start it again: doorward up",
                )
                raise Unavailable("envoy-would-not-start", why, hint=hint)
            if self._clock.monotonic() > wait_until:
                raise Unavailable(
                    "envoy-would-not-start",
                    f"Envoy was not ready after {self._options.start_seconds:g} seconds",
                    hint=f"its log is {run.folder / 'envoy.log'}",
                )
        try:
            self._verify(run.admin)
        except DoorwardError:
            if child.wait(_READY_SECONDS):  # it does not answer because it has ended
                raise explain_exit(run.folder, child.status or 0) from None
            raise

    def _retire(self, run: EnvoyRun) -> None:
        """Free the port and let the connections go on for the drain time, if they can still be cut."""
        limit = self._clock.now() + timedelta(seconds=self._options.drain_seconds)
        run.ends_at = min(limit, noted_end(run.folder) or limit)
        run.phase = Phase.DRAINING
        try:
            if not self._may_drain(run.pid):
                raise Unavailable("envoy-unreachable", "its connections could not be cut")
            run.admin.begin_drain()
            run.admin.stop_listening()
            run.answered = self._clock.monotonic()
        except DoorwardError as error:
            _log.warning("envoy-ended-at-once", pid=run.pid, epoch=run.epoch, why=error.detail)
            self._end(run)
            return
        with suppress(OSError):  # without the note only a restart of the gateway would lengthen the drain
            note_run(run.folder, run.pid, run.ends_at)

    def _end(self, run: EnvoyRun) -> None:
        """End a run in any phase."""
        run.ask_to_end()
        self._note_end(run, self._await_end(run, _GRACE_SECONDS))

    def _await_end(self, run: EnvoyRun, seconds: float) -> int | None:
        """End a run as `EnvoyRun.await_end` does; it is listed until it has ended."""
        status = run.await_end(seconds)
        self._runs = tuple(one for one in self._runs if one is not run)
        return status

    def _note_end(self, run: EnvoyRun, status: int | None) -> None:
        """Record a run that did not end in order. A draining Envoy is not asked whether it answers: its gap begins with the drain."""
        in_order = status == 0 and not run.ended_unasked
        if in_order or run.phase is Phase.STARTING:  # while it starts, it has no connections
            forget_run(run.folder)
            return
        silent = max(self._clock.monotonic() - run.answered, _UNWRITTEN_SECONDS)
        _log.error(
            "envoy-killed", pid=run.pid, epoch=run.epoch, status=status, silent_seconds=f"{silent:.0f}"
        )
        self._record(run, lambda: self._on_killed(run.pid, run.epoch, status, silent))

    def _record(self, run: EnvoyRun, record: Callable[[], None]) -> None:
        """Record an end. Until then the run stays noted: if this gateway dies meanwhile, the next one records it."""
        try:
            record()
        except DoorwardError as error:
            _log.error("envoy-death-not-recorded", epoch=run.epoch, code=error.code, detail=error.detail)
        else:
            forget_run(run.folder)

    def _watch(self) -> None:
        """Look after Envoy until the stop. This thread keeps the door alive: whatever fails, it looks again."""
        while not self._is_over():
            try:
                self._tick()
            except Exception:  # noqa: BLE001  without this thread, Envoy would not be started again
                _log.exception("supervisor-failed")
                self._stopping.wait(_CALM_TICK_SECONDS)

    def _is_over(self) -> bool:
        """Sleep, and return whether the watch is over."""
        try:
            return self._sleep()
        except Exception:  # noqa: BLE001  without a sleep that wakes, it looks a few times a second
            _log.exception("supervisor-failed")
            return self._stopping.wait(_CALM_TICK_SECONDS)

    def _sleep(self) -> bool:
        """Wait until there may be something to do, such as the end of Envoy; return whether the watch is over."""
        waiting, runs = select.poll(), self._runs
        waiting.register(self._wakeup.descriptor, select.POLLIN)
        seconds = _TICK_SECONDS
        if [run.phase for run in runs] == [Phase.RUNNING]:
            ended = runs[0].process.descriptor
            seconds = _CALM_TICK_SECONDS if ended < 0 else _ASK_SECONDS
            if ended >= 0:
                waiting.register(ended, select.POLLIN)
        waiting.poll(seconds * 1000)
        self._wakeup.clear()
        return self._stopping.is_set()

    def _tick(self) -> None:
        with self._acting:
            now = self._clock.now()
            for run in self._runs:
                if run.phase is Phase.DRAINING and (
                    run.process.has_ended() or run.ends_at is None or run.ends_at <= now
                ):
                    self._end(run)
            run_now = self.running
            if run_now is not None and run_now.process.has_ended():
                self._note_death(run_now)
            elif run_now is not None:
                self._check_that_it_answers(run_now)
            if self.running is None and self._clock.monotonic() >= self._retry_at:
                with suppress(DoorwardError):  # `_launch` logs it; it is tried again
                    self._launch()

    def _check_that_it_answers(self, run: EnvoyRun) -> None:
        """End an Envoy that hangs as a whole (stopped, or without processor time): its own watchdogs cannot see that."""
        now = self._clock.monotonic()
        if now < self._ask_at:
            return
        if run.admin.is_ready():
            run.answered = now
        elif self._is_publishing():
            run.busy_until = now + _HUNG_SECONDS
        if now - run.answered > (_BUSY_SECONDS if now < run.busy_until else _HUNG_SECONDS):
            _log.error("envoy-hangs", pid=run.pid, epoch=run.epoch, seconds=round(now - run.answered))
            run.is_hung = True
            run.process.send(signal.SIGKILL)
        self._ask_at = self._clock.monotonic() + _ASK_SECONDS

    def _note_death(self, run: EnvoyRun) -> None:
        status = (run.process.status or 0) if isinstance(run.process, Child) else None
        reason = explain_exit(run.folder, status)
        if self._clock.monotonic() - run.started >= _SETTLED_SECONDS:
            self._failures, self._retry_at = 0, 0.0
        else:
            self._delay_retry()
        self._trouble = reason.detail
        self._await_end(run, _GRACE_SECONDS)
        _log.error("envoy-died", pid=run.pid, epoch=run.epoch, status=status, detail=reason.detail)
        silent = self._clock.monotonic() - run.answered if run.is_hung else _UNWRITTEN_SECONDS
        self._record(run, lambda: self._on_died(run.pid, run.epoch, status, silent))

    def _delay_retry(self) -> None:
        """Delay the next attempt, longer each time: a faulty set-up must not use up the processor."""
        delay = double_pause(_FIRST_DELAY, self._failures, _LONGEST_DELAY)
        self._failures += 1
        self._retry_at = self._clock.monotonic() + delay.total_seconds()

    def _end_watch(self) -> None:
        self._stopping.set()
        self._wakeup.set()
        if self._watcher is threading.current_thread():
            return
        if self._watcher is not None:
            self._watcher.join()
        self._wakeup.close()
