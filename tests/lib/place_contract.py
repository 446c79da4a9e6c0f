"""What the commands do in every place: one class of tests, which each place's own tests inherit."""

import csv
import json
import re


class PlaceContract:
    """Facts that hold in every place.

    A subclass has two fixtures. `ran` is a good `make run` as a finished process, whose output is text. `place`: all
    services run, and `ran` is the latest run. `place.make(target, **variables)` runs a target of the Makefile and
    returns the finished process. `place.read(name)` is the text of a file under `var`, `place.open(address)` that of a
    page, `place.get(path)` an answer of the docs server.
    """

    def test_run_prints_every_task_and_the_champion_and_writes_the_summary(self, place, ran):
        assert ran.returncode == 0, ran.stdout
        facts = json.loads(place.read("summary.json"))
        assert (facts["schema_version"], facts["state"], facts["error"]) == (1, "success", None)
        for dag_id in ("dataops", "mlops"):
            for task in facts[dag_id]["tasks"]:
                assert f"✓ {dag_id}.{task}" in ran.stdout
        assert f"champion      {facts['champion']['name']} version {facts['champion']['version']}" in ran.stdout
        assert {name for name, rows in facts["tables"].items() if rows} == {
            *("projects", "tags", "labeled_projects", "projects_to_predict", "predictions")
        }

    def test_explain_writes_a_page_that_names_run_and_champion(self, place):
        facts = json.loads(place.read("summary.json"))
        done = place.make("explain", RUN=facts["mlops"]["run_id"])
        assert done.returncode == 0, done.stdout
        page = place.open(done.stdout.split()[-1])
        assert facts["dataops"]["run_id"] in page
        assert f"{facts['champion']['name']} version {facts['champion']['version']}" in page

    def test_explain_lists_the_known_runs_if_one_is_unknown(self, place):
        done = place.make("explain", RUN="nonsense")
        assert done.returncode != 0
        assert "there is no run nonsense" in done.stdout
        assert json.loads(place.read("summary.json"))["dataops"]["run_id"] in done.stdout

    def test_predict_tags_a_file_with_the_champion(self, place, tmp_path):
        project = {"id": "7", "title": "Пример: object detection", "description": 'boxes, "YOLO",\nimages and video'}
        with (tmp_path / "in put.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, project)
            writer.writeheader()
            writer.writerow(project)
        done = place.make("predict", INPUT=tmp_path / "in put.csv", OUTPUT=tmp_path / "out.csv")
        assert done.returncode == 0, done.stdout
        with (tmp_path / "out.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["id"], row["tag"]) == ("7", "computer-vision")
        assert 0 < float(row["probability"]) <= 1

    def test_predict_refuses_a_file_without_the_columns_and_keeps_the_old_output(self, place, tmp_path):
        (tmp_path / "in.csv").write_text("id,name\n7,Object detection\n")
        (tmp_path / "out.csv").write_text("kept")
        done = place.make("predict", INPUT=tmp_path / "in.csv", OUTPUT=tmp_path / "out.csv")
        assert done.returncode != 0
        assert "in.csv has no column title, description" in done.stdout
        assert "Traceback" not in done.stdout
        assert (tmp_path / "out.csv").read_text() == "kept"

    def test_predict_without_files_says_what_to_type(self, place):
        done = place.make("predict")
        assert done.returncode != 0
        assert "make predict INPUT=file.csv OUTPUT=predicted.csv" in done.stdout

    def test_validate_runs_every_checkpoint(self, place):
        done = place.make("validate")
        assert done.returncode == 0, done.stdout
        checkpoints = ["projects", "tags", "labeled_projects", "projects_to_predict"]
        assert re.findall(r"^checkpoint (\w+)", done.stdout, re.MULTILINE) == checkpoints
        assert "FAILED" not in done.stdout

    def test_the_home_page_lists_every_web_page_as_up(self, place):
        found = {each["name"]: each["state"] for each in place.get("/state").raise_for_status().json()}
        assert found == dict.fromkeys(("Airflow", "MLflow", "Airbyte", "Data docs", "dbt docs", "Runs"), "up")
        assert "expect_column_values_to_not_be_null" in place.get("/data-docs/tagifai/expectations/tags.html").text
        assert "labeled_projects" in place.get("/dbt-docs/tagifai/").text

    def test_doctor_finds_nothing_that_would_stop_a_run(self, place):
        done = place.make("doctor")
        assert done.returncode == 0, done.stdout
        assert "✗" not in done.stdout

    def test_password_shows_every_login(self, place):
        done = place.make("password")
        assert {"Airflow", "Airbyte"} <= set(re.findall(r"^(\w+) +http://localhost:\d+", done.stdout, re.MULTILINE))

    def test_demo_failure_shows_the_gate_and_that_consumers_read_the_same(self, place):
        done = place.make("demo-failure")
        assert done.returncode == 0, done.stdout
        assert "✗ dataops.validate_projects" in done.stdout
        assert "The gate validate_projects stopped them" in done.stdout
        for rule in ("to_be_unique(id)", "to_not_be_null(title)", "texts_to_differ(title, description)"):
            assert f"{rule}: found" in done.stdout
        assert done.stdout.count("unchanged") == 4
        assert "CHANGED" not in done.stdout
