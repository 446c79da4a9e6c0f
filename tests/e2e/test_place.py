"""The embedded place keeps the contract of a place; and what is known of its files beside."""

import re
from urllib.parse import unquote, urlsplit

import pytest
from place_contract import PlaceContract

pytestmark = pytest.mark.xdist_group("instance")


@pytest.fixture(scope="module")
def before(place):
    """What consumers read after the first run."""
    return place.instance.consumers_read()


@pytest.fixture(scope="module")
def ran(place, before):
    """A second run, on the same source."""
    return place.make("run")


class TestEmbedded(PlaceContract):
    """The embedded place."""

    def test_run_prints_every_task_and_the_champion_and_writes_the_summary(self, place, ran, before):
        super().test_run_prints_every_task_and_the_champion_and_writes_the_summary(place, ran)
        facts, after = place.instance.summary(), place.instance.consumers_read()
        # The snapshot is that of the first run.
        assert facts["study"] == {"name": facts["study"]["name"], "trials": 4, "run": 0, "reused": True}
        assert re.search(r"^trials +4, all reused from an earlier run$", ran.stdout, re.MULTILINE)
        assert facts["gate"]["decision"] == "kept"
        assert str(facts["champion"]["version"]) == before["champion"] == after["champion"]
        assert after["marts.labeled_projects"] == before["marts.labeled_projects"]
        assert [row[:4] for row in after["marts.predictions"]] == [row[:4] for row in before["marts.predictions"]]

    def test_explain_writes_a_page_that_names_run_and_champion(self, place):
        super().test_explain_writes_a_page_that_names_run_and_champion(place)
        page = place.output.split()[-1]
        run_id = place.instance.summary()["dataops"]["run_id"]
        # The same page for the runs of both graphs, and by default for the latest.
        assert [place.make("explain", **run).stdout.split()[-1] for run in ({"RUN": run_id}, {})] == [page, page]

    def test_demo_failure_shows_the_gate_and_that_consumers_read_the_same(self, place):
        def state():
            return place.instance.consumers_read(), place.read("config.yaml"), place.read("summary.json")

        before = state()
        super().test_demo_failure_shows_the_gate_and_that_consumers_read_the_same(place)
        assert state() == before
        assert f"{place.instance.var}/demo-failure" in place.output
        (link,) = re.findall(r"\S+#failed-\d+", place.output)
        address = urlsplit(link)
        page = place.open(link) if address.scheme != "file" else place.open(unquote(address.path))
        section = page.partition(f'id="{address.fragment}"')[2].partition("</section>")[0]
        assert re.search(r"unique|null|differ", section)
