"""A snapshot prepared for the model: with classes, and split."""

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from tagifai import labels, snapshot
from tagifai.errors import TagifaiError
from tagifai.settings import Settings
from tagifai.split import Split, split

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

# With fewer held-out rows a share such as the recall is known only to 10 points or worse.
MANY_TEST_ROWS = 100


class Dataset(NamedTuple):
    """Rows to train on and rows to test on, with their classes, and facts about how they came to be."""

    train: "pd.DataFrame"
    test: "pd.DataFrame"
    facts: dict[str, Any]


def load(settings: Settings, uri: str) -> Dataset:
    """Read a snapshot, determine the classes from all its rows, and split it.

    Returns:
        Training and test rows with the columns of the snapshot, where the label is the class; what labels.classify
        tells, `not_trained`: the held-out rows, which are left out, by class without a training row; `not_scored`: the
        training rows by class without a test row; `notes`: a sentence about each of these things.

    Raises:
        TagifaiError: the snapshot is missing, its labels are refused, or fewer than two classes can be trained.
    """
    rows, label = snapshot.read(uri), settings.columns.label
    try:
        classes = labels.classify(rows[label], settings.labels)
        sides = split(
            rows.assign(**{label: classes.of_rows}),
            texts=settings.columns.texts,
            label=label,
            **settings.split.model_dump(),
        )
    except ValueError as error:
        raise TagifaiError(f"{uri}: {error}") from None
    trained, tested, untrained = (side[label].value_counts().to_dict() for side in sides[:3])
    if len(trained) < 2:
        raise TagifaiError(
            f"{uri}: every training row is of class {next(iter(trained))}, and held out are "
            f"{labels.named(tested | untrained)}: load more rows, or change split.seed ({settings.split.seed})"
        )
    facts = classes.facts | {
        "not_trained": untrained,
        "not_scored": {name: count for name, count in trained.items() if name not in tested},
    }
    facts["notes"] = [*labels.notes(facts), *_notes(facts, sides)]
    for note in facts["notes"]:
        logger.warning("%s", note)
    return Dataset(sides.train, sides.test, facts)


def _notes(facts: dict[str, Any], sides: Split) -> list[str]:
    told = []
    if facts["not_trained"]:
        told.append(
            f"classes without a training row, whose held-out rows are left out: {labels.named(facts['not_trained'])}"
        )
    if facts["not_scored"]:
        told.append(f"classes without a held-out row, trained but not scored: {labels.named(facts['not_scored'])}")
    if not sides.exact:
        told.append("the split would have held out no row that can be scored, so the text with the smallest hash is")
    if len(sides.test) < MANY_TEST_ROWS:
        told.append(
            f"only {len(sides.test)} of {len(sides.train) + len(sides.test)} rows are held out: a score of so few is "
            # Half the width of a 95% interval of a share.
            f"known to about ±{min(98 / len(sides.test) ** 0.5, 100):.0f} points, so it shows that the model works, "
            "not how well"
        )
    return told
