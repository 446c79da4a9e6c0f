"""supervisord, which starts, restarts and stops the services of an instance: its client and its configuration."""

import configparser
import fcntl
import http.client
import io
import shlex
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from stack.embedded.services import Service
from stack.errors import BusyError
from stack.settings import ROOT

# Seconds that a service has to end by itself.
STOP_TIMEOUT = 15
# supervisord's names for the states of a service that runs or is about to.
ALIVE = ("STARTING", "RUNNING", "BACKOFF")


class Supervisor:
    """The services of one instance, whichever command started them; its settings are not needed."""

    def __init__(self, var: Path):
        self._var, self._run, self._logs = var, var / "run", var / "logs"
        # Held while services that end with this process run.
        self._lock: TextIO | None = None

    @property
    def _rpc(self) -> Any:
        """The supervisor; each call has a connection of its own, since threads share this object."""
        transport = SupervisorTransport(None, None, f"unix://{self._run / 'supervisor.sock'}")
        return ServerProxy("http://stack", transport).supervisor

    def states(self) -> dict[str, str]:
        """The supervisor's name for the state of each service, such as RUNNING; empty if no supervisor runs."""
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
        # A service that the settings have elsewhere is none of these.
        wanted = [name for name in (states if names is None else names) if name in states]
        return bool(states) and all(states[name] in ALIVE for name in wanted)

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
        """Stop services and wait; each query of the states makes the supervisor notice what has ended."""
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
                f"another command is using {self._var}: wait until it ends, or use another folder, VAR=…"
            ) from None
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None

    def _processes(self, *, named: str = "") -> list[psutil.Process]:
        return [process for process in processes_of(self._var) if named in process.info["name"]]


def processes_of(var: Path) -> list[psutil.Process]:
    """Processes of the instance in `var`, by their environment; children of services are among them."""
    found = []
    for process in psutil.process_iter(["name", "cmdline", "memory_info"]):
        with suppress(psutil.Error):
            if process.environ().get("MLOPS_VAR") == str(var):
                found.append(process)
    return found


def supervisor_configuration(services: Iterable[Service], run: Path, logs: Path) -> str:
    """Text of supervisord's configuration file: it starts no service by itself, and restarts those that end."""
    config = configparser.RawConfigParser()
    config["unix_http_server"] = {"file": str(run / "supervisor.sock"), "chmod": "0700"}
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    config["supervisord"] = {
        "logfile": _literal(logs / "supervisord.log"),
        "pidfile": _literal(run / "supervisord.pid"),
        "childlogdir": _literal(logs),
    }
    for service in services:
        pairs = (f"{name}='{_literal(value)}'" for name, value in service.environment.items())
        config[f"program:{service.name}"] = {
            "command": _literal(shlex.join(service.command)),
            "directory": "/" if service.user else _literal(ROOT),
            "environment": ",".join(pairs),
            "priority": "1" if service.name == "postgres" else "2",
            "autostart": "false",
            "autorestart": "true",
            "stopsignal": service.stop_signal,
            "stopwaitsecs": str(STOP_TIMEOUT),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": _literal(logs / f"{service.name}.log"),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "2",
            **({"user": service.user} if service.user else {}),
        }
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _literal(value: object) -> str:
    """A value as the configuration takes it, where % begins a variable."""
    return str(value).replace("%", "%%")
