"""Labels: the form in which spellings of one label are equal, and which labels are classes of the model."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from tagifai.settings import Labels

# As in dbt_transforms/macros/clean.sql: Unicode's white space, the zero-width space and the byte-order mark.
WHITE_SPACE = (
    "\t\n\u000b\u000c\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
# Names in a sentence; the facts have all.
NAMED = 10


def normal_form(label: str) -> str:
    """The form in which all spellings of a label are equal: NFC, without white space at the ends, case folded."""
    stripped = unicodedata.normalize("NFC", label).strip(WHITE_SPACE)
    return unicodedata.normalize("NFC", stripped.casefold())


class Classes(NamedTuple):
    """The class of each row, and what happened to the labels on the way."""

    of_rows: "pd.Series"
    facts: dict[str, Any]


def classify(cells: "pd.Series", labels: "Labels") -> Classes:
    """Determine the class of each row from its label.

    Labels with one normal form are one class, which is shown in its most frequent spelling, among equals the first in
    alphabetical order. Those that are not in `labels.classes`, or have fewer rows than `labels.min_freq`, are in the
    class `labels.rest`.

    Args:
        cells: what the source has as the label of each row; several, if there is a `labels.separator`.
        labels: the settings.

    Returns:
        The classes in the same order; `absent_classes`: entries of `labels.classes` that no row has; `rare`: the rows
        by label that has fewer than `labels.min_freq`; `spellings`: the rows by spelling of each label that has
        several, by its class; `several`: the rows by cell that has several labels.

    Raises:
        ValueError: a label is that of `labels.rest`, a cell has several labels that are not allowed, or fewer than two
            classes remain; the message names the labels and the remedy.
    """
    rows = cells.value_counts().to_dict()
    parts = {cell: _parts(cell, labels.separator) for cell in rows}
    several = {cell: count for cell, count in rows.items() if len(parts[cell]) > 1}
    if several and labels.several == "stop":
        raise ValueError(
            f"rows with several labels: {named(several)}: set labels.several to first or most_frequent, "
            "or labels.separator to null"
        )
    frequency = Counter[str]()
    for cell, count in rows.items():
        frequency.update(dict.fromkeys(parts[cell], count))
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    form_of = {}
    for cell, count in rows.items():
        # The first of the most frequent ones.
        form = (
            max(parts[cell], key=frequency.__getitem__)
            if labels.several == "most_frequent"
            else next(iter(parts[cell]))
        )
        form_of[cell] = form
        spellings[form][parts[cell][form]] += count
    if normal_form(labels.rest) in spellings:
        raise ValueError(
            f"the source has the label {next(iter(spellings[normal_form(labels.rest)]))!r}, which is the name of the "
            "class of all other labels: rename it in the source, or give labels.rest another name"
        )
    shown = {form: min(found, key=lambda each: (-found[each], each)) for form, found in spellings.items()}
    totals = {form: found.total() for form, found in spellings.items()}
    accepted = None if labels.classes is None else {normal_form(each): each for each in labels.classes}
    candidates = {form: count for form, count in totals.items() if accepted is None or form in accepted}
    classes = {form: shown[form] for form, count in candidates.items() if count >= labels.min_freq}
    if not classes or len(totals) < 2:
        raise ValueError(_too_few(labels, {shown[form]: count for form, count in totals.items()}, candidates))
    return Classes(
        cells.map({cell: classes.get(form, labels.rest) for cell, form in form_of.items()}),
        {
            "absent_classes": [each for form, each in (accepted or {}).items() if form not in totals],
            "rare": {shown[form]: count for form, count in candidates.items() if form not in classes},
            "spellings": {
                shown[form]: dict(found.most_common()) for form, found in spellings.items() if len(found) > 1
            },
            "several": several,
        },
    )


def notes(facts: dict[str, Any]) -> list[str]:
    """A sentence about each thing that a user should know about the labels."""
    told = []
    if facts["absent_classes"]:
        told.append(f"entries of labels.classes that no row has: {', '.join(facts['absent_classes'][:NAMED])}")
    if facts["rare"]:
        told.append(f"labels with fewer rows than labels.min_freq, which are in labels.rest: {named(facts['rare'])}")
    if facts["spellings"]:
        found = [f"{name} ({named(each)})" for name, each in facts["spellings"].items()]
        told.append(f"labels with several spellings, by rows: {'; '.join(found[:NAMED])}{_more(found)}")
    if facts["several"]:
        told.append(f"cells with several labels, of which one counts, by rows: {named(facts['several'])}")
    return told


def named(counts: Mapping[str, int]) -> str:
    """Names with their counts, the largest first: `a 3, b 2`; of many only the first."""
    found = [f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]
    return f"{', '.join(found[:NAMED])}{_more(found)}"


def _more(found: list[str]) -> str:
    return f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""


def _parts(cell: str, separator: str | None) -> dict[str, str]:
    """The labels of a cell, by normal form in their order; a cell without any is a label itself."""
    texts = [part.strip(WHITE_SPACE) for part in (cell.split(separator) if separator else [cell])]
    spelled: dict[str, str] = {}
    for text in filter(None, texts):
        spelled.setdefault(normal_form(text), text)
    return spelled or {normal_form(cell): cell}


def _too_few(labels: "Labels", totals: dict[str, int], candidates: dict[str, int]) -> str:
    found = f"a model needs two classes or more; labels by rows: {named(totals)}"
    if len(totals) < 2:
        return f"{found}: load rows of another label"
    if not candidates:
        return f"{found}: none of them is in labels.classes ({', '.join(labels.classes or ())}): change it"
    return f"{found}: set labels.min_freq ({labels.min_freq}) to {max(candidates.values())} or lower"
