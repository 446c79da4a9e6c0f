"""docker/predict, with a docker program that prints what a container would."""

import os
import subprocess

import pytest
from docker_testing import ROOT


@pytest.fixture
def predict(tmp_path):
    """Function that runs the script on two files of a folder."""
    (tmp_path / "programs").mkdir()
    docker = tmp_path / "programs" / "docker"
    docker.write_text('#!/bin/sh\necho tagged\nexec test ! -e "$0.fails"\n')
    docker.chmod(0o755)
    environment = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}

    def predict(source, target):
        command = [ROOT / "docker" / "predict", tmp_path / source, tmp_path / target]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return predict


@pytest.mark.parametrize("target", ["a.csv", "../folder/a.csv", "symlink.csv", "hardlink.csv"])
def test_an_output_that_is_the_input_is_refused_and_stays(predict, tmp_path, target):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.csv").write_text("kept")
    (folder / "symlink.csv").symlink_to("a.csv")
    (folder / "hardlink.csv").hardlink_to(folder / "a.csv")
    done = predict("folder/a.csv", f"folder/{target}")
    assert done.returncode == 1
    assert "is the input file itself, which would be lost: give the output another name" in done.stderr
    assert (folder / "a.csv").read_text() == "kept"


def test_an_input_beside_the_output_stays_whatever_its_name(predict, tmp_path):
    (tmp_path / "a.csv.new").write_text("kept")
    assert predict("a.csv.new", "a.csv").returncode == 0
    assert (tmp_path / "a.csv.new").read_text() == "kept"
    assert (tmp_path / "a.csv").read_text() == "tagged\n"


def test_a_failure_leaves_the_old_output_and_no_other_file(predict, tmp_path):
    (tmp_path / "programs" / "docker.fails").touch()
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").write_text("old")
    assert predict("a.csv", "b.csv").returncode == 1
    assert (tmp_path / "b.csv").read_text() == "old"
    assert {each.name for each in tmp_path.iterdir()} == {"a.csv", "b.csv", "programs"}
