import csv
from datetime import UTC, datetime

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.dummy import DummyClassifier

from tagifai import imports, model, persistence, registry
from tagifai.errors import TagifaiError
from tagifai.predict import _answers, predict, read_projects, tag
from tagifai.publish import publish

NAME = "tagger"
HEADER = b"id,title,description\n"


@pytest.fixture(scope="module")
def fitted(params, projects):
    return model.fit(params, projects, threshold=0.0)


@pytest.fixture(scope="module")
def champion_url(mlflow_url, fitted, projects):
    """MLflow with a champion of version 2, registered by hand."""
    mlflow.set_tracking_uri(mlflow_url)
    for _ in range(2):
        mlflow.sklearn.log_model(
            fitted,
            name="model",
            registered_model_name=NAME,
            signature=infer_signature(projects[["title", "description"]], fitted.predict(projects)),
            pip_requirements=[],
            skops_trusted_types=list(persistence.TRUSTED_TYPES),
        )
    mlflow.MlflowClient().set_registered_model_alias(NAME, registry.CHAMPION, 2)
    return mlflow_url


@pytest.fixture
def connected(make_settings, champion_url, warehouse):
    """Settings with a champion and a warehouse."""
    return make_settings(mlflow=champion_url, model={"name": NAME}, warehouse={"type": "postgres", **warehouse})


def columns_of(postgres, warehouse):
    query = "select id, tag, probability, model_version from marts.predictions order by id"
    ids, tags, probabilities, versions = zip(*postgres.psql(warehouse, query), strict=True)
    return list(map(int, ids)), list(tags), list(map(float, probabilities)), set(versions)


def published(settings, facts):
    return publish(settings, uri=facts["predictions"], predicted_at=datetime.fromisoformat(facts["predicted_at"]))


def test_all_projects_of_the_warehouse_are_tagged_and_published_also_without_a_label(
    connected, fitted, projects, postgres, warehouse
):
    facts = predict(connected)
    assert (facts["rows"], facts["unlabeled"], facts["model_version"]) == (151, 1, "2")
    # The champion was registered without a run.
    assert facts["mlflow"] == {"model": connected.model.name, "version": "2"}
    # It is a candidate only.
    assert postgres.psql(warehouse, "select to_regclass('marts.predictions') is null") == [["t"]]
    assert published(connected, facts) == {
        "rows": 151,
        "unlabeled": 1,
        "model_version": "2",
        "published": True,
        "bytes_billed": None,
    }
    ids, tags, probabilities, versions = columns_of(postgres, warehouse)
    assert ids == [*projects["id"], 1000]
    assert tags == [*fitted.predict(projects), "computer-vision"]
    assert probabilities[:-1] == pytest.approx(fitted.predict_proba(projects).max(axis=1).tolist())
    assert versions == {"2"}


def test_predicting_again_gives_the_same_candidate_with_a_later_time(connected):
    first, second = predict(connected), predict(connected)
    assert second["predictions"] == first["predictions"]
    assert datetime.fromisoformat(second["predicted_at"]) > datetime.fromisoformat(first["predicted_at"])


def test_the_champion_belongs_to_the_time_others_wait_meanwhile(connected, postgres, warehouse, monkeypatch):
    held, champion = [], registry.champion

    def look(settings):
        held.extend(postgres.psql(warehouse, "select granted from pg_locks where locktype = 'advisory'"))
        return champion(settings)

    monkeypatch.setattr(registry, "champion", look)
    predict(connected)
    assert held == [["t"]]


def test_predictions_that_are_older_than_the_published_ones_are_not_published(connected, postgres, warehouse):
    old = predict(connected)
    postgres.psql(warehouse, "delete from marts.projects_to_predict where id > 3")
    assert published(connected, predict(connected))["published"] is True
    assert published(connected, old) == {
        "rows": 151,
        "unlabeled": 1,
        "model_version": "2",
        "published": False,
        "bytes_billed": None,
    }
    assert columns_of(postgres, warehouse)[0] == [1, 2, 3]


def test_the_candidate_lists_what_the_model_can_answer(connected, fitted):
    assert pd.read_parquet(predict(connected)["predictions"]).attrs == {"tags": sorted(fitted.classes_)}


@pytest.mark.parametrize("threshold", [0.0, 0.99])
def test_below_a_threshold_a_model_can_answer_other(params, projects, threshold):
    found = _answers(model.fit(params, projects[projects["tag"] != "time-series"], threshold=threshold))
    assert ("other" in found) == bool(threshold)


