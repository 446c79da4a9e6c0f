import pytest

from tagifai import artifacts


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
