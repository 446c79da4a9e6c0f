"""Packages: our list, an environment's own list, and whether the one can be added to the other."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from deploy import rules
from deploy.gcloud import Gcloud, GcloudError
from deploy.problem import Problem
from stack.errors import StackError
from stack.settings import ENVIRONMENTS, ROOT

# Of Composer 3's images with Airflow 3.
PYTHON = "3.11"
PROVIDER = "airflow-provider-great-expectations"
# gcloud's own remedies are not those of make.
_NO_PROPERTY = re.compile(r"Failed to find attribute \[(project|location)\].* set the property `([\w/]+)`")
_VERSION_OF_AIRFLOW = re.compile(r"-airflow-(\d+\.\d+\.\d+)")
_HEAD = "# Packages of the Composer environment "


def ours(file: Path) -> dict[str, str]:
    """Our list: by canonical name, extras and version as Composer's API takes them.

    Raises:
        StackError: Composer would reject a line, or the list is empty; the message names all problems.
    """
    remedy = "name a list of packages, a file of the repository"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StackError(f"deploy.packages: {file} cannot be read ({error.strerror}): {remedy}") from None
    except UnicodeDecodeError:
        raise StackError(f"deploy.packages: {file} is not text in UTF-8: {remedy}") from None
    if problems := list(rules.packages(lines)):
        raise StackError("\n".join(f"{file}: {problem}" for problem in problems))
    found = [Requirement(line.strip()) for line in lines if line.strip() and not line.strip().startswith("#")]
    return {canonicalize_name(each.name): _tail(each) for each in sorted(found, key=lambda each: each.name)}


def text(packages: dict[str, str]) -> str:
    """The list as the file that gcloud takes."""
    return "".join(f"{name}{tail}\n" for name, tail in sorted(packages.items()))


def _tail(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    # In an order of its own, which is not the file's.
    return extras + ",".join(sorted(map(str, requirement.specifier)))


@dataclass(frozen=True)
class Preinstalled:
    """The packages of an environment.

    Attributes:
        environment: its name and its image.
        versions: by canonical name, without what was added to the image.
        added: names of packages that somebody has added to the environment.
    """

    environment: str
    versions: dict[str, str]
    added: tuple[str, ...] = ()

    @property
    def airflow(self) -> Version | None:
        """The version of Airflow; None: it is not in the list."""
        found = self.versions.get("apache-airflow")
        return Version(Version(found).public) if found else None

    @property
    def text(self) -> str:
        """As a file; the lines are constraints of pip."""
        head = [f"{_HEAD}{self.environment}"]
        head += [f"# Added to it, and left out: {', '.join(self.added)}"] if self.added else []
        return "\n".join([*head, *(f"{name}=={version}" for name, version in sorted(self.versions.items())), ""])

    @classmethod
    def read(cls, file: Path) -> Self:
        """The list in a file.

        Raises:
            StackError: it cannot be read, or has another form.
        """
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise StackError(f"{file} cannot be read ({error.strerror}): `make composer-packages` makes it") from None
        except UnicodeDecodeError:
            raise StackError(f"{file} is not text in UTF-8: `make composer-packages` makes it again") from None
        head = next((line.removeprefix(_HEAD) for line in lines if line.startswith(_HEAD)), str(file))
        versions: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.startswith("#"):
                name, exact, version = line.strip().partition("==")
                if not exact or not _is_version(version):
                    raise StackError(f"{file}: line {number}, {line!r}: write NAME==VERSION")
                versions[canonicalize_name(name)] = version
        return cls(head, versions)


def fetch(gcloud: Gcloud, environment: str, location: str | None) -> Preinstalled:
    """The packages of an environment, asked by gcloud; takes half a minute.

    Args:
        gcloud: of the environment's project.
        environment: its name.
        location: its region; None: gcloud's property composer/location.

    Raises:
        StackError: gcloud is missing or fails, or its answer is not understood.
    """
    where = [environment, *([f"--location={location}"] if location else [])]
    try:
        shown = gcloud.read_json("composer", "environments", "describe", *where)
    except GcloudError as error:
        if not (lacking := _NO_PROPERTY.search(str(error))):
            raise
        name, own = lacking.groups()
        raise StackError(
            f"the {name} of the environment {environment} is not known: give {name.upper()}=…, set deploy.{name} in the"
            f" file of a place and give PLACE=…, or `gcloud config set {own} …`"
        ) from None
    software = shown.get("config", {}).get("softwareConfig", {})
    image = software.get("imageVersion", "")
    if not _VERSION_OF_AIRFLOW.search(image):
        raise StackError(f"gcloud names no image of the environment {environment}, but {image!r}")
    versions = listed(gcloud.read("composer", "environments", "list-packages", *where))
    added = sorted(canonicalize_name(name) for name in software.get("pypiPackages", {}))
    kept = {name: version for name, version in versions.items() if name not in added}
    return Preinstalled(f"{environment}, {image}", kept, tuple(added))


def listed(output: str) -> dict[str, str]:
    """The packages in the output of `pip list`: by canonical name, the version.

    Raises:
        StackError: there are none, or Airflow is not among them.
    """
    found: dict[str, str] = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) >= 2 and _is_version(words[1]):
            found[canonicalize_name(words[0])] = words[1]
    if "apache-airflow" not in found:
        told = output.strip().splitlines()
        raise StackError(f"gcloud's list of packages has no apache-airflow; it begins with {' / '.join(told[:3])!r}")
    return found


def clash(preinstalled: Preinstalled, cap: Requirement) -> Problem | None:
    """Why the Great Expectations provider cannot be added to an environment, if so.

    `cap` is the provider's own requirement of structlog (great-expectations/airflow-provider-great-expectations#242).
    """
    version, airflow = preinstalled.versions.get(cap.name), preinstalled.airflow
    if version is None or cap.specifier.contains(version, prereleases=True):
        return None
    found = f"{preinstalled.environment} has {cap.name} {version} with Airflow {airflow}, and {PROVIDER} needs {cap}"
    if airflow and airflow >= Version("3.3.1"):
        found += ", which no Airflow from 3.3.1 on allows"
    return Problem(found, "use an environment of Airflow 3.1.7 or 3.2.2 whose list has such a version")


def resolve(packages: dict[str, str], preinstalled: Preinstalled) -> dict[str, str]:
    """What would be installed: by name, the version; nothing of the image changes.

    Raises:
        StackError: our list cannot be added to the environment's packages; the message has the resolver's reason.
    """
    with TemporaryDirectory() as folder:
        wanted, fixed = Path(folder, "packages.txt"), Path(folder, "preinstalled.txt")
        wanted.write_text(text(packages), encoding="utf-8")
        fixed.write_text("".join(_constraints(preinstalled)), encoding="utf-8")
        command = [str(ENVIRONMENTS / "uv" / "bin" / "uv"), "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        command += ["--python-version", PYTHON, "--constraints", str(fixed), str(wanted)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        reason = " ".join(done.stderr.replace(f"{folder}/", "").split())
        raise StackError(f"our packages cannot be added to {preinstalled.environment}: {reason}")
    found = (line.partition("==") for line in done.stdout.splitlines() if "==" in line)
    return {canonicalize_name(name): version.split(" ")[0] for name, _, version in found}


def _constraints(preinstalled: Preinstalled) -> Iterator[str]:
    for name, version in sorted(preinstalled.versions.items()):
        # Composer's builds of Airflow have versions such as 3.1.7+composer, which are on no index.
        yield f"{name}=={Version(version).public}\n"


def pinned(packages: dict[str, str], preinstalled: Preinstalled) -> Iterator[Problem]:
    """Packages of our list that would change one of the image."""
    for name, tail in packages.items():
        version = preinstalled.versions.get(canonicalize_name(name))
        allowed = SpecifierSet(tail.partition("]")[2] if tail.startswith("[") else tail)
        if version and not allowed.contains(Version(version).public, prereleases=True):
            found = f"{name}{tail}: {preinstalled.environment} has {version}"
            yield Problem(found, "allow that version, or leave the package out")


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
