import csv
import gzip
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.models import infer_signature
from sklearn.dummy import DummyClassifier

from tagifai import imports, persistence, registry
from tagifai.errors import TagifaiError
from tagifai.predict import _answers, label, predict
from tagifai.publish import publish
from tagifai.settings import Columns

NAME = "tagger"


@pytest.fixture(scope="module")
def fitted(fit, params, projects):
    return fit(params, projects, threshold=0.0)


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
    assert pd.read_parquet(predict(connected)["predictions"]).attrs == {"answers": sorted(fitted.classes_)}


@pytest.mark.parametrize("threshold", [0.0, 0.99])
def test_below_a_threshold_a_model_can_answer_other(fit, params, projects, threshold):
    found = _answers(fit(params, projects[projects["tag"] != "time-series"], threshold=threshold))
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
    monkeypatch.setattr("tagifai.predict.label", lambda model, rows, columns: wrong)
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


@pytest.mark.parametrize(
    "name", ["C tickets, v1.2; a=b (new) & + * \\ [x] {y} <z> | ` $ ^ ! ~", "ü🤗 " * 85 + "x"], ids=["signs", "long"]
)
def test_a_model_with_an_unusual_name_that_settings_allow_becomes_champion_and_is_loaded(
    make_settings, champion_url, name
):
    settings = make_settings(mlflow=champion_url, model={"name": name})
    mlflow.set_tracking_uri(champion_url)
    mlflow.set_experiment(name)
    version = mlflow.register_model(mlflow.MlflowClient().get_model_version(NAME, "2").source, name)
    registry.make_champion(settings, version)
    champion = registry.champion(settings)
    assert champion.name == name
    assert registry.load(settings, champion).named_steps
    assert registry._find(mlflow, name, "none") is None


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


def test_a_file_without_rows_gives_a_file_without_rows(connected, tmp_path):
    (tmp_path / "a.csv").write_text("id,title,description\n")
    predict(connected, source=str(tmp_path / "a.csv"), target=str(tmp_path / "b.csv"))
    assert (tmp_path / "b.csv").read_text() == "id,tag,probability\n"


def test_below_the_threshold_the_probability_is_still_that_of_the_most_likely_class(fit, params, projects, settings):
    careful = fit(params, projects, threshold=0.99)
    tagged = label(careful, projects, settings.columns)
    assert (tagged["tag"] == "other").any()
    assert tagged["probability"].tolist() == careful.predict_proba(projects).max(axis=1).tolist()


def test_an_unknown_output_format_is_refused_before_any_work(settings, tmp_path):
    with pytest.raises(TagifaiError, match=r"tagged\.xlsx: the name of the file must end in \.csv, "):
        predict(settings, source="projects.csv", target=str(tmp_path / "tagged.xlsx"))


@pytest.fixture
def rows(connected, monkeypatch):
    """Function that tags a file in pieces of two rows, and gives the text of the output, if it is one."""
    monkeypatch.setattr("tagifai.project_files.PIECE", 2)

    def rows(source, target):
        predict(connected, source=str(source), target=str(target))
        content = target.read_bytes()
        content = gzip.decompress(content) if target.suffix == ".gz" else content
        return "" if target.suffix == ".parquet" else content.decode()

    return rows


@pytest.mark.parametrize("name", ["tagged.csv", "tagged.TSV", "tagged.csv.gz", "tagged.tsv.gz"])
def test_rows_of_all_pieces_are_tagged_in_their_order(rows, tmp_path, name):
    lines = [json.dumps({"id": f"00{n}", "title": "image", "description": None}) for n in range(5)]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write("\n".join(lines))
    found = csv.reader(
        rows(tmp_path / "a.jsonl.gz", tmp_path / name).splitlines(), delimiter=",\t"["tsv" in name.lower()]
    )
    header, *tagged = found
    assert header == ["id", "tag", "probability"]
    assert [row[0] for row in tagged] == ["000", "001", "002", "003", "004"]
    assert {row[1] for row in tagged} == {"computer-vision"}


