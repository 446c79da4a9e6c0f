"""`make doctor PLACE=compose`: checks of what `docker compose up` needs."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from stack import places
from stack.checks import Check, amount, describe, holder_of, is_taken, ports_check, show_all
from stack.compose.checks import AGAIN, BUILD, DISK, LAYOUT_FILE, MEMORY, cluster_problem, layout_problem
from stack.compose.engine import compose, docker, engine, finished
from stack.compose.settings import (
    SOURCE,
    Environment,
    configs_of,
    environment_of,
    images_of_tasks,
    require_engine,
)
from stack.settings import ROOT, ConfigError, require

BASES = ("python:3.11-slim-bookworm", "postgres:17")
SERVICES = ("airflow", "mlflow", "airbyte", "docs")
# What a task of the scheduler can do with the engine's socket: prints its group, then OK if the engine answers.
SOCKET = "/var/run/docker.sock"
PROBE = f"""
import os, socket
print(os.stat("{SOCKET}").st_gid, flush=True)
engine = socket.socket(socket.AF_UNIX)
engine.connect("{SOCKET}")
engine.sendall(b"GET /_ping HTTP/1.0\\r\\nHost: docker\\r\\n\\r\\n")
print(engine.makefile().read()[-2:])
"""
CLOSED = "`make images`; see docs/closed-networks.md for machines without a registry or a package index"


@dataclass(frozen=True)
class Project:
    """The container stack: its settings, docker-compose.yml with these filled in, and the engine's `docker info`."""

    environment: Environment
    config: dict[str, Any]
    engine: dict[str, Any]

    @property
    def published(self) -> dict[str, int]:
        """The port on this machine by the service that is reached there."""
        ports = {str(each["published"]) for each in self._each("ports")}
        wanted = {name: getattr(self.environment, f"{name}_port") for name in SERVICES}
        return {name: port for name, port in wanted.items() if str(port) in ports}

    @property
    def mounted(self) -> dict[str, Path]:
        """What is mounted of this machine, by where containers have it."""
        mounts = (each for each in self._each("volumes") if each["type"] == "bind")
        return {each["target"]: Path(each["source"]) for each in mounts}

    @property
    def images(self) -> list[str]:
        """The images that the services need."""
        return sorted({service["image"] for service in self.config["services"].values()})

    def volume(self, name: str) -> str | None:
        """Docker's name of a volume; None: it is not there."""
        known = self.config["volumes"][name]["name"]
        return known if docker("volume", "inspect", known).returncode == 0 else None

    def _each(self, key: str) -> Iterator[dict[str, Any]]:
        for service in self.config["services"].values():
            yield from service.get(key, [])


def code(project: Project) -> Check:
    """Check that the containers' user may read the mounted folders of the repository."""
    folders = [path for path in project.mounted.values() if path.is_relative_to(ROOT) and path != ROOT]
    for path in (*folders, ROOT / ".env"):
        if path != project.mounted.get(SOURCE) and (closed := closed_to_others(path)):
            name = closed.relative_to(ROOT)
            remedy = f"`chmod -R a+rX {name}`"
            return Check("code", "fail", f"{name} cannot be read by the containers' user", remedy)
    return Check("code", "ok", "the containers' user may read the mounted folders")


def source(project: Project) -> Check:
    """Check that the source's folder holds its files and that containers can read them."""
    if project.environment.source_url:
        return Check("source", "ok", f"{project.environment.source_url.host}; the first run connects to it")
    folder = project.mounted[SOURCE]
    configs = configs_of(project.environment).values()
    files = list(dict.fromkeys(source["file"] for config in configs for source in config["sources"].values()))
    remedy = f"set SOURCE_FOLDER in .env to the folder of {' and '.join(files)}"
    if not folder.is_dir():
        return Check("source", "fail", f"SOURCE_FOLDER: {folder} is not a folder", remedy)
    if lacking := list(dict.fromkeys(name for config in configs for name in places.lacking(config, folder))):
        return Check("source", "fail", f"SOURCE_FOLDER: {folder} has no {' and no '.join(lacking)}", remedy)
    if closed := closed_to_others(folder):
        found = f"SOURCE_FOLDER: {closed} cannot be read by the containers' user"
        return Check("source", "fail", found, f"`chmod -R a+rX {closed}`")
    return Check("source", "ok", f"{folder} holds {' and '.join(files)}")


