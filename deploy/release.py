"""Puts a manifest into an environment, whatever is there: a deploy, a rollback, and the way back after a failure."""

import getpass
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.markup import escape

from deploy import files, images, secrets
from deploy import manifest as manifests
from deploy.airflow import suffixes, suffixes_of
from deploy.bucket import APPLIED, POINTER, STORE, Object, Pointer, md5
from deploy.declaration import Declared, declared
from deploy.environment import KINDS
from deploy.gcloud import GcloudError, TokenError
from deploy.lock import LockError
from deploy.manifest import Manifest
from deploy.session import Progress, Session
from deploy.settings import SAMPLE, UNKNOWN
from stack.cli.common import FAILURES
from stack.errors import StackError

# Where the smoke run finds the sample in the bucket.
SMOKE_SOURCE = "data/smoke"


@dataclass(frozen=True)
class Ready:
    """What a deploy needs beside a bundle: the declaration of Airbyte, and the secrets that the caller gives."""

    airbyte: Declared
    secrets: dict[str, str]


def ready(session: Session) -> Ready:
    """Check what can be checked before an image is built, and collect what a deploy needs.

    Raises:
        StackError, DeclarationError, …: something is missing or wrong.
    """
    target = session.target
    session.check_state()
    session.check_lock()
    airbyte = declared(target, target.deploy.smoke.source or session.bucket.url(SMOKE_SOURCE))
    values = secrets.require(target, secrets.Secrets(session.gcloud))
    session.airflow.check(suffixes(target.configs))
    return Ready(airbyte, values)


def deploy(session: Session, folder: Path, needs: Ready) -> None:
    """Deploy a bundle.

    Raises:
        StackError, AirbyteError, …: a step failed; the message says whether what was deployed before is back.
        KeyboardInterrupt: the next call takes up what was begun.
    """
    target, wanted = session.target, manifests.read(folder / manifests.NAME)
    if wanted.place != target.place:
        remedy = f"make composer-bundle PLACE={target.place}"
        raise StackError(f"{folder} is the bundle of {wanted.place}, not of {target.place}: {remedy}")
    if UNKNOWN in wanted.images.values() and not session.gcloud.is_dry:
        raise StackError(f"{folder} has no image yet: deploy without a bundle, which pushes it and makes one")
    hashes = files.verified(folder, wanted)
    images.check(wanted.images.values(), session.gcloud, "push it, or set runner.image to one that is there")
    with _told(session), session:
        plan = session.plan(wanted.id)
        try:
            objects = _objects(session, wanted)
            _check_others(session, wanted, files.lacking(objects, hashes), objects)
            _store(session, wanted, folder, hashes, objects)
            _update(session, wanted)
            ids = _apply_airbyte(session, needs.airbyte)
            _put_secrets(session, needs.secrets | ids)
            since = _switch(session, wanted, hashes, objects)
            if session.is_changed or session.left or session.kept.pointer.current != wanted.id:
                session.begin("import of the DAGs and smoke run", touches=True)
                if not session.gcloud.is_dry:
                    _try_out(session, wanted, folder, since, f"{wanted.id}__{plan.started}")
                _point(session, _ahead(session.kept.pointer, wanted.id))
        except (LockError, TokenError) as error:
            raise _left(session, error) from None
        except FAILURES as error:
            _put_back(session, wanted, error)
        _forget_old(session)
        session.end()


def rollback(session: Session, to: str | None) -> None:
    """Put an earlier manifest in place of the current one: files, packages, options and variables.

    Args:
        session: of the environment.
        to: id of the manifest; None: the one before.

    Raises:
        StackError: there is none, or a step failed; the next call goes on.
    """
    session.check_state()
    with _told(session), session:
        wanted = _before(session, to)
        images.check(wanted.images.values(), session.gcloud, "deploy again from its commit, or give another TO=…")
        session.plan(wanted.id, is_undoing=True)
        try:
            _restore(session, wanted)
            if wanted.files:
                _point(session, _back(session.kept.pointer, wanted.id))
        except FAILURES as error:
            raise _left(session, error) from None
        _forget_old(session)
        session.end()


def _before(session: Session, to: str | None) -> Manifest:
    """The manifest that a rollback puts in place; one that did not end goes on, and a deploy that did not is undone."""
    kept, left, nothing = session.kept, session.left, _nothing(session.target.place)
    if to is None and not left and len(kept.pointer.history) < 2:
        raise StackError("there is no manifest before the current one: give TO=…, or deploy")
    name = to or (left.to if left and left.is_undoing else None)
    name = name or (kept.pointer.current or nothing.id if left else kept.pointer.history[1]["id"])
    return nothing if name == nothing.id else kept.manifest(name)


def _left(session: Session, error: BaseException) -> BaseException:
    """The error of a deploy or rollback that stops halfway, with how to go on."""
    if not session.is_touched:
        return error
    place = f"PLACE={session.target.place}"
    again = f"`make deploy {place}` goes on with this checkout, `make deploy-rollback {place}` goes back"
    return StackError(f"{error}; nothing was put back: {again}")


