import pytest

from tagifai import artifacts
from tagifai.errors import TagifaiError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    file = tmp_path / "folder" / "facts.json"
    artifacts.write(str(file), b"old")
    with pytest.raises(TypeError):
        artifacts.write(str(file), 7)
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]


def test_files_in_a_bucket_work_like_those_in_a_folder():
    assert not artifacts.exists("memory://models/one.json")
    artifacts.write("memory://models/one.json", b"{}")
    assert artifacts.read("memory://models/one.json", missing="none") == b"{}"


@pytest.mark.parametrize("root", ["memory://tags", "{folder}"])
def test_a_file_that_is_written_in_pieces_is_whole_or_the_old_one(tmp_path, root):
    file = f"{root.format(folder=tmp_path)}/one.csv"
    with artifacts.writing(file) as opened:
        opened.write(b"a")
        opened.write(b"b")
    with pytest.raises(TypeError), artifacts.writing(file) as opened:
        opened.write(7)
    assert artifacts.read(file, missing="none") == b"ab"


def test_files_in_a_bucket_of_cloud_storage_are_whole_or_missing(bucket):
    file = f"{bucket}/models/one.json"
    assert not artifacts.exists(file)
    with pytest.raises(TagifaiError, match="run train first"):
        artifacts.read(file, missing="run train first")
    artifacts.write(file, b"old")
    artifacts.write(file, b"new" * 1_000_000)
    assert artifacts.exists(file)
    assert artifacts.read(file, missing="none") == b"new" * 1_000_000


def test_a_missing_bucket_is_an_error_that_names_the_setting(bucket):
    with pytest.raises(TagifaiError, match=r"gs://not-there/one\.json: .*Check `artifacts`"):
        artifacts.write("gs://not-there/one.json", b"x")
