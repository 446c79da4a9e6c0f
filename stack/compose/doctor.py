"""`make doctor PLACE=compose`: checks of what `docker compose up` needs."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from stack.checks import Check, amount, describe, holder_of, is_taken, show_all
from stack.compose.checks import AGAIN, BUILD, DISK, LAYOUT_FILE, MEMORY, cluster_problem, layout_problem
from stack.compose.engine import compose, docker, engine, finished
from stack.compose.settings import SOURCE, Environment, environment_of
from stack.settings import ROOT, ConfigError, read

BASES = ("python:3.11-slim-bookworm", "postgres:17")
SERVICES = ("airflow", "mlflow", "airbyte", "docs")
CLOSED = "`make images`; see docs/closed-networks.md for machines without a registry or a package index"


@dataclass(frozen=True)
class Project:
    """The container stack as Compose reads it.

    Attributes:
        environment: what `.env` and the caller's variables say.
        config: docker-compose.yml with the settings filled in.
        engine: what `docker info` tells.
    """

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
    env = [ROOT / ".env"] if (ROOT / ".env").exists() else []
    for path in (*folders, *env):
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
    files = read(ROOT / "config" / "base.yaml")["watch"]["files"]
    remedy = f"set SOURCE_FOLDER in .env to the folder of {' and '.join(files)}"
    if not folder.is_dir():
        return Check("source", "fail", f"SOURCE_FOLDER: {folder} is not a folder", remedy)
    if lacking := [name for name in files if not (folder / name).exists()]:
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
    strange = {name: port for name, port in project.published.items() if port not in own and is_taken(port)}
    if not strange:
        told = ", ".join(f"{name} {port}" for name, port in project.published.items())
        return Check("ports", "ok", f"{told}: {'used by this stack' if own else 'free'}")
    found = "; ".join(f"port {port} of {name} is taken" for name, port in strange.items())
    who = ", ".join(dict.fromkeys(filter(None, map(_who, strange.values()))))
    others = ", ".join(f"{name.upper()}_PORT" for name in strange)
    return Check(
        "ports", "fail", found, f"stop the process that listens there{who and f' ({who})'}, or set {others} in .env"
    )


def memory(project: Project) -> Check:
    """Check that Docker has enough memory for all services and a run."""
    remedy = "give Docker more, or use services elsewhere (.env.example)"
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
    problems = [*_cluster_problems(project), *_layout_problems(project)]
    if problems:
        return Check("volumes", "fail", problems[0][0], problems[0][1])
    there = [name for name in ("postgres", "var", "secrets") if project.volume(name)]
    told = f"{', '.join(there)}: usable by this version" if there else "none yet"
    return Check("volumes", "ok", told)


FULL: tuple[Callable[[Project], Check], ...] = (code, source, ports, memory, disk, images, volumes)


def look(console: Console, *, var: Path, config: Path | None) -> bool:
    """Print the results of all checks; returns whether the stack could start. `var` and `config` are not used here."""
    return show_all(checks(), "docker compose up", console)


def checks() -> Iterator[Check]:
    """The results, up to a failure that makes the other checks impossible."""
    answer, facts = engine()
    yield answer
    found = compose() if shutil.which("docker") else None
    if found:
        yield found
    remedy = "fix it in .env; .env.example explains each setting"
    try:
        environment = environment_of(ROOT / ".env", os.environ)
    except ConfigError as error:
        yield Check("settings", "fail", str(error), f"{remedy}; then the other checks can run")
        return
    if not found or found.state == "fail":
        return
    done = docker("compose", "config", "--format", "json")
    if done.returncode:
        yield Check("settings", "fail", f"Compose: {done.stderr.strip()}", f"{remedy}; then the other checks can run")
        return
    yield Check("settings", "ok", ".env holds no unknown and no impossible setting")
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


def _cluster_problems(project: Project) -> Iterator[tuple[str, str]]:
    volume = project.volume("postgres")
    if project.environment.postgres_host or not volume:
        return
    image = project.config["services"]["postgres"]["image"]
    told = _inside(image, volume, "postgres --version; cat /volume/PG_VERSION", "--user=postgres")
    if versions := re.fullmatch(r".*\(PostgreSQL\) (\d+).*\n(\d+)", told.strip()):
        if problem := cluster_problem(versions[2], versions[1]):
            yield _found_and_remedy(problem)
        elif not project.volume("secrets"):
            remedy = f"with a backup {AGAIN}; without one see docs/compose.md"
            yield "the volume `secrets` is gone, and with it the password of the volume `postgres`", remedy


def _layout_problems(project: Project) -> Iterator[tuple[str, str]]:
    if volume := project.volume("var"):
        image = project.config["services"]["init"]["image"]
        told = _inside(image, volume, f"cat /volume/{LAYOUT_FILE}").strip()
        # None yet: the next start gives it one.
        if told and (problem := layout_problem(told)):
            yield _found_and_remedy(problem)


def _found_and_remedy(problem: str) -> tuple[str, str]:
    found, _, remedy = problem.partition(": ")
    return found, remedy


def _inside(image: str, volume: str, line: str, *options: str) -> str:
    """What a line of shell prints in a container that sees a volume; empty where the image is not there."""
    if _lacking([image]):
        return ""
    mount = f"--mount=type=volume,source={volume},target=/volume,readonly"
    return docker("run", "--rm", "--network=none", mount, *options, "--entrypoint=sh", image, "-c", line).stdout


def _lacking(wanted: tuple[str, ...] | list[str]) -> list[str]:
    return [image for image in wanted if docker("image", "inspect", image).returncode != 0]


def _who(port: int) -> str:
    """Who has a port: a container by its name, or a process."""
    if container := docker("ps", "--filter", f"publish={port}", "--format", "{{.Names}}").stdout.strip():
        return f"container {container}"
    holder: psutil.Process | None = holder_of(port)
    return describe(holder) if holder else ""
