import csv

import pytest

from tagifai.errors import TagifaiError
from tagifai.spoil import spoil

PROJECTS = "id,created_on,title,description,stars\n" + "".join(
    f'{each},2026-01-0{each} 10:00:00,"Title, {each}",Description {each}.,{each}0\n' for each in range(1, 6)
)


@pytest.fixture
def spoiled(settings, tmp_path):
    """Function that spoils a file with some text; returns what spoil returned, the new text and its rows."""

    def spoiled(text):
        file = tmp_path / "projects.csv"
        file.write_bytes(text.encode())
        facts = spoil(settings, folder=str(tmp_path))
        assert list(tmp_path.iterdir()) == [file]
        with file.open(newline="", encoding="utf-8-sig") as opened:
            return facts, file.read_bytes().decode(), list(csv.DictReader(opened))

    return spoiled


@pytest.mark.parametrize("ending", ["\n", ""])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_bad_rows_follow_the_others_which_stay_as_they_are(spoiled, start, ending):
    facts, text, rows = spoiled(start + PROJECTS.removesuffix("\n") + ending)
    assert text.startswith(start + PROJECTS)
    assert [(row["id"], row["title"]) for row in rows[5:]] == [(row["id"], row["title"]) for row in facts["rows"]]
    assert len(rows) == 8


def test_there_is_one_bad_row_for_each_rule_of_the_gate(spoiled):
    facts, _, rows = spoiled(PROJECTS)
    ids = [row["id"] for row in rows]
    assert [each for each in set(ids) if ids.count(each) > 1] == ["1"]
    texts = [(row["title"], row["description"]) for row in rows]
    assert [each for each in set(texts) if texts.count(each) > 1] == [("Title, 3", "Description 3.")]
    assert [row["id"] for row in rows if not row["title"]] == ["7"]
    assert facts["rows"] == [
        {"id": "1", "title": "Another title", "wrong": "the id of another project"},
        {"id": "6", "title": "Title, 3", "wrong": "the same project as 3"},
        {"id": "7", "title": "", "wrong": "no title"},
    ]


@pytest.mark.parametrize("text", ["id,title,description\n", "name\nx\n", "id,title,description\nx,T,D\n", ""])
def test_a_file_that_cannot_be_spoiled_is_named_and_stays_as_it_is(settings, tmp_path, text):
    file = tmp_path / "projects.csv"
    file.write_text(text)
    with pytest.raises(TagifaiError, match=r"projects\.csv cannot be spoiled .*columns id"):
        spoil(settings, folder=str(tmp_path))
    assert file.read_text() == text


def test_a_missing_file_is_named(settings, tmp_path):
    with pytest.raises(TagifaiError, match=r"there is no .*projects\.csv: copy the files"):
        spoil(settings, folder=str(tmp_path))
