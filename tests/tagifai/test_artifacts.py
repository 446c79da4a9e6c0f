import pytest

from tagifai import artifacts


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path):
    file = tmp_path / "folder" / "facts.json"
    artifacts.write(str(file), b"old")
    with pytest.raises(TypeError):
        artifacts.write(str(file), 7)
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]


def test_a_bucket_serves_as_well_as_a_folder():
    assert not artifacts.exists("memory://models/one.json")
    artifacts.write("memory://models/one.json", b"{}")
    with artifacts.open_input("memory://models/one.json") as file:
        assert file.read() == b"{}"
