"""Airflow's page as a person sees it, and every page that it links, in a real browser.

With SCREENSHOTS=folder the pictures of the README are written there.
"""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium.webdriver.common.by import By

# The session's first request, without a login; a request that is open when its page is left; a container's network that
# comes or goes.
EXPECTED = (
    "/ui/config - Failed to load resource: the server responded with a status of 401",
    "DOMException: signal is aborted without reason",
    "ERR_NETWORK_CHANGED",
)
# What the links of tasks are called, by task.
LINKS = {
    "dataops": {"extract_and_load_tags": "Sync log", "validate_tags": "Validation result", "transform": "dbt docs"},
    "mlops": {"validate": "Validation result", "train": "MLflow model", "promote": "MLflow run"},
}
PICTURES = {"dataops": "airflow-dataops.png", "mlops": "airflow-mlops.png"}

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture
def page(stack, first_run, browser):
    """The browser, logged in to Airflow."""
    # It keeps these logins, as it does once a person has typed them.
    for name, path in (("mlflow", "/api/2.0/mlflow/experiments/search?max_results=1"), ("airbyte", "/")):
        login = ":".join(quote(word, safe="") for word in stack.logins[name])
        browser.get(f"http://{login}@localhost:{stack.ports[name]}{path}")
    user, password = stack.logins["airflow"]
    browser.get(stack.url("airflow"))
    browser.type(By.NAME, "username", user)
    browser.type(By.NAME, "password", password)
    browser.click(By.XPATH, "//button[.='Sign in']")
    browser.wait_for("Welcome")
    # What is no page, as the first of them, has no icon.
    browser.complaints()
    return browser


def picture(page, name):
    """Keep what is seen now, where somebody wants it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.save_screenshot(str(Path(folder) / name))


def errors(page):
    """Errors of the pages since the last look."""
    lines = [each["message"] for each in page.complaints() if each["level"] == "SEVERE"]
    return [line for line in lines if not any(expected in line for expected in EXPECTED)]


def run_ids(stack):
    """Ids of the latest run of each graph."""
    with stack.airflow() as airflow:
        latest = {"order_by": "-run_after", "limit": 1, "state": "success"}
        return {
            dag_id: airflow.get(f"/dags/{dag_id}/dagRuns", params=latest).json()["dag_runs"][0]["dag_run_id"]
            for dag_id in LINKS
        }


def test_both_graphs_a_log_and_every_linked_page_open_without_an_error(stack, page):
    for dag_id, run_id in run_ids(stack).items():
        run = f"{stack.url('airflow')}/dags/{dag_id}/runs/{quote(run_id)}"
        page.get(run)
        page.click(By.CSS_SELECTOR, "[aria-label^='Show Graph']")
        page.until(lambda: len(page.find_elements(By.CSS_SELECTOR, ".react-flow__node")) >= 7)
        picture(page, PICTURES[dag_id])
        assert errors(page) == []
        for task, title in LINKS[dag_id].items():
            page.get(f"{run}/tasks/{task}")
            # A line of the log.
            page.find(By.CSS_SELECTOR, "a[href*='try_number=']")
            page.get(f"{run}/tasks/{task}/details")
            link = page.until(lambda title=title: page.find_element(By.LINK_TEXT, title).get_attribute("href"))
            assert errors(page) == []
            page.get(link)
            page.until(lambda: len(page.text) > 50)
            assert errors(page) == [], link


def test_every_page_of_the_menu_opens_without_an_error(stack, page):
    page.click(By.XPATH, "//button[.='Plugins']")

    def shown():
        entries = page.find_elements(By.CSS_SELECTOR, "a[role=menuitem], [role=menuitem] a")
        links = {each.text: each.get_attribute("href") for each in entries}
        return links.keys() == {"MLflow", "Airbyte", "Data docs", "dbt docs"} and links

    links = page.until(shown)
    for name, text in (("MLflow", "tagifai"), ("Airbyte", "projects")):
        page.get(links[name] if name == "Airbyte" else f"{links[name]}#/models")
        page.wait_for(text)
        assert errors(page) == [], name
    for name, text in (("Data docs", "labeled_projects"), ("dbt docs", "Overview")):
        page.get(links[name])
        page.switch_to.frame(page.find(By.TAG_NAME, "iframe"))
        page.wait_for(text)
        page.switch_to.default_content()
        assert errors(page) == [], name


def test_the_home_page_shows_every_service_up(stack, page):
    page.get(stack.url("docs"))
    page.until(lambda: page.text.count("Up") >= 3)
    picture(page, "home.png")
    assert errors(page) == []
