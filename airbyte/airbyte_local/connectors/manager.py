"""Installs connectors by their sourceType, and runs their commands spec, check and discover."""

import logging
import sys
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from airbyte_protocol.models import AirbyteStream

from airbyte_local.connectors import images
from airbyte_local.connectors.environments import executable
from airbyte_local.connectors.messages import ConnectorError
from airbyte_local.connectors.process import Connector, end_orphans
from airbyte_local.connectors.registry import Image, Module, Program, RegistryError, find, has_images
from airbyte_local.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")


class ConnectorManager:
    """The connectors of this service.

    Methods raise RegistryError if there is no connector of this sourceType, ConnectorInstallError if it cannot be
    installed, and ConnectorError if it fails or does not answer.
    """

    def __init__(self, settings: Settings):
        """End the connectors and containers that an earlier process of this service left behind."""
        self._settings = settings
        own = settings.airbyte.database
        # Run ids of commands start with this; the same for every process of the service of this database.
        self._run = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{own.host}:{own.port}/{own.database}"))
        self._active: set[Connector] = set()
        self._lock = threading.Lock()
        self._specs: dict[Program, dict[str, Any]] = {}
        end_orphans(self._run)
        with suppress(RegistryError):  # reported when a connector is needed
            if has_images(settings.airbyte.connectors):
                images.end_orphans(self._run)

    def connector(self, configuration: dict[str, Any], *, run: str, log: logging.Logger) -> Connector:
        """Create the connector of a source; installs its package or pulls its image if necessary.

        `run` marks every process that it starts; `log` gets its output.
        """
        own = self._settings
        program = find(own.airbyte.connectors, configuration["sourceType"])
        container = None
        if isinstance(program, Module):
            command = [sys.executable, "-m", program.module]
        elif isinstance(program, Image):
            command, container = [program.reference], images.Container(self._run, run)
            images.fetch(program.reference, run=run, log=log)
        else:
            folder, uv = own.var.resolve() / "connectors", own.runner.root / "uv" / "bin" / "uv"
            command = [str(executable(program.package, program.version, folder=folder, uv=uv, run=run, log=log))]
        given = {key: value for key, value in configuration.items() if key != "sourceType"}
        is_ours, files = isinstance(program, Module), own.connector_files
        return Connector(command, given, is_ours=is_ours, run=run, folder=files, log=log, container=container)

    def schema(self, source_type: str) -> dict[str, Any]:
        """JSON schema of a connector's configuration, without sourceType."""
        program = find(self._settings.airbyte.connectors, source_type)
        if program not in self._specs:
            spec = self._run_command({"sourceType": source_type}, lambda connector: connector.spec())
            self._specs[program] = spec.connectionSpecification
        return self._specs[program]

    def check(self, configuration: dict[str, Any]) -> str | None:
        """Explain why a source cannot be read, or return None if it can."""
        return self._run_command(configuration, lambda connector: connector.check())

    def streams(self, configuration: dict[str, Any]) -> list[AirbyteStream]:
        """The streams that a source offers."""
        return self._run_command(configuration, lambda connector: connector.discover()).streams

    def close(self) -> None:
        """End the connectors that run a command."""
        with self._lock:
            for connector in self._active:
                connector.stop()

    def _run_command(self, configuration: dict[str, Any], command: Callable[[Connector], T]) -> T:
        connector, limit = self.connector(configuration, run=f"{self._run}/{uuid.uuid4()}", log=log), threading.Event()
        with self._lock:
            self._active.add(connector)
        timer = threading.Timer(self._settings.airbyte.check_timeout, lambda: (limit.set(), connector.stop()))
        timer.daemon = True
        timer.start()
        try:
            return command(connector)
        except ConnectorError as error:
            if not limit.is_set():
                raise
            seconds = self._settings.airbyte.check_timeout
            name = configuration["sourceType"]
            raise ConnectorError(f"{name} did not answer within airbyte.check_timeout, {seconds} s") from error
        finally:
            timer.cancel()
            with self._lock:
                self._active.discard(connector)