def _restore(session: Session, wanted: Manifest) -> None:
    """Make files and settings those of a manifest that was deployed before; waits for the import of its DAGs."""
    objects = _objects(session, wanted)
    hashes = files.stored(objects, wanted)
    _check_others(session, wanted, files.lacking(objects, hashes), objects)
    _update(session, wanted)
    since = _switch(session, wanted, hashes, objects)
    if not session.gcloud.is_dry and wanted.files:
        root = files.place(wanted.id)
        _wait_for_import(session, wanted, since, lambda path: session.bucket.text(f"{root}/{path}"))


def _put_back(session: Session, failed: Manifest, error: BaseException) -> None:
    """Undo a deploy that failed, and raise its error with how that went."""
    current = session.kept.pointer.current
    if not session.is_touched:
        session.end()
        raise StackError(f"{error}; nothing that runs was changed") from error
    session.console.print(f"[red]{failed.id} failed[/]: {escape(' '.join(str(error).split()))}", highlight=False)
    session.kept.manifests[failed.id] = failed
    name = current or "nothing, as before the first deploy,"
    try:
        former = session.kept.manifest(current) if current else _nothing(failed.place)
        session.plan(former.id, is_undoing=True)
        session.settle(None)
        _restore(session, former)
        if session.bucket.kept().pointer != session.kept.pointer:
            # The answer to the last write was lost.
            _point(session, session.kept.pointer)
    except FAILURES as second:
        again = "`make deploy` or `make deploy-rollback` goes on"
        raise StackError(f"{error}; and {name} could not be put back: {second}: {again}") from second
    session.end()
    raise StackError(f"{error}; {name} is deployed again") from error


def _objects(session: Session, wanted: Manifest) -> dict[str, Object]:
    """The objects of the bucket that a deploy compares with."""
    running = files.folders([*session.owned(wanted), wanted])
    return session.bucket.objects([files.place(wanted.id), SMOKE_SOURCE, *running])


def _check_others(session: Session, wanted: Manifest, changed: list[str], objects: dict[str, Object]) -> None:
    """Raise a StackError if a deploy would replace what somebody else has put into the environment."""
    own = {path for each in session.former for path in each.files}
    found = [session.bucket.url(path) for path in changed if path in objects and path not in own]
    for kind, (words, _) in KINDS.items():
        own = {name for each in session.former for name in getattr(each, kind)}
        values, has = getattr(wanted, kind), session.environment.has(kind)
        found += [f"{name} ({words})" for name in values.keys() & has.keys() - own if values[name] != has[name]]
    if found:
        raise StackError(
            f"the environment has {_some(sorted(found))}, which no deploy has put there, and this one would replace:"
            " remove that there, or leave it out here"
        )


def _store(
    session: Session, wanted: Manifest, folder: Path, hashes: dict[str, str], objects: dict[str, Object]
) -> None:
    """Upload what the bucket does not have, and compare the hashes of what arrived."""
    sample = {} if session.target.deploy.smoke.source else _sample()
    root = files.place(wanted.id)
    uploads = {root: (folder, hashes), SMOKE_SOURCE: (SAMPLE, sample)}
    lacking = [path for path, (_, wants) in uploads.items() if files.lacking(objects, wants, path)]
    if lacking:
        session.begin(f"upload to {', '.join(map(session.bucket.url, lacking))}", touches=False)
        for path in lacking:
            session.bucket.upload(uploads[path][0], path)
        arrived = {} if session.gcloud.is_dry else session.bucket.objects(lacking)
        bad = [f"{path}/{name}" for path in lacking for name in files.lacking(arrived, uploads[path][1], path)]
        if bad and not session.gcloud.is_dry:
            raise StackError(f"{session.bucket.url(bad[0])} did not arrive as it was sent: run again")
    if wanted.id not in session.kept.manifests:
        session.bucket.put(f"{STORE}/{wanted.id}.json", wanted.text)
        session.kept.manifests[wanted.id] = wanted


def _update(session: Session, wanted: Manifest) -> None:
    """Set packages, options and variables, one kind after the other."""
    owned = session.owned(wanted)
    for kind, (words, _) in KINDS.items():
        ours = {name for each in owned for name in getattr(each, kind)}
        changed, removed = session.environment.difference(kind, getattr(wanted, kind), ours)
        if not changed and not removed:
            continue
        session.begin(f"{words}: {', '.join([*changed, *(f'without {each}' for each in removed)])}", touches=True)
        if operation := session.environment.update(kind, changed, removed):
            session.wait(operation, f"the update of the {words}")


def _apply_airbyte(session: Session, airbyte: Declared) -> dict[str, str]:
    """Apply the declaration; returns the secrets by which Airflow finds Airbyte and its connections."""
    with TemporaryDirectory() as name:
        digests = Path(name) / "applied.json"
        digests.write_text(json.dumps(session.kept.applied))
        if changes := airbyte.changes(digests):
            session.begin(f"Airbyte: {', '.join(changes)}", touches=True)
        if session.gcloud.is_dry:
            return {}
        _, ids = airbyte.apply(digests)
        if (applied := json.loads(digests.read_text())) != session.kept.applied:
            session.bucket.put(APPLIED, {"kind": "airbyte", "applied": applied})
    return {
        f"{secrets.CONNECTION}airbyte_default": airbyte.connection,
        f"{secrets.VARIABLE}airbyte_connections": json.dumps(ids, sort_keys=True),
    }


