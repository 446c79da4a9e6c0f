"""What is deployed to an environment, whether the environment still has it, and how it differs from a bundle."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from deploy import files
from deploy import manifest as manifests
from deploy.environment import KINDS
from deploy.lock import Lock
from deploy.manifest import Manifest
from deploy.session import Session

# Names that a line lists.
_SHOWN = 5


def lines(session: Session, folder: Path) -> Iterator[str]:
    """The status in lines, of a session that knows what is kept; `folder` is the bundle of this checkout."""
    environment, kept = session.environment, session.kept
    image = environment.facts["config"].get("softwareConfig", {}).get("imageVersion", "unknown")
    yield f"environment  {session.target.name}: {environment.state}, {image}"
    yield f"Airflow      {environment.airflow}"
    yield from _lock(session)
    if not kept.pointer.history:
        yield "deployed     nothing"
        return
    now, *before = kept.pointer.history
    yield f"deployed     {now['id']}, at {now['at']} by {now['by']}"
    for each in before:
        yield f"before       {each['id']}, at {each['at']} by {each['by']}"
    deployed = kept.manifest(now["id"])
    yield from (f"changed there  {each}" for each in _drift(session, deployed) or ["nothing"])
    own = manifests.read(folder / manifests.NAME)
    told = [f"nothing differs ({own.id})"] if own == deployed else [f"its bundle is {own.id}"]
    yield from (f"this checkout  {each}" for each in [*told, *differences(deployed, own)])


def differences(one: Manifest, other: Manifest) -> Iterator[str]:
    """What a second manifest has, has not, or has otherwise, in words."""
    for name in ("place", "schema_version"):
        if getattr(one, name) != getattr(other, name):
            yield f"{name}: {getattr(one, name)} is deployed, here is {getattr(other, name)}"
    for kind in ("files", *KINDS, "images"):
        yield from _compared(kind.replace("_", " "), getattr(one, kind), getattr(other, kind))


def _compared(what: str, there: Mapping, here: Mapping) -> Iterator[str]:
    groups = {
        "new": here.keys() - there.keys(),
        "other": {name for name in here.keys() & there.keys() if here[name] != there[name]},
        "gone": there.keys() - here.keys(),
    }
    for verb, names in groups.items():
        if names:
            ordered = sorted(names)
            more = f", and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
            yield f"{what}, {verb}: {', '.join(ordered[:_SHOWN])}{more}"


def _drift(session: Session, deployed: Manifest) -> list[str]:
    """What somebody else has changed in the environment since."""
    objects = session.bucket.objects([files.place(deployed.id), *files.folders([deployed])])
    live = {path: objects[path].md5 for path in deployed.files if path in objects}
    found = list(_compared("files", files.stored(objects, deployed), live))
    for kind in KINDS:
        wanted, has = getattr(deployed, kind), session.environment.has(kind)
        found += _compared(kind.replace("_", " "), wanted, {name: has[name] for name in wanted if name in has})
    return found


def _lock(session: Session) -> Iterator[str]:
    if not (found := Lock.read(session.bucket)):
        return
    content, _ = found
    until = datetime.fromtimestamp(content.expires, UTC)
    is_live = until > datetime.now(UTC)
    yield f"lock         {content.owner}, {f'until {until:%H:%M:%S} UTC' if is_live else 'which is over'}"
    if left := content.deploying:
        verb = "putting back" if left.is_undoing else "deploying"
        end = "" if is_live else ": it did not end; `make deploy` goes on, `make deploy-rollback` undoes it"
        yield f"             {verb} {left.to}, at: {left.step}{end}"
