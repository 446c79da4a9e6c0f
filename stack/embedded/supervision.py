"""Starting and stopping the services under one supervisor, so that none is left behind and one that dies comes back."""

import configparser
import fcntl
import http.client
import io
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO
from xmlrpc.client import Fault, ServerProxy

import httpx
import psutil
from supervisor.xmlrpc import SupervisorTransport

from stack import databases
from stack.embedded import postgres
from stack.embedded.services import Service, services
from stack.environments import airflow_environment, command_of, common_environment
from stack.errors import BusyError, StackError
from stack.runs import dag_runs
from stack.settings import ROOT, Settings, write_private

# Seconds until a service that does not answer counts as broken; seconds it has to end by itself.
START_TIMEOUT = 120
STOP_TIMEOUT = 15
# The supervisor's words for a service that runs or is to run.
ALIVE = ("STARTING", "RUNNING", "BACKOFF")


class Stack:
    """The services of one instance, wherever they were started from."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._run = settings.var / "run"
        self._logs = settings.var / "logs"
        self._socket = self._run / "supervisor.sock"
        # Held while services that end with this process run.
        self._lock: TextIO | None = None
        # None: started elsewhere.
        self._supervisor: subprocess.Popen | None = None
        # Started here, but not waited for yet.
        self._late: list[Service] = []

    @property
    def _rpc(self) -> ServerProxy:
        """The supervisor; a connection of its own a call, since threads share this object."""
        return ServerProxy("http://stack", SupervisorTransport(None, None, f"unix://{self._socket}")).supervisor

    def states(self) -> dict[str, str]:
        """The supervisor's word for the state of each service, such as RUNNING; empty where none is up to stay."""
        try:
            return {process["name"]: process["statename"] for process in self._rpc.getAllProcessInfo()}
        except (OSError, http.client.HTTPException, Fault):
            return {}  # no supervisor, or one that is ending

    @property
    def stays(self) -> bool:
        """Whether the services run and outlive the process that started them."""
        return (self._run / "stays").exists() and self.is_up()

    def is_up(self, names: Collection[str] | None = None) -> bool:
        """Whether these services run, whoever started them; None: all."""
        states = self.states()
        wanted = states if names is None else names
        return bool(states) and all(states[name] in ALIVE for name in wanted)

    def is_up_with(self, settings: Settings) -> bool:
        """Whether the services that run were started with these settings."""
        return self.settings.config_file.read_text(encoding="utf-8") == settings.config_text()

    def start(
        self, names: Collection[str] | None = None, *, stay: bool, begun: Callable[[], None] = lambda: None
    ) -> None:
        """Start services, side by side where they can, and wait until all but the late ones do their work.

        Args:
            names: which; None: all. PostgreSQL is always one of them.
            stay: whether they outlive this process; else they end with it, even where it is killed.
            begun: called before the first is started, when it is sure that no other command is at work.

        Raises:
            BusyError: another command is at work.
            StackError: a service does not start; what had started is stopped.
        """
        self._take_lock()
        chosen = {each.name: each for each in services(self.settings) if names is None or each.name in names}
        try:
            begun()
            # What a launcher that was killed left behind.
            self._end_processes()
            self._start_supervisor(stay)
            self._launch([chosen["postgres"]])
            superuser = {"user": databases.SUPERUSER, "password": self.settings.secrets["postgres"]}
            databases.ensure(
                self.settings.server() | superuser, {name: self.settings.secrets[name] for name in databases.NAMES}
            )
            first = [each for each in chosen.values() if not each.late and each.name != "postgres"]
            airflow = [each for each in first if each.name.startswith("airflow-")]
            with ThreadPoolExecutor(2) as pool:
                others = [each for each in first if each not in airflow]
                both = [pool.submit(self._launch, others), pool.submit(self._start_airflow, airflow)]
            for one in both:
                one.result()
            self._late = [each for each in chosen.values() if each.late]
            self._begin(self._late)
        except BaseException:
            self.stop()
            raise
        if stay:
            self._release_lock()

    def wait_until_ready(self) -> None:
        """Wait until the late ones of the services that were started here do their work too.

        Raises:
            StackError: one does not start.
        """
        for service in self._late:
            self._wait(service)

    def log(self, instance: dict[str, Any]) -> str:
        """Path of the log of a task instance's try."""
        return str(dag_runs.log_file(self.settings.var, instance))

    def stop(self) -> None:
        """End every process of this instance; those that do not end by themselves are killed."""
        self._end_processes()
        self._release_lock()

    def _end_processes(self) -> None:
        try:
            # All at once, but PostgreSQL after those that use it; the supervisor alone would go one by one.
            self._stop_services(name for name in self.states() if name != "postgres")
            self._stop_services(["postgres"])
            self._rpc.shutdown()
        except (OSError, http.client.HTTPException, Fault):
            pass  # none is up, or it is ending
        deadline = time.monotonic() + 2 * STOP_TIMEOUT
        while self._processes(named="supervisord") and time.monotonic() < deadline:
            self.states()
        left = self._processes()
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=STOP_TIMEOUT)

    def _stop_services(self, names: Iterable[str]) -> None:
        """Tell services to end and wait for it; each look at their states makes the supervisor see what has ended."""
        names = [name for name in names if self.states().get(name) in ALIVE]
        for name in names:
            self._rpc.stopProcess(name, False)
        deadline = time.monotonic() + 2 * STOP_TIMEOUT
        while any(self.states().get(name) in (*ALIVE, "STOPPING") for name in names) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _take_lock(self) -> None:
        """Keep others from starting services of this instance, until ours have ended or stay."""
        self._run.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self._run / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise BusyError(
                f"another command is at work in {self.settings.var}: wait for its end, or work in another, VAR=…"
            ) from None
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None

    def _processes(self, *, named: str = "") -> list[psutil.Process]:
        return [process for process in processes_of(self.settings.var) if named in process.info["name"]]

    def _start_supervisor(self, stay: bool) -> None:
        for folder in (self._run, self._logs, self.settings.var / "airflow", self.settings.var / "artifacts"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.settings.config_file, self.settings.config_text())
        (self._run / "stays").unlink(missing_ok=True)
        if stay:
            (self._run / "stays").touch()
        postgres.create_cluster(self.settings.var / "postgres", self.settings.secrets["postgres"])
        passwords = json.dumps({"admin": self.settings.secrets["admin"]})
        write_private(self.settings.passwords_file, passwords)
        config = self._run / "supervisord.conf"
        write_private(config, self._supervisor_config())
        command = command_of("stack", "supervisord", "--nodaemon", "--silent", "-c", str(config))
        if not stay:
            # The kernel ends the supervisor with us, and it ends the services.
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        environment = common_environment(self.settings)
        log = (self._logs / "supervisord.out").open("w")
        self._supervisor = subprocess.Popen(
            command, env=environment, cwd="/", start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self._wait_for("supervisor", lambda: bool(self.states()), self._logs / "supervisord.out")

    def _supervisor_config(self) -> str:
        config = configparser.RawConfigParser()
        config["unix_http_server"] = {"file": self._socket, "chmod": "0700"}
        config["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        }
        config["supervisord"] = {
            "logfile": _literal(self._logs / "supervisord.log"),
            "pidfile": _literal(self._run / "supervisord.pid"),
            "childlogdir": _literal(self._logs),
        }
        for service in services(self.settings):
            pairs = (f"{name}='{_literal(value)}'" for name, value in service.environment.items())
            config[f"program:{service.name}"] = {
                "command": _literal(shlex.join(service.command)),
                "directory": "/" if service.user else _literal(ROOT),
                "environment": ",".join(pairs),
                "priority": 1 if service.name == "postgres" else 2,
                "autostart": "false",
                "autorestart": "true",
                "stopsignal": service.stop_signal,
                "stopwaitsecs": STOP_TIMEOUT,
                "stopasgroup": "false",
                "killasgroup": "true",
                "redirect_stderr": "true",
                "stdout_logfile": _literal(self._log(service)),
                "stdout_logfile_maxbytes": "10MB",
                "stdout_logfile_backups": 2,
                **({"user": service.user} if service.user else {}),
            }
        text = io.StringIO()
        config.write(text)
        return text.getvalue()

    def _start_airflow(self, components: list[Service]) -> None:
        if components:
            self._migrate_airflow()
            self._launch(components)

    def _migrate_airflow(self) -> None:
        environment = common_environment(self.settings) | airflow_environment(self.settings)
        log = self._logs / "airflow-migrate.log"
        try:
            databases.migrate_airflow(
                self.settings.database("airflow"), command_of("airflow", "airflow"), environment, log
            )
        except databases.MigrationError as error:
            raise StackError(str(error)) from None
        (self.settings.var / "airflow" / "migrated").touch()

    def _launch(self, chosen: list[Service]) -> None:
        self._begin(chosen)
        for service in chosen:
            self._wait(service)

    def _begin(self, chosen: list[Service]) -> None:
        for service in chosen:
            try:
                self._rpc.startProcess(service.name, False)
            except Fault as fault:
                if "ALREADY_STARTED" not in fault.faultString:
                    raise StackError(f"{service.name} cannot be started: {fault.faultString}") from None

    def _wait(self, service: Service) -> None:
        self._wait_for(service.name, service.is_ready, self._log(service))

    def _wait_for(self, name: str, is_ready: Callable[[], bool], log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                if is_ready():
                    return
            except httpx.HTTPError:
                pass
            if (self._supervisor and self._supervisor.poll() is not None) or self.states().get(name) == "FATAL":
                raise StackError(f"{name} ended as soon as it was started; see {log}\n{_tail(log)}")
            if time.monotonic() > deadline:
                raise StackError(f"{name} does not answer after {START_TIMEOUT} s; see {log}\n{_tail(log)}")
            time.sleep(0.1)

    def _log(self, service: Service) -> Path:
        return self._logs / f"{service.name}.log"


def processes_of(var: Path) -> list[psutil.Process]:
    """Processes that were told that this `var` is theirs, children of services among them."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        with suppress(psutil.Error):
            if process.environ().get("MLOPS_VAR") == str(var):
                found.append(process)
    return found


def _literal(value: object) -> str:
    """A value as the supervisor's configuration takes it, where % begins a variable."""
    return str(value).replace("%", "%%")


def _tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
