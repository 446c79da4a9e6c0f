"""Start the services of an instance under one supervisor, which restarts those that end."""

import json
import subprocess
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from xmlrpc.client import Fault

import httpx

from stack import databases
from stack.embedded import postgres
from stack.embedded.services import Service, services
from stack.embedded.supervisor import Supervisor, supervisor_configuration
from stack.environments import airflow_environment, command_of, common_environment, google_environment
from stack.errors import StackError, end_of
from stack.pods.preparation import prepare
from stack.settings import ROOT, Settings, write_private

# Seconds until a service that does not answer counts as broken.
START_TIMEOUT = 240


class Stack(Supervisor):
    """The services of one instance, with its settings."""

    def __init__(self, settings: Settings):
        super().__init__(settings.var)
        self.settings = settings
        # None: started elsewhere.
        self._supervisor: subprocess.Popen | None = None
        # Started here, but not waited for yet.
        self._late: list[Service] = []

    def is_up_with(self, settings: Settings) -> bool:
        """Whether the running services were started with these settings."""
        # A file may be of another version, or be gone.
        with suppress(FileNotFoundError):
            return all(file.read_text(encoding="utf-8") == text for file, text in settings.config_texts().items())
        return False

    def start(
        self, names: Collection[str] | None = None, *, stay: bool, begun: Callable[[], None] = lambda: None
    ) -> None:
        """Start services, in parallel where possible, and wait until all but the late ones are ready.

        Args:
            names: which; None: all. PostgreSQL is always one of them.
            stay: whether they outlive this process; else they end with it, even where it is killed.
            begun: called before the first one starts, once it is certain that no other command uses the instance.

        Raises:
            BusyError: another command uses the instance.
            StackError: a service does not start; those that had started are stopped.
        """
        self._take_lock()
        known = services(self.settings, stay=stay)
        chosen = {each.name: each for each in known if names is None or each.name in names}
        try:
            begun()
            # Processes that a killed launcher left behind.
            self._end_processes()
            self._start_supervisor(known, stay=stay)
            if any(name.startswith("airflow-") for name in chosen):
                prepare(self.settings)
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
        """Wait until the late services that were started here are ready too; a StackError if one does not start."""
        for service in self._late:
            self._wait(service)

    def _start_supervisor(self, known: list[Service], *, stay: bool) -> None:
        for folder in (self._run, self._logs, self.settings.var / "airflow", self.settings.var / "artifacts"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings.write_config()
        (self._run / "stays").unlink(missing_ok=True)
        if stay:
            (self._run / "stays").touch()
        if self.settings.is_emulated:
            self._write_emulator_key()
        postgres.create_cluster(self.settings.var / "postgres", self.settings.secrets["postgres"])
        write_private(self.settings.passwords_file, json.dumps({"admin": self.settings.secrets["admin"]}))
        config = self._run / "supervisord.conf"
        write_private(config, supervisor_configuration(known, self._run, self._logs))
        command = command_of("stack", "supervisord", "--nodaemon", "--silent", "-c", str(config))
        if not stay:
            # The kernel ends the supervisor with this process, and it ends the services.
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        environment = common_environment(self.settings)
        log = (self._logs / "supervisord.out").open("w")
        self._supervisor = subprocess.Popen(
            command, env=environment, cwd="/", start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self._wait_for("supervisor", lambda: bool(self.states()), self._logs / "supervisord.out")

    def _write_emulator_key(self) -> None:
        """Make the key file of the service account that the emulators accept."""
        key = self.settings.emulator_key
        key.parent.mkdir(mode=0o700, exist_ok=True)
        project = google_environment(self.settings)["GOOGLE_CLOUD_PROJECT"]
        written = ["--url", self.settings.url("bigquery"), "--project", project]
        command = command_of("emulators", "python", "-m", "emulators.service_account", str(key), *written)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise StackError(f"the key file of the emulators cannot be written: {done.stderr.strip()}")

    def _start_airflow(self, components: list[Service]) -> None:
        if not components:
            return
        environment = common_environment(self.settings) | airflow_environment(self.settings)
        log, command = self._logs / "airflow-migrate.log", command_of("airflow", "airflow")
        databases.migrate_airflow(self.settings.database("airflow"), command, environment, log)
        self._launch(components)

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
        self._wait_for(service.name, service.is_ready, self._logs / f"{service.name}.log")

    def _wait_for(self, name: str, is_ready: Callable[[], bool], log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            with suppress(httpx.HTTPError):
                if is_ready():
                    return
            if (self._supervisor and self._supervisor.poll() is not None) or self.states().get(name) == "FATAL":
                raise StackError(f"{name} ended as soon as it was started; see {log}\n{end_of(log)}")
            if time.monotonic() > deadline:
                raise StackError(f"{name} does not answer after {START_TIMEOUT} s; see {log}\n{end_of(log)}")
            time.sleep(0.1)