def ports(project: Project) -> Check:
    """Check that every port is free or used by this project's containers."""
    label = f"label=com.docker.compose.project={project.config['name']}"
    listed = docker("ps", "--filter", label, "--format", "{{.Ports}}").stdout
    own = {int(port) for port in re.findall(r":(\d+)->", listed)}
    known = project.published
    strange = {name: _who(port) for name, port in known.items() if port not in own and is_taken(port)}
    return ports_check(known, strange, in_use=bool(own), setting=lambda name: f"{name.upper()}_PORT", file=".env")


def memory(project: Project) -> Check:
    """Check that Docker has enough memory for all services and a run."""
    remedy = "give Docker more, or use external services (.env.example)"
    return amount("memory", project.engine["MemTotal"], MEMORY, " GB", "for Docker", remedy)


def disk(project: Project) -> Check:
    """Check that Docker's disk has room, also for images that must be built."""
    root = Path(project.engine["DockerRootDir"])
    if not root.exists():
        return Check("disk", "ok", f"{root} is on another machine, such as Docker Desktop's; see `docker system df`")
    bounds = (BUILD, BUILD) if _lacking(project.images) else DISK
    remedy = f"free some space on the disk of {root}; `docker system df` shows what Docker uses"
    return amount("disk", shutil.disk_usage(root).free, bounds, " GB", "free", remedy)


def images(project: Project) -> Check:
    """Check that the images exist, or that they can be built."""
    lacking = _lacking(project.images)
    if not lacking:
        return Check("images", "ok", f"all {len(project.images)} exist")
    found = f"missing: {', '.join(lacking)}"
    for base in _lacking(BASES):
        if docker("manifest", "inspect", base).returncode != 0:
            return Check("images", "fail", f"{found}; {base} is missing too, and no registry has it", CLOSED)
    if not index_answers():
        return Check("images", "fail", f"{found}; and no package index answers", CLOSED)
    return Check("images", "warn", found, "`make images`, or let `docker compose up` build them (some minutes)")


def volumes(project: Project) -> Check:
    """Check that this version can use the existing volumes."""
    if problem := _cluster_problem(project) or _layout_problem(project):
        found, _, remedy = problem.partition(": ")
        return Check("volumes", "fail", found, remedy)
    there = [name for name in ("postgres", "var", "secrets") if project.volume(name)]
    return Check("volumes", "ok", f"{', '.join(there)}: usable by this version" if there else "none yet")


def tasks(project: Project) -> Check:
    """Check that tasks that run in containers of their own have their image, and the scheduler an engine for them."""
    wanted = images_of_tasks(next(iter(configs_of(project.environment).values())))
    given, group = project.environment.docker_socket, project.environment.docker_group
    if not given:
        return Check("tasks", "ok", "run in the scheduler's container")
    if not wanted:
        found = "DOCKER_SOCKET in .env gives the scheduler root's rights on this machine, and no task needs them"
        return Check("tasks", "warn", found, "delete it, or set runner.type in config/places/compose.yaml to docker")
    if own := [image for image in _lacking(wanted) if "/" not in image]:
        return Check("tasks", "fail", f"there is no image {', '.join(own)}", "`make images`")
    mount = f"--mount=type=bind,source={given},target={SOCKET},readonly"
    words = ("run", "--rm", "--network=none", mount, f"--group-add={group}", "--entrypoint=python3")
    image = project.config["services"]["init"]["image"]
    if _lacking([image]):
        return Check("tasks", "warn", f"without the image {image}, DOCKER_SOCKET cannot be tried", "`make images`")
    done = docker(*words, image, "-c", PROBE)
    number, _, answer = done.stdout.strip().partition("\n")
    if answer == "OK":
        return Check("tasks", "ok", f"run in containers of their own, from {', '.join(sorted(wanted))}")
    if not number:
        reason = (done.stderr.strip().splitlines() or ["it does not answer"])[-1]
        return Check("tasks", "fail", f"DOCKER_SOCKET: {given}: {reason}", "set it to the engine's socket in .env")
    if "PermissionError" in done.stderr:
        return Check("tasks", "fail", f"group {group} may not use {given}", f"set DOCKER_GROUP={number} in .env")
    return Check("tasks", "fail", f"DOCKER_SOCKET: no Docker engine answers at {given}", "set it in .env")


