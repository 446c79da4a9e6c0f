"""A snapshot prepared for the model: with classes, and split."""

from tagifai import snapshot
from tagifai.errors import TagifaiError
from tagifai.labels import relabel
from tagifai.settings import Settings
from tagifai.split import Split, split


def load(settings: Settings, uri: str) -> Split:
    """Read a snapshot, determine the classes from all its rows, and split it.

    Returns:
        Training and test rows with columns `id`, `created_on`, `title`, `description`, `tag` (a class).

    Raises:
        TagifaiError: the snapshot is missing, has only one class, or a side of the split lacks a class.
    """
    projects = snapshot.read(uri)
    tag = relabel(projects["tag"], classes=settings.labels.classes, min_freq=settings.labels.min_freq)
    if tag.nunique() < 2:
        raise TagifaiError(
            f"{uri}: every project is of class {tag.iloc[0]}, a model needs two or more: "
            f"lower labels.min_freq ({settings.labels.min_freq}) or change labels.classes"
        )
    try:
        return split(projects.assign(tag=tag), test_size=settings.split.test_size, seed=settings.split.seed)
    except ValueError as error:
        raise TagifaiError(
            f"{uri}: {error}: raise labels.min_freq, or change split.test_size ({settings.split.test_size}) "
            f"or split.seed ({settings.split.seed})"
        ) from None
