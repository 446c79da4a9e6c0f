"""What gcloud accepts and Composer's service rejects is refused, each with its remedy."""

import pytest

from deploy import packages, rules
from stack.errors import StackError
from stack.settings import ROOT


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AIRFLOW__CORE__PARALLELISM", "set the Airflow option core-parallelism"),
        ("AIRFLOW__CORE", "Composer takes no such names"),
        ("1BAD", "not a name"),
        ("a-b", "not a name"),
        ("", "not a name"),
        ("MLOPS ", "not a name"),
        ("GCS_BUCKET", "reserved"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "reserved"),
        ("SQL_USER", "reserved"),
    ],
)
def test_an_environment_variable_that_composer_rejects_is_refused(name, told):
    (problem,) = rules.environment_variables({name: "value", "MLOPS_FINE": "1", "_fine2": ""})
    assert told in problem
    assert name in problem.found


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("core.parallelism", "write core-parallelism"),
        ("parallelism", "section-key"),
        ("core-", "section-key"),
        ("-parallelism", "section-key"),
        ("core-Parallelism", "section-key"),
        ("core-a=b", "section-key"),
        ("core-a;b", "section-key"),
        ("core-a.b", "section-key"),
        ("[core]-parallelism", "section-key"),
    ],
)
def test_an_option_of_airflow_that_composer_rejects_is_refused(name, told):
    (problem,) = rules.airflow_options({name: "1", "core-fine_option": "[x]=;."})
    assert told in problem
    assert name in problem.found


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("celery-worker_concurrency", "25", "25, but Composer takes at least 1 and at most 24"),
        ("celery-worker_concurrency", "many", "many, but Composer takes at least 1 and at most 24"),
        ("core-min_file_process_interval", "29.5", "29.5, but Composer takes at least 30"),
        ("core-dagbag_import_timeout", "601", "601, but Composer takes at most 600"),
        ("cli-api_client", "x", "blocked by Composer"),
        ("api_auth-jwt_issuer", "x", "blocked by Composer"),
    ],
)
def test_an_option_that_composer_blocks_or_bounds_is_refused(name, value, told):
    (problem,) = rules.airflow_options({name: value})
    assert told in problem.found


def test_an_option_at_its_bounds_is_taken():
    within = {"celery-worker_concurrency": "24", "core-min_file_process_interval": "30", "api_auth-jwt_leeway": "9"}
    assert list(rules.airflow_options(within)) == []


def test_an_option_without_a_value_is_refused():
    (problem,) = rules.airflow_options({"core-parallelism": ""})
    assert "has no value" in problem.found


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ours @ https://files.example/ours.whl", "no addresses"),
        ("ours@git+https://git.example/ours", "no addresses"),
        ("git+ssh://git@git.example/ours.git", "no addresses"),
        ("ours@./ours.whl", "no files"),
        ("./ours.whl", "no files"),
        ("numpy==2.0 --hash=sha256:00", "no hashes"),
        ("-r other.txt", "no options"),
        ("--index-url https://index.example", "no options"),
        ("numpy==2.0 ; python_version < '4'", "no markers"),
        ("numpy;sys_platform=='linux'", "no markers"),
        ("numpy==2.0 # why", "a line of its own"),
        ("numpy=2.0", "not a requirement"),
        ("Django==5", "write django"),
    ],
)
def test_a_line_of_packages_that_composer_rejects_is_refused(line, told):
    (problem,) = rules.packages(["# a comment", "", "fine[extra]>=1,<2", line])
    assert told in problem
    assert problem.found.startswith(f"line 4, {line!r}: ")


def test_a_package_that_is_there_twice_under_two_spellings_is_refused():
    (problem,) = rules.packages(["a-package==1", "a_package==2"])
    assert "a-package is there twice" in problem.found


@pytest.mark.parametrize("lines", [[], ["# only a comment", "  "]])
def test_an_empty_list_of_packages_is_refused_since_it_would_remove_all(lines):
    (problem,) = rules.packages(lines)
    assert "remove every package" in problem.found


def test_an_error_of_the_list_names_file_and_line_and_all_problems(tmp_path):
    file = tmp_path / "packages.in"
    file.write_text("numpy\n-r other.txt\nnumpy==2\n")
    with pytest.raises(StackError) as refused:
        packages.ours(file)
    assert [line.partition(",")[0] for line in str(refused.value).splitlines()] == [
        f"{file}: line 2",
        f"{file}: line 3",
    ]


@pytest.mark.parametrize(
    ("content", "told"), [(None, r"cannot be read \(No such file"), (b"\xff", "is not text in UTF-8")]
)
def test_a_list_that_cannot_be_read_is_told_with_setting_and_remedy(tmp_path, content, told):
    file = tmp_path / "packages.in"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(
        StackError, match=rf"^deploy\.packages: {file} {told}.*: name a list of packages, a file of the"
    ):
        packages.ours(file)


def test_packages_have_the_name_by_which_an_environment_knows_them(tmp_path):
    file = tmp_path / "packages.in"
    file.write_text("google_cloud.storage[x]==2\n")
    assert packages.ours(file) == {"google-cloud-storage": "[x]==2"}


def test_our_own_list_is_as_composers_api_takes_it():
    found = packages.ours(ROOT / "requirements" / "composer.in")
    assert found["airflow-provider-great-expectations"] == "==1.0.0"
    assert found["pydantic-settings"] == "[yaml]"
    assert found["pandas"] == ""
    # The same versions as here, where we give any.
    lock = (ROOT / "requirements" / "airflow.txt").read_text()
    assert [name for name, tail in found.items() if tail.startswith("==") and f"\n{name}{tail} " not in lock] == []


def test_the_list_is_written_in_one_order_with_extras_and_versions():
    assert packages.text({"b": "[x,y]>=1,<2", "a": ""}) == "a\nb[x,y]>=1,<2\n"


@pytest.mark.parametrize(
    "path",
    [
        *("dags/a*.py", "dags/[a].py", "dags/a?.py", "dags/a#1.py", "dags/a\nb.py", "plugins/a\\b.py"),
        *("/etc/passwd", "dags/../x.py", "dags//x.py", "logs/x", "x.py", "dags", "", "data/x.json"),
        *("data/mlops-manifests/current.json", "data/smoke/x.csv"),
    ],
)
def test_a_file_that_is_not_ours_alone_or_that_gcloud_takes_for_many_is_refused(path):
    (problem,) = rules.files(["dags/fine.py", path])
    assert problem.found.startswith(f"file {path!r}: ")


def test_names_with_spaces_and_umlauts_are_fine():
    assert list(rules.files(["dags/mit Leerzeichen äöü.py", "data/config/base.yaml", "plugins/a+b,c=d;e'f.py"])) == []
