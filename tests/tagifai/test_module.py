import hashlib
import json
from pathlib import Path

import pytest

from tagifai import dataset, findings, train
from tagifai.run_module import run_module
from tagifai.snapshot import hash_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "bayes.py"


def hashed(path):
    return f"{path}#sha256={hashlib.sha256(Path(path).read_bytes()).hexdigest()}"


@pytest.fixture(scope="session")
def var(tmp_path_factory):
    """Folder of the environments of all tests, so that each is made once."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture
def searched(make_settings, best_of_one, uri, var):
    settings = make_settings(var=var)
    study = f"{hash_of(uri)}-by-hand"
    findings.write(settings, study, best_of_one)
    return settings, {"uri": uri, "study": study}


def test_the_example_trains(searched):
    settings, options = searched
    facts = run_module(settings, module=hashed(EXAMPLE), **options)
    print(json.dumps(facts, indent=1))
    test = dataset.load(settings, options["uri"]).test
    assert (train.load(facts["model"]).predict(test) == test["tag"]).mean() > 0.8
