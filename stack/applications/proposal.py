"""What the columns are for, as far as their names and values tell, and what a run would refuse today."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.labels import WHITE_SPACE, normal_form
from pipeline.settings import ADDED, MAX_NAME
from stack.applications.files import File
from stack.applications.profile import Column, Profile, text_of
from stack.errors import StackError

LABELS = re.compile(
    r"label|tag|category|class|queue|topic|section|target|intent|sentiment|department|genre|type|y", re.IGNORECASE
)
IDS = re.compile(r"(.*[_ -])?(id|key|uuid|guid|number|no|nr)|.*Id|.*ID", re.IGNORECASE)
# Short texts come first: the model may repeat them.
TITLES = re.compile(r"title|subject|headline|name|summary", re.IGNORECASE)
TEXTS = re.compile(
    r"text|body|description|message|content|comment|review|abstract|question|package|detail", re.IGNORECASE
)
DATES = re.compile(r".*(date|time|created|updated|_at|_on|timestamp|day|when).*", re.IGNORECASE)
# Seconds and milliseconds from 2001 to 2100.
EPOCHS = {"epoch_seconds": (1e9, 4.1e9), "epoch_milliseconds": (1e12, 4.1e12)}
TIMES = ("timestamp", "timestamp_with_time_zone", "date")
SEPARATORS = (";", "|", ",")
# More labels are not listed as the known ones.
KNOWN = 100
SHOWN = 3


@dataclass(frozen=True)
class Roles:
    """Names of columns, as the setting `columns` has them."""

    id: str | None
    texts: list[str]
    label: str
    date: str | None


@dataclass
class Proposal:
    """The settings of an application, and what to tell about them.

    Attributes:
        sources: the files; the first has the texts.
        rows: of each of them.
        roles: what the columns are for.
        types: of the columns that are loaded, by source.
        labels: rows by label as it is written.
        settings: those beside the columns: known, min_freq, rest, separator, several, equal_texts.
        labelled: rows that are published with a label: of the copies of a text only one.
        required: columns that have a value in each row today, beside those that need one anyway.
        refused: what a run would refuse today, each with the rows.
        warnings: what to know.
    """

    sources: list[File]
    rows: list[int]
    roles: Roles
    types: list[dict[str, str]]
    labels: Counter[str] = field(default_factory=Counter)
    settings: dict[str, Any] = field(default_factory=dict)
    labelled: int = 0
    required: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def roles_of(files: Sequence[File], profiles: Sequence[Profile], given: dict[str, Any]) -> tuple[list[int], Roles]:
    """The order of the files, the one with the texts first, and the roles of their columns.

    Args:
        files: one or two.
        profiles: of each.
        given: `id`, `texts`, `label` and `date` that the user has named.

    Raises:
        StackError: a named column is missing, or a role cannot be told; the message says how to name it.
    """
    if empty := [file.name for file, each in zip(files, profiles, strict=True) if not each.rows]:
        raise StackError(f"{empty[0]} has no rows")
    known = {name: column for each in profiles for name, column in each.columns.items()}
    named = [*filter(None, [given.get("id"), given.get("label"), given.get("date")]), *(given.get("texts") or [])]
    if lacking := [name for name in named if name not in known]:
        raise StackError(f"there is no column {lacking[0]!r}: {names(files)} have {', '.join(known)}")
    if odd := [name for name in named if known[name].type is None]:
        raise StackError(
            f"column {odd[0]!r} has lists, objects or values of several types: name another, or rewrite it"
        )
    label = given.get("label") or _label(profiles, set(named))
    if not given.get("label") and label in known[label].values:
        raise StackError(
            f"{label!r} is the name of a column and a value in it: give {names(files)} a first row with the columns' "
            f"names, or say LABEL={label}"
        )
    order = list(range(len(files)))
    if len(files) == 2:
        with_label = [number for number in order if label in profiles[number].columns]
        order = [number for number in order if number not in with_label[:1]] + with_label[:1]
    texts_of = profiles[order[0]]
    taken = {label, *filter(None, [given.get("id"), given.get("date")])}
    texts = given.get("texts") or _texts(texts_of, taken)
    taken |= set(texts)
    key = given.get("id") or _id(profiles, taken)
    if len(files) == 2 and (key is None or any(key not in each.columns for each in profiles)):
        raise StackError(
            f"{files[0].name} and {files[1].name} have no column in common that could be the id of a row: name it, "
            "ID=column, and give it the same name in both files"
        )
    date = given.get("date") or _date(texts_of, taken | {key})
    if date and (date not in texts_of.columns or not _kind_of_date(texts_of.columns[date])):
        raise StackError(
            f"{date!r} is no column of dates in {files[order[0]].name}: ISO 8601, or seconds or milliseconds since "
            "1970 in all rows that have one; correct it, or name another, DATE=column"
        )
    wrong = [name for name in texts if name not in texts_of.columns]
    if wrong:
        raise StackError(f"{wrong[0]!r} is not in {files[order[0]].name}, which has the texts: name others, TEXTS=a,b")
    used = [name for name in (key, label, date, *texts) if name]
    if twice := [name for name in used if used.count(name) > 1]:
        raise StackError(f"{twice[0]!r} has two purposes: name the columns, ID=… TEXTS=… LABEL=… DATE=…")
    if unfit := [name for name in used if '"' in name or len(name.encode()) > MAX_NAME]:
        raise StackError(
            f"{unfit[0]!r} has a double quote or more than {MAX_NAME} bytes: rename the column in the source"
        )
    if reserved := [name for name in used if name.lower() in ADDED]:
        raise StackError(f"{reserved[0]!r} is the name of a column that a run adds: rename it in the source")
    return order, Roles(key, list(texts), label, date)


def propose(files: Sequence[File], profiles: Sequence[Profile], given: dict[str, Any]) -> Proposal:
    """The settings for these files; see `roles_of` for arguments and errors."""
    order, roles = roles_of(files, profiles, given)
    files, profiles = [files[number] for number in order], [profiles[number] for number in order]
    types = [_types(each, roles) for each in profiles]
    if roles.id and len({each[roles.id] for each in types}) > 1:
        # They are compared.
        types = [each | {roles.id: "text"} for each in types]
    found = Proposal(files, [each.rows for each in profiles], roles, types)
    first, labels_of = profiles[0], profiles[-1]
    found.labels = labels_of.columns[roles.label].values
    found.required = [
        name
        for name in types[0]
        if first.columns[name].filled == first.rows and name not in (roles.id, roles.texts[0], roles.label)
    ]
    _settle_labels(found)
    _count_rows(found, profiles)
    _count_texts(found, profiles)
    _warn_about_size(found)
    return found


def _label(profiles: Sequence[Profile], taken: set[str]) -> str:
    found = []
    for profile in profiles:
        for name, column in profile.columns.items():
            repeated = column.filled / column.distinct if column.distinct else 0
            if name in taken or column.type not in ("text", "integer", "boolean") or column.distinct < 2:
                continue
            is_named = bool(LABELS.fullmatch(name) or LABELS.search(name.rsplit("_", 1)[-1]))
            if (repeated >= 2 or (is_named and repeated > 1)) and column.length <= 100 and not IDS.fullmatch(name):
                found.append(((bool(LABELS.fullmatch(name)), is_named, column.type == "text", repeated), name))
    if not found:
        raise StackError("no column looks like a label, with few different values: name it, LABEL=column")
    return max(found)[1]


def _texts(profile: Profile, taken: set[str]) -> list[str]:
    candidates = {
        name: column
        for name, column in profile.columns.items()
        if name not in taken and column.type == "text" and column.filled and not IDS.fullmatch(name)
    }
    found = [
        name
        for name, column in candidates.items()
        if column.distinct >= 0.2 * column.filled
        and (column.words / column.filled >= 2 or (column.length > 5 and _has_no_spaces(column)) or TEXTS.search(name))
    ]
    if not found:
        if not candidates:
            raise StackError("no column looks like a text: name it, TEXTS=column")
        found = [max(candidates, key=lambda name: candidates[name].length)]
    # Titles first, then in the order of the file; the first one must be filled in each row.
    ordered = sorted(found, key=lambda name: (not TITLES.search(name), found.index(name)))
    filled = [name for name in ordered if candidates[name].filled == profile.rows]
    return ordered if not filled else [filled[0], *(name for name in ordered if name != filled[0])]


def _has_no_spaces(column: Column) -> bool:
    """Whether values are of a script that has no spaces between words."""
    return any(unicodedata.category(each) == "Lo" for each in "".join(column.examples()))


def _id(profiles: Sequence[Profile], taken: set[str]) -> str | None:
    common = [name for name in profiles[0].columns if all(name in each.columns for each in profiles)]
    unique = [
        name
        for name in common
        if name not in taken
        and all(each.columns[name].is_unique(each.rows) for each in profiles)
        and profiles[0].columns[name].type in ("text", "integer")
    ]
    named = [name for name in unique if IDS.fullmatch(name)]
    if named or len(profiles) == 1:
        return next(iter(named or [name for name in unique if _looks_like_an_id(name, profiles[0])]), None)
    # A few rows may have none or share one; a run says which.
    return next(iter(unique or [name for name in common if IDS.fullmatch(name)]), None)


def _looks_like_an_id(name: str, profile: Profile) -> bool:
    """Whether a column whose name does not say so has ids: numbers without gaps, or short codes."""
    column = profile.columns[name]
    if any(pattern.search(name) for pattern in (TITLES, TEXTS)) or DATES.fullmatch(name):
        return False
    if column.low is not None and column.high is not None:
        return column.high - column.low + 1 == profile.rows
    return column.length <= 40 and column.words <= profile.rows and not _has_no_spaces(column)


def _date(profile: Profile, taken: set[Any]) -> str | None:
    names = [name for name in profile.columns if name not in taken]
    named = [name for name in names if DATES.fullmatch(name) and _kind_of_date(profile.columns[name])]
    return next(iter(named or [name for name in names if profile.columns[name].type in TIMES]), None)


def _kind_of_date(column: Column) -> str | None:
    """The type of a column of dates, whole numbers being times since 1970; None: it has something else."""
    if column.type == "integer" and column.low is not None and column.high is not None:
        for kind, (low, high) in EPOCHS.items():
            if low <= column.low and column.high <= high:
                return kind
    return column.type if column.type in TIMES else None


def _types(profile: Profile, roles: Roles) -> dict[str, str]:
    """The columns of a file that have a role, with their types."""
    found = {}
    for name, column in profile.columns.items():
        if name == roles.label or name in roles.texts:
            found[name] = "text"
        elif name == roles.id:
            # Digits beyond these do not fit a whole number of a warehouse.
            fits = column.type == "integer" and (column.low or 0) >= -(2**63) and (column.high or 0) < 2**63
            found[name] = "integer" if fits else "text"
        elif name == roles.date:
            found[name] = _kind_of_date(column) or "text"
    return found


def _settle_labels(found: Proposal) -> None:
    """Settings of labels from the labels that are there, and warnings about them."""
    labels = found.labels
    separator = _separator(labels)
    if separator:
        cells = sum(rows for label, rows in labels.items() if separator in label)
        found.warnings.append(
            f"{cells:,} rows have several labels, separated by {separator!r}: the first one counts "
            "(labels.several: first; most_frequent or stop are possible)"
        )
    rows: Counter[str] = Counter()
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for cell, number in labels.items():
        parts = [each for each in (cell.split(separator) if separator else [cell]) if each.strip(WHITE_SPACE)]
        rows[normal_form(parts[0] if parts else cell)] += number
        for label in parts:
            spellings[normal_form(label)][label.strip(WHITE_SPACE)] += number
    for form in [each for each, written in spellings.items() if len(written) > 1][:SHOWN]:
        written = ", ".join(f"{label} ({number:,})" for label, number in spellings[form].most_common())
        found.warnings.append(f"these count as one label: {written}")
    if len(rows) < 2:
        raise StackError(f"column {found.roles.label!r} has one label only: name another one, LABEL=column")
    # Half of the second label's rows, since copies are removed and a later load may have fewer.
    min_freq = max(1, min(10, rows.most_common(2)[1][1] // 2))
    if rare := [label for label, number in rows.items() if number < min_freq]:
        number = sum(rows[label] for label in rare)
        found.warnings.append(
            f"{len(rare):,} labels with fewer than {min_freq} rows each, {number:,} rows together, are one class: "
            f"{', '.join(sorted(rare)[:SHOWN])}{', …' if len(rare) > SHOWN else ''} (labels.min_freq)"
        )
    rest = next(each for each in ("other", "the rest", "(rest)", "none of these") if each not in spellings)
    known = [written.most_common(1)[0][0] for _, written in sorted(spellings.items())]
    found.settings |= {
        "known": known if len(known) <= KNOWN else None,
        "min_freq": min_freq,
        "rest": rest,
        "separator": separator,
        "several": "first" if separator else None,
    }


def _separator(labels: Counter[str]) -> str | None:
    """The text between several labels in one cell: in some cells, whose parts are labels of other cells too."""
    for separator in SEPARATORS:
        cells = [label for label in labels if separator in label.strip(separator)]
        parts = {part.strip() for cell in cells for part in cell.split(separator)}
        alone = {label.strip() for label in labels if separator not in label}
        if cells and len(parts & alone) >= 0.5 * len(parts):
            return separator
    return None


def _count_rows(found: Proposal, profiles: Sequence[Profile]) -> None:
    roles, first = found.roles, profiles[0]
    for file, profile in zip(found.sources, profiles, strict=True):
        if roles.id:
            column = profile.columns[roles.id]
            if lacking := profile.rows - column.filled:
                found.refused.append(f"{file.name}: {lacking:,} rows without {roles.id}")
            if twice := [value for value, rows in column.values.items() if rows > 1]:
                shown = ", ".join(twice[:SHOWN])
                found.refused.append(
                    f"{file.name}: {len(twice):,} values of {roles.id} in several rows, such as {shown}"
                )
    if lacking := first.rows - first.columns[roles.texts[0]].filled:
        found.refused.append(f"{found.sources[0].name}: {lacking:,} rows without {roles.texts[0]}, the first text")
    labels_of = profiles[-1]
    if lacking := labels_of.rows - labels_of.columns[roles.label].filled:
        if len(profiles) > 1:
            found.refused.append(f"{found.sources[-1].name}: {lacking:,} rows without {roles.label}")
        else:
            found.warnings.append(
                f"{lacking:,} rows have no {roles.label}: the model predicts it, and does not learn of them"
            )
    if long := [label for label in found.labels if len(label) > 300]:
        found.refused.append(f"{len(long):,} labels of more than 300 characters, such as {long[0][:40]}…")
    if not roles.id:
        found.warnings.append("no column is an id: the column `id` is made from a hash of the texts")


def _count_texts(found: Proposal, profiles: Sequence[Profile]) -> None:
    """Rows with equal texts, and those with a label, by another look at the rows."""
    roles, twice, conflicts, example = found.roles, 0, 0, ""
    # By which a file of labels is joined.
    key = roles.id if len(profiles) > 1 else None
    ids = profiles[-1].columns[key].values if key else {}
    seen: dict[int, str] = {}
    for row in found.sources[0].rows():
        texts = hash(tuple(text_of(row.get(name)).strip() for name in roles.texts))
        # Of a file of labels, it is enough to know that there is one.
        has_label = key and text_of(row.get(key)) in ids
        label = "any" if has_label else normal_form(text_of(row.get(roles.label)))
        if texts in seen:
            twice += 1
            conflicts += bool(label and seen[texts]) and label != seen[texts]
            example = example or (str(row.get(roles.id)) if roles.id else text_of(row.get(roles.texts[0])).strip()[:40])
        seen[texts] = seen.get(texts) or label
    found.settings["equal_texts"] = "first" if twice else "stop"
    found.labelled = sum(map(bool, seen.values()))
    if twice:
        labelled = f"; {conflicts:,} of them have another label than that one" if conflicts else ""
        found.warnings.append(
            f"{twice:,} rows have the texts of another row, such as {example}: the first of them is kept"
            f"{labelled} (equal_texts: first; all or stop are possible)"
        )
    if key and (lacking := len(ids.keys() - profiles[0].columns[key].values.keys())):
        found.warnings.append(
            f"{lacking:,} of {len(ids):,} ids in {found.sources[-1].name} are not in {found.sources[0].name}: their "
            "labels are not used"
        )
    if found.labelled < 2:
        raise StackError(f"{names(found.sources)} have {found.labelled} rows with texts and a label: load more")


def _warn_about_size(found: Proposal) -> None:
    if found.labelled < 200:
        found.warnings.append(
            f"{found.labelled} rows with a label can show that everything runs; scores of so few rows mean little"
        )


def names(files: Iterable[File]) -> str:
    """Names of files in words."""
    return " and ".join(each.name for each in files)
