"""Addresses in reports, as links of a page."""

import pytest

from stack.runs.links import Links


@pytest.fixture
def links(place):
    return Links(place)


@pytest.mark.parametrize("service", ["airflow", "mlflow", "airbyte", "docs"])
def test_a_service_is_replaced_by_the_base_url_that_a_browser_uses(links, settings, service):
    assert links.address(f"{service}:/#/a b/7?x=1") == f"{settings.link(service)}/#/a b/7?x=1"


@pytest.mark.parametrize("url", ["http://example.org/a?b#c", "https://example.org"])
def test_urls_stay_as_they_are(links, url):
    assert links.address(url) == url


def test_files_are_linked_by_paths_from_the_page_where_they_exist(links, settings):
    path = settings.var / "docs" / "a b#1.html"
    for prefix in ("file://", ""):
        assert links.address(f"{prefix}{path}".replace("#", "%23" if prefix else "#")) is None
    path.parent.mkdir()
    path.touch()
    assert links.address(f"file://{path.parent}/a%20b%231.html") == "../docs/a%20b%231.html"
    assert links.address(f"{path}") == links.file("docs/a b#1.html") == "../docs/a%20b%231.html"


@pytest.mark.parametrize(
    "address",
    [
        *("javascript:alert(1)", "data:text/html,x", "postgres:/x", "mlflow:x", "a/b", ""),
        *("/etc/hostname", "file:///etc/hostname", "{var}/../secrets", "file://[", "/\0", "/" + "a" * 5000),
    ],
)
def test_what_is_no_file_of_the_instance_and_no_address_of_a_known_kind_is_no_link(links, settings, address):
    (settings.var.parent / "secrets").touch()
    assert links.address(address.replace("{var}", str(settings.var))) is None


def test_a_path_of_a_service_leads_to_no_other_host(links, settings):
    assert links.address("mlflow://other.example") == f"{settings.link('mlflow')}//other.example"


def test_a_file_that_the_place_cannot_show_in_a_browser_is_no_link(links, place, settings, monkeypatch):
    monkeypatch.setattr(place, "file", lambda path: None)
    assert links.address(str(settings.var)) is None