FULL: tuple[Callable[[Project], Check], ...] = (code, source, ports, memory, disk, images, volumes, tasks)


def look(console: Console, *, place: str, var: Path, config: Path | None) -> bool:
    """Print the results of all checks; returns whether the stack could start. Only `console` is used here."""
    return show_all(checks(), "docker compose up", console)


def checks() -> Iterator[Check]:
    """The results, up to a failure that makes the other checks impossible."""
    answer, facts = engine()
    yield answer
    found = compose() if shutil.which("docker") else None
    if found:
        yield found
    remedy = "fix it; .env.example explains each setting of .env; then the other checks can run"
    try:
        environment = environment_of(ROOT / ".env", os.environ)
        for config in configs_of(environment).values():
            require(config, "config/")
            require_engine(config, environment)
    except ConfigError as error:
        yield Check("settings", "fail", str(error), remedy)
        return
    if not found or found.state == "fail":
        return
    done = docker("compose", "config", "--format", "json")
    if done.returncode:
        yield Check("settings", "fail", f"Compose: {done.stderr.strip()}", remedy)
        return
    yield Check("settings", "ok", ".env and config/ hold no unknown and no impossible setting")
    if facts:
        project = Project(environment, json.loads(done.stdout), facts)
        yield from (check(project) for check in FULL)


def closed_to_others(path: Path) -> Path | None:
    """The first file of a folder that not every user may read; None: all are readable."""
    for each in (path, *sorted(path.rglob("*"))):
        needed = 0o005 if each.is_dir() else 0o004
        # A link has no permissions of its own, and its target may not exist.
        if each.exists() and each.stat().st_mode & needed != needed:
            return each
    return None


def index_answers() -> bool:
    """Whether the package index that pip uses here answers."""
    asked = finished("python3", "-m", "pip", "--retries", "0", "--timeout", "10", "index", "versions", "uv")
    return asked.returncode == 0


def _cluster_problem(project: Project) -> str:
    if project.environment.postgres_host:
        return ""
    told = _inside(project, "postgres", "postgres", "postgres --version; cat /volume/PG_VERSION", "--user=postgres")
    versions = re.fullmatch(r".*\(PostgreSQL\) (\d+).*\n(\d+)", told)
    if versions and versions[2] == versions[1] and not project.volume("secrets"):
        gone = "the volume `secrets` is gone, and with it the password of the volume `postgres`"
        return f"{gone}: with a backup {AGAIN}; without one see docs/compose.md"
    return cluster_problem(versions[2], versions[1]) if versions else ""


def _layout_problem(project: Project) -> str:
    told = _inside(project, "init", "var", f"cat /volume/{LAYOUT_FILE}")
    # None yet: the next start gives it one.
    return layout_problem(told) if told else ""


def _inside(project: Project, service: str, name: str, line: str, *options: str) -> str:
    """What a line of shell prints in a service's image that sees a volume; empty where one of them is not there."""
    image, volume = project.config["services"][service]["image"], project.volume(name)
    if not volume or _lacking([image]):
        return ""
    mount = f"--mount=type=volume,source={volume},target=/volume,readonly"
    done = docker("run", "--rm", "--network=none", mount, *options, "--entrypoint=sh", image, "-c", line)
    return done.stdout.strip()


def _lacking(wanted: Iterable[str]) -> list[str]:
    return [image for image in wanted if docker("image", "inspect", image).returncode != 0]


def _who(port: int) -> str:
    """Who has a port: a container by its name, or a process."""
    if container := docker("ps", "--filter", f"publish={port}", "--format", "{{.Names}}").stdout.strip():
        return f"container {container}"
    return describe(holder_of(port))