@pytest.mark.parametrize("name", ["tagged.jsonl", "tagged.ndjson.gz"])
@pytest.mark.parametrize("ids", [[4611686018427387905, -(2**63), 2**63 - 1], ["000123", "", "ü\n"]])
def test_json_lines_keep_ids(rows, tmp_path, name, ids):
    lines = [json.dumps({"description": "d", " id ": each, "title": "image", "more": [{}]}) for each in ids]
    (tmp_path / "a.ndjson").write_text("\n\n".join(lines))
    tagged = [json.loads(line) for line in rows(tmp_path / "a.ndjson", tmp_path / name).splitlines()]
    assert [row["id"] for row in tagged] == ids
    assert all(list(row) == ["id", "tag", "probability"] and 0 < row["probability"] <= 1 for row in tagged)


def test_ids_beside_a_null_stay_exact(rows, tmp_path):
    ids = pa.array([4611686018427387905, None, 9007199254740993])
    texts = pa.array(["image", None, "video"]).dictionary_encode()
    table = pa.table({" id": ids, "title": texts, "description": texts, "more": ids})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    tagged = rows(tmp_path / "a.parquet", tmp_path / "b.csv").splitlines()[1:]
    assert [line.split(",")[0] for line in tagged] == ["4611686018427387905", "", "9007199254740993"]
    tagged = rows(tmp_path / "a.parquet", tmp_path / "b.jsonl").splitlines()
    assert [json.loads(line)["id"] for line in tagged] == ids.to_pylist()
    rows(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert pq.read_table(tmp_path / "b.parquet")["id"].combine_chunks() == ids


def test_a_file_without_rows_keeps_the_type_of_its_ids(connected, tmp_path):
    empty = pa.table({"id": pa.array([], pa.int64()), "title": pa.array([], pa.string()), "description": pa.nulls(0)})
    pq.write_table(empty, tmp_path / "a.parquet")
    assert predict(connected, source=str(tmp_path / "a.parquet"), target=str(tmp_path / "b.parquet"))["rows"] == 0
    assert pq.read_schema(tmp_path / "b.parquet").types == [pa.int64(), pa.string(), pa.float64()]


def test_progress_is_one_line_on_a_terminal_and_a_line_now_and_then_elsewhere(
    rows, tmp_path, capsys, caplog, monkeypatch
):
    caplog.set_level("INFO", "tagifai")
    monkeypatch.setattr("tagifai.predict.PROGRESS", 3)
    (tmp_path / "a.csv").write_text("id,title,description\n" + "1,T,D\n" * 9)
    rows(tmp_path / "a.csv", tmp_path / "b.csv")
    assert caplog.messages[:-1] == ["4 rows predicted so far", "6 rows predicted so far", "9 rows predicted so far"]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    rows(tmp_path / "a.csv", tmp_path / "b.csv")
    assert capsys.readouterr().err.split("\r")[-2] == "9 rows predicted"


@pytest.mark.parametrize("link", ["same", "spelling", "symlink", "hardlink"])
def test_an_output_that_is_the_input_is_refused_and_stays(settings, tmp_path, link):
    source, target = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("kept")
    target = {"same": source, "spelling": f"{tmp_path}/../{tmp_path.name}/a.csv"}.get(link, target)
    if link == "symlink":
        target.symlink_to(source)
    if link == "hardlink":
        target.hardlink_to(source)
    with pytest.raises(TagifaiError, match=r"is the input file itself, .*another name"):
        predict(settings, source=str(source), target=str(target))
    assert source.read_text() == "kept"


def test_an_output_that_cannot_be_written_is_named(connected, tmp_path):
    (tmp_path / "a.csv").write_text("id,title,description\n")
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(TagifaiError, match=r"b\.csv cannot be written: Is a directory; give another name"):
        predict(connected, source=str(tmp_path / "a.csv"), target=str(tmp_path / "b.csv"))
    assert {each.name for each in tmp_path.iterdir()} == {"a.csv", "b.csv"}


def test_a_wrong_row_behind_good_ones_leaves_the_old_output(rows, tmp_path):
    (tmp_path / "a.csv").write_text("id,title,description\n1,T,D\n2,T,D\n3,T\n")
    (tmp_path / "b.csv").write_text("old")
    with pytest.raises(TagifaiError, match="line 4 has 2 fields"):
        rows(tmp_path / "a.csv", tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == "old"
    assert {each.name for each in tmp_path.iterdir()} == {"a.csv", "b.csv"}


def test_a_failure_leaves_the_old_output(settings, tmp_path):
    target = tmp_path / "tagged.csv"
    target.write_text("old")
    with pytest.raises(TagifaiError, match="does not exist"):
        predict(settings, source=str(tmp_path / "gone.csv"), target=str(target))
    assert target.read_text() == "old"


TICKETS = Columns(id=None, texts=["Betreff", "Text, lang"], label="Größe")


@pytest.fixture
def tickets(make_settings, fit, params, projects, warehouse, postgres, monkeypatch):
    """Settings of an application with other columns and text ids, whose champion is already loaded, and its model."""
    settings = make_settings(warehouse={"type": "postgres", **warehouse})
    settings = settings.model_copy(update={"columns": TICKETS, "sources": {"tickets": {}}, "namespace": "t"})
    names = {"title": "Betreff", "description": "Text, lang", "tag": "Größe"}
    texts = list(TICKETS.texts)
    model = fit(params, projects.rename(columns=names), columns=texts, label="Größe", rest="sonst", threshold=0.3)
    monkeypatch.setattr(registry, "champion", lambda settings: SimpleNamespace(name="tickets", version=3))
    monkeypatch.setattr(registry, "load", lambda settings, champion: model)
    monkeypatch.setattr(registry, "place", lambda settings, champion: {})
    postgres.psql(
        warehouse,
        """
        create schema t_marts;
        create table t_marts.tickets_to_predict (id text, "Betreff" text, "Text, lang" text, is_labeled boolean);
        insert into t_marts.tickets_to_predict values
            ('000123', 'image pixels', null, true), ('-9', 'bert tokens', 'language', false), ('', 'x', null, false);
        """,
    )
    return settings, model


def test_the_candidate_and_the_predictions_have_the_columns_of_the_application(tickets, postgres, warehouse):
    settings, model = tickets
    facts = predict(settings)
    assert (facts["rows"], facts["unlabeled"]) == (3, 2)
    candidate = pd.read_parquet(facts["predictions"])
    assert list(candidate) == ["id", "Betreff", "is_labeled", "Größe", "probability", "model_version"]
    assert candidate["id"].tolist() == ["", "-9", "000123"]
    assert candidate["Größe"].tolist()[1:] == ["natural-language-processing", "computer-vision"]
    assert candidate.attrs["answers"] == sorted([*model.classes_, "sonst"])
    assert published(settings, facts)["published"]
    found = postgres.psql(warehouse, "select id, \"Größe\" from t_marts.predictions where id = '000123'")
    assert found == [["000123", "computer-vision"]]


def test_a_file_without_ids_gets_the_number_of_each_row(tickets, tmp_path, monkeypatch):
    monkeypatch.setattr("tagifai.project_files.PIECE", 2)
    (tmp_path / "a.csv").write_text('"Text, lang",Betreff\n,image pixels\nlanguage,bert tokens\n,image faces\n')
    assert predict(tickets[0], source=str(tmp_path / "a.csv"), target=str(tmp_path / "b.jsonl"))["rows"] == 3
    answers = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert [list(each) for each in answers] == [["row", "Größe", "probability"]] * 3
    assert [(each["row"], each["Größe"]) for each in answers] == [
        (1, "computer-vision"),
        (2, "natural-language-processing"),
        (3, "computer-vision"),
    ]


def test_a_champion_that_reads_other_columns_is_named_with_what_to_do(tickets):
    columns = TICKETS.model_copy(update={"texts": ("Betreff",)})
    with pytest.raises(
        TagifaiError, match=r"version 3 .* reads Betreff, Text, lang, and columns\.texts has Betreff: train"
    ):
        predict(tickets[0].model_copy(update={"columns": columns}))
