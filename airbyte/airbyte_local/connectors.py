"""Source connectors by their sourceType: made ready to run, and asked what they have to say."""

import logging
import sys
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from airbyte_protocol.models import AirbyteCatalog, AirbyteStream

from airbyte_local import images
from airbyte_local.connector import Connector, ConnectorError, end_orphans
from airbyte_local.environments import executable
from airbyte_local.registry import Image, Module, Program, RegistryError, find, has_images
from airbyte_local.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")


class Connectors:
    """The connectors of this service, and those that are asked at the moment."""

    def __init__(self, settings: Settings, folder: Path):
        """End what a former process of this service asked, and all of its containers.

        Args:
            settings: of the service.
            folder: where files for connectors live while they run.
        """
        self._settings = settings
        self._folder = folder
        warehouse = settings.warehouse
        # What the marks of connectors begin with that are asked by the service of this database.
        self._run = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{warehouse.host}:{warehouse.port}/{warehouse.database}"))
        self._asked: set[Connector] = set()
        self._lock = threading.Lock()
        self._specs: dict[Program, dict[str, Any]] = {}
        end_orphans(self._run)
        with suppress(RegistryError):  # it is told to those who need a connector
            if has_images(settings.airbyte.connectors):
                images.end_orphans(self._run)

    def connector(self, configuration: dict[str, Any], *, run: str, log: logging.Logger) -> Connector:
        """A connector that has not been started; a package is installed and an image pulled first, if it has to be.

        Args:
            configuration: with sourceType, which names the connector.
            run: id that marks every process that it starts.
            log: takes what it says.

        Raises:
            RegistryError: there is no connector of this name.
            ConnectorInstallError: it cannot be installed.
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
        return Connector(
            command,
            given,
            is_ours=isinstance(program, Module),
            run=run,
            folder=self._folder,
            log=log,
            container=container,
        )

    def schema(self, source_type: str) -> dict[str, Any]:
        """JSON schema of a connector's configuration, without sourceType.

        Raises:
            RegistryError: there is no connector of this name.
            ConnectorInstallError: it cannot be installed.
            ConnectorError: it failed or did not say.
        """
        program = find(self._settings.airbyte.connectors, source_type)
        if program not in self._specs:
            spec = self._ask({"sourceType": source_type}, lambda connector: connector.spec())
            self._specs[program] = spec.connectionSpecification
        return self._specs[program]

    def check(self, configuration: dict[str, Any]) -> str | None:
        """Why a source cannot be read; None: it can.

        Raises:
            RegistryError: there is no connector of this name.
            ConnectorInstallError: it cannot be installed.
            ConnectorError: it failed or did not say.
        """
        return self._ask(configuration, lambda connector: connector.check())

    def streams(self, configuration: dict[str, Any]) -> list[AirbyteStream]:
        """The streams that a source offers.

        Raises:
            RegistryError: there is no connector of this name.
            ConnectorInstallError: it cannot be installed.
            ConnectorError: it failed or did not say.
        """
        catalog: AirbyteCatalog = self._ask(configuration, lambda connector: connector.discover())
        return catalog.streams

    def close(self) -> None:
        """End those that are asked at the moment."""
        with self._lock:
            for connector in self._asked:
                connector.stop()

    def _ask(self, configuration: dict[str, Any], question: Callable[[Connector], T]) -> T:
        connector, limit = self.connector(configuration, run=f"{self._run}/{uuid.uuid4()}", log=log), threading.Event()
        with self._lock:
            self._asked.add(connector)
        timer = threading.Timer(self._settings.airbyte.check_timeout, lambda: (limit.set(), connector.stop()))
        timer.daemon = True
        timer.start()
        try:
            return question(connector)
        except ConnectorError as error:
            if not limit.is_set():
                raise
            seconds = self._settings.airbyte.check_timeout
            name = configuration["sourceType"]
            raise ConnectorError(f"{name} did not answer within airbyte.check_timeout, {seconds} s") from error
        finally:
            timer.cancel()
            with self._lock:
                self._asked.discard(connector)