def _put_secrets(session: Session, values: dict[str, str]) -> None:
    """Store the values of connections and variables that differ."""
    store = secrets.Secrets(session.gcloud)
    stored = store.stored(values)
    changed = [name for name in values if stored[name] != values[name]]
    if changed:
        session.begin(f"secrets: {', '.join(changed)}", touches=True)
    for name in changed:
        store.put(name, values[name])


def _switch(session: Session, wanted: Manifest, hashes: dict[str, str], objects: dict[str, Object]) -> datetime:
    """Make the files that run those of a manifest, and delete other ones of ours; returns when the last changed."""
    owned = session.owned(wanted)
    changed = files.lacking(objects, hashes)
    gone = sorted(({path for each in owned for path in each.files} - wanted.files.keys()) & objects.keys())
    if changed or gone:
        told = [f"{len(names)} {what}: {_some(names)}" for what, names in (("files", changed), ("less", gone)) if names]
        session.begin("; ".join(told), touches=True)
        files.switch(session.bucket, wanted, changed)
        session.bucket.delete(gone)
    if changed and not session.gcloud.is_dry:
        objects = session.bucket.objects(files.folders([wanted]))
        if bad := files.lacking(objects, hashes):
            raise StackError(f"{session.bucket.url(bad[0])} is not what was copied there: does anybody else write it?")
    last = _last(objects, wanted)
    if gone and not session.gcloud.is_dry:
        # By the bucket's clock: what was noted before the deletion.
        last = max(last, session.noted())
    return last


def _try_out(session: Session, wanted: Manifest, folder: Path, since: datetime, number: str) -> None:
    """Wait until Airflow has read the DAGs of a bundle in a folder, and run their smoke runs."""

    def content(path: str) -> str:
        return (folder / path).read_text(encoding="utf-8")

    _wait_for_import(session, wanted, since, content)
    applications = suffixes_of(wanted, content)
    session.airflow.check(applications)
    with Progress(session.console) as progress:
        session.airflow.smoke(applications, number, session.target.deploy.smoke.timeout, progress)


def _wait_for_import(session: Session, wanted: Manifest, since: datetime, content: Callable[[str], str]) -> None:
    deploy = session.target.deploy
    since += timedelta(seconds=deploy.sync)
    with Progress(session.console) as progress:
        session.airflow.wait_for_import(wanted, content, since, deploy.import_timeout, progress)


def _point(session: Session, pointer: Pointer) -> None:
    """Name what is deployed."""
    session.check()
    kept = pointer.newest(session.target.deploy.keep)
    session.bucket.put(POINTER, kept.content)
    session.kept = replace(session.kept, pointer=kept)


def _forget_old(session: Session) -> None:
    """Delete the copies of manifests that are not among the last ones."""
    old = session.kept.manifests.keys() - set(session.kept.pointer.ids)
    try:
        if old and (objects := session.bucket.objects([STORE])):
            session.bucket.delete([name for name in objects if name.split("/")[2].removesuffix(".json") in old])
    except GcloudError as error:
        # They only take room, and the next deploy tries again.
        session.console.print(f"  old versions stay in the bucket: {error}", markup=False, highlight=False)


def _ahead(pointer: Pointer, name: str) -> Pointer:
    return pointer.ahead({"id": name, "at": datetime.now(UTC).isoformat(timespec="seconds"), "by": getpass.getuser()})


def _back(pointer: Pointer, name: str) -> Pointer:
    """The pointer after a rollback; one that goes to what an earlier rollback has replaced is like a deploy."""
    return pointer.back(name) if name in [each["id"] for each in pointer.history] else _ahead(pointer, name)


def _nothing(place: str) -> Manifest:
    """What an environment has before the first deploy."""
    return Manifest(place=place, files={}, packages={}, airflow_options={}, environment_variables={}, images={})


def _sample() -> dict[str, str]:
    return {path.name: md5(path.read_bytes()) for path in SAMPLE.iterdir() if path.is_file()}


def _last(objects: dict[str, Object], wanted: Manifest) -> datetime:
    times = [objects[path].updated for path in wanted.files if path in objects]
    return max(times, default=datetime.now(UTC))


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (f", and {len(paths) - 3} more" if len(paths) > 3 else "")


@contextmanager
def _told(session: Session) -> Iterator[None]:
    """Say how to go on when somebody interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        place = f"PLACE={session.target.place}"
        again = f"`make deploy {place}` goes on with this checkout, `make deploy-rollback {place}` goes back"
        session.console.print(f"Interrupted; what was begun runs on in Google's cloud: {again}", highlight=False)
        raise