@pytest.mark.parametrize(
    ("ids", "row"),
    [
        ([1, 2], {"id": 3, "title": "C", "tag": None}),
        ([1, 2, 4], {"id": 4, "title": None, "tag": "mlops"}),
        ([1, 2, 3, 3], {"id": 3, "title": "C", "tag": "mlops"}),
    ],
)
def test_the_candidate_shows_projects_without_one_prediction_and_predictions_without_a_project(
    connected, postgres, warehouse, monkeypatch, ids, row
):
    """A fault of tagging, which the checkpoint then finds."""
    postgres.psql(warehouse, "delete from marts.projects_to_predict where id > 3")
    postgres.psql(warehouse, "update marts.projects_to_predict set title = chr(64 + id::int)")
    wrong = pd.DataFrame({"id": ids, "tag": "mlops", "probability": 0.5})
    monkeypatch.setattr("tagifai.predict.tag", lambda model, projects: wrong)
    candidate = pd.read_parquet(predict(connected)["predictions"])
    last = candidate[list(row)].astype(object).where(candidate[list(row)].notna(), None).iloc[-1]
    assert last.to_dict() == row
    assert len(candidate) == len({1, 2, 3, *ids}) + (len(ids) - len(set(ids)))


def test_publishing_that_is_killed_leaves_the_old_predictions_and_runs_again(connected, postgres, warehouse, start):
    published(connected, predict(connected))
    before = columns_of(postgres, warehouse)
    postgres.psql(warehouse, "delete from marts.projects_to_predict where id > 3")
    facts = predict(connected)
    arguments = ["publish", "--predictions", facts["predictions"], "--predicted-at", facts["predicted_at"]]
    # Publishing waits between its delete and its insert.
    postgres.psql(
        warehouse,
        """
        create function pause() returns trigger language plpgsql as $$ begin perform pg_sleep(600); return null; end $$;
        create trigger pause after delete on marts.predictions execute function pause();
        """,
    )
    process = start(connected, *arguments)
    waits = "select pid from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    while not (found := postgres.psql(warehouse, waits)):
        assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    postgres.psql(warehouse, f"select pg_terminate_backend({found[0][0]}, 60000)")
    assert columns_of(postgres, warehouse) == before
    postgres.psql(warehouse, "drop trigger pause on marts.predictions")
    assert start(connected, *arguments).wait(timeout=120) == 0
    assert columns_of(postgres, warehouse)[0] == [1, 2, 3]


def test_a_candidate_that_is_missing_is_named(connected):
    with pytest.raises(TagifaiError, match=r"there are no predictions /nowhere\.parquet: run predict"):
        publish(connected, uri="/nowhere.parquet", predicted_at=datetime.now(UTC))


def test_a_champion_with_foreign_types_is_refused_even_if_its_version_lists_them_as_trusted(connected, projects):
    """A model file of someone else could run code of theirs."""
    stranger = DummyClassifier().fit(projects[["id"]], projects["tag"])
    mlflow.set_tracking_uri(connected.mlflow)
    types = imports.skops_io().get_untrusted_types(data=imports.skops_io().dumps(stranger))
    mlflow.sklearn.log_model(
        stranger,
        name="model",
        registered_model_name="stranger",
        pip_requirements=[],
        skops_trusted_types=types,
    )
    mlflow.MlflowClient().set_registered_model_alias("stranger", registry.CHAMPION, 1)
    settings = connected.model_copy(update={"model": connected.model.model_copy(update={"name": "stranger"})})
    with pytest.raises(
        TagifaiError, match=r"models:/stranger/1/model\.skops is not a model of tagifai: .*DummyClassifier"
    ):
        predict(settings)


def test_without_a_champion_nothing_is_written(connected, postgres, warehouse, tmp_path):
    lonely = connected.model_copy(update={"model": connected.model.model_copy(update={"name": "nobody"})})
    with pytest.raises(TagifaiError, match="model nobody has no champion yet: run `make run` first"):
        predict(lonely)
    assert postgres.psql(warehouse, "select to_regclass('marts.predictions') is null") == [["t"]]


def test_a_csv_file_with_unusual_texts_is_tagged(connected, tmp_path):
    rows = [
        ("007", 'Say "image", twice', "detection of\npixels, faces\r\nin a video"),
        ("1e5", "NA", "null"),
        ("ü-8", "翻訳 language 🤗", "text;\ttokens 'and' sentence"),
        ("9", "", ""),
    ]
    source, target = tmp_path / "projects.csv", tmp_path / "new" / "tagged.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("extra", "title", "id", "description"), *((0, t, i, d) for i, t, d in rows)])
    assert predict(connected, source=str(source), target=str(target)) == {"rows": 4, "model_version": "2"}
    assert read_projects(str(source)).to_numpy().tolist() == [list(row) for row in rows]
    with target.open(newline="", encoding="utf-8") as file:
        header, *tagged = csv.reader(file)
    assert header == ["id", "tag", "probability"]
    assert [row[0] for row in tagged] == ["007", "1e5", "ü-8", "9"]
    assert tagged[0][1] == "computer-vision"
    assert tagged[2][1] == "natural-language-processing"
    assert all(0 < float(row[2]) <= 1 for row in tagged)
    assert list(target.parent.iterdir()) == [target]


def test_a_parquet_file_is_tagged_and_ids_keep_their_type(connected, fitted, projects, tmp_path):
    source, target = tmp_path / "projects.parquet", tmp_path / "tagged.PARQUET"
    projects.to_parquet(source)
    predict(connected, source=str(source), target=str(target))
    tagged = pd.read_parquet(target)
    assert tagged["id"].dtype == "int64"
    assert tagged["tag"].tolist() == fitted.predict(projects).tolist()


def test_a_byte_order_mark_is_not_part_of_the_first_column_name(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfid,title,description\n1,T,D\n")
    assert read_projects(str(tmp_path / "a.csv")).to_numpy().tolist() == [["1", "T", "D"]]


def test_a_file_without_rows_gives_a_file_without_rows(connected, tmp_path):
    (tmp_path / "a.csv").write_text("id,title,description\n")
    predict(connected, source=str(tmp_path / "a.csv"), target=str(tmp_path / "b.csv"))
    assert (tmp_path / "b.csv").read_text() == "id,tag,probability\n"


def test_below_the_threshold_the_probability_is_still_that_of_the_most_likely_class(params, projects):
    careful = model.fit(params, projects, threshold=0.99)
    tagged = tag(careful, projects)
    assert (tagged["tag"] == "other").any()
    assert tagged["probability"].tolist() == careful.predict_proba(projects).max(axis=1).tolist()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, r"gone\.csv does not exist"),
        ("a.csv", b"id,title\n1,T\n", r"a\.csv has no column description: .*has id, title"),
        ("a.csv", b"name\n1\n", r"a\.csv has no column id, title, description: .*has name"),
        ("a.csv", "id,title,description\n1,caf\xe9,D\n".encode("latin-1"), r"a\.csv is not UTF-8 .*save it as UTF-8"),
        ("a.csv", b"", r"a\.csv has no column id, title, description: .*has none"),
        ("a.csv", b'id,title,description\n1,"T,D\n', r"a\.csv cannot be read: line 2: unexpected end .*double quote"),
        ("a.csv", HEADER + b"1,T,D, E\n", r"a\.csv cannot be read: line 2 has 4 fields, the header 3: .*quotes around"),
        ("a.csv", HEADER + b"1,T,D,\n2,T,D,\n", r"a\.csv cannot be read: line 2 has 4 fields"),
        ("a.csv", HEADER + b"1,T,D\n2,T,D,E\n", r"a\.csv cannot be read: line 3 has 4 fields"),
        ("a.csv", HEADER + b"1,T,D\n2,T\n", r"a\.csv cannot be read: line 3 has 2 fields"),
        ("a.csv", b"id,title,description,title\n1,T,D,U\n", r"a\.csv cannot be read: column title appears twice"),
        ("a.parquet", b"no parquet", r"a\.parquet cannot be read: .*must be a CSV or Parquet file"),
        ("a.txt", b"id,title,description\n", r"a\.txt cannot be read: .*must be a CSV or Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TagifaiError, match=message):
        read_projects(str(tmp_path / name))


def test_an_unknown_output_format_is_refused_before_any_work(settings, tmp_path):
    with pytest.raises(TagifaiError, match=r"tagged\.json: the name of the output file must end in \.csv or \.parquet"):
        predict(settings, source="projects.csv", target=str(tmp_path / "tagged.json"))


def test_a_failure_leaves_the_old_output(settings, tmp_path):
    target = tmp_path / "tagged.csv"
    target.write_text("old")
    with pytest.raises(TagifaiError, match="does not exist"):
        predict(settings, source=str(tmp_path / "gone.csv"), target=str(target))
    assert target.read_text() == "old"
