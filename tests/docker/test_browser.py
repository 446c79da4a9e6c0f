"""Airflow's pages, and every page that they link to, in a real browser.

With SCREENSHOTS=folder the pictures of the README are written there.
"""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from browser_testing import CUT, TRIES
from selenium.webdriver.common.by import By

pytestmark = pytest.mark.xdist_group("stack")

# The session's first request, before the login; a request that is still open when its page is left.
EXPECTED = (
    "/ui/config - Failed to load resource: the server responded with a status of 401",
    "DOMException: signal is aborted without reason",
)
# The names of the tasks' links.
LINKS = {
    "dataops": {"extract_and_load_tags": "Sync log", "validate_tags": "Validation result", "transform": "dbt docs"},
    "mlops": {
        "validate": "Validation result",
        "train": "MLflow model",
        "promote": "MLflow run",
        "validate_predictions": "Validation result",
    },
}
MENU = "a[role=menuitem], [role=menuitem] a"
PICTURES = {"dataops": "airflow-dataops.png", "mlops": "airflow-mlops.png"}


@pytest.fixture
def page(stack, first_run, browser):
    """The browser, logged in to Airflow."""
    # The browser keeps these logins, as if a person had typed them.
    for name, path in (("mlflow", "/api/2.0/mlflow/experiments/search?max_results=1"), ("airbyte", "/")):
        login = ":".join(quote(word, safe="") for word in stack.logins[name])
        browser.get(f"http://{login}@localhost:{stack.ports[name]}{path}")
    # An answer that is not a page has no icon.
    browser.complaints()

    def logged_in():
        # Again where the network cut the answer, which leaves the form as it is.
        if browser.find_elements(By.NAME, "username"):
            for name, text in zip(("username", "password"), stack.logins["airflow"], strict=True):
                field = browser.find_element(By.NAME, name)
                field.clear()
                field.send_keys(text)
            browser.find_element(By.XPATH, "//button[.='Sign in']").click()
        return "Welcome" in browser.text

    opened(browser, stack.url("airflow"), logged_in)
    return browser


def opened(page, url, shown):
    """Open a page and wait until `shown` is true; returns its value. Opens it again if it was cut off."""
    page.complaints()
    lines = []

    def is_cut():
        lines.extend(each["message"] for each in page.complaints() if each["level"] == "SEVERE")
        return any(CUT in line for line in lines)

    for _ in range(TRIES):
        lines.clear()
        page.get(url)
        found = page.until(lambda: is_cut() or shown())
        if not is_cut():
            break
    assert [line for line in lines if not any(expected in line for expected in EXPECTED)] == [], url
    return found


def picture(page, name):
    """Save a screenshot if SCREENSHOTS is set."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.save_screenshot(str(Path(folder) / name))


def run_ids(stack):
    """Id of the latest run of each graph."""
    with stack.airflow() as airflow:
        latest = {"order_by": "-run_after", "limit": 1, "state": "success"}
        return {
            dag_id: airflow.get(f"/dags/{dag_id}/dagRuns", params=latest).json()["dag_runs"][0]["dag_run_id"]
            for dag_id in LINKS
        }


def test_both_graphs_a_log_and_every_linked_page_open_without_an_error(stack, page):
    def graph():
        page.find_element(By.CSS_SELECTOR, "[aria-label^='Show Graph']").click()
        return len(page.find_elements(By.CSS_SELECTOR, ".react-flow__node")) >= 7

    for dag_id, run_id in run_ids(stack).items():
        run = f"{stack.url('airflow')}/dags/{dag_id}/runs/{quote(run_id)}"
        opened(page, run, graph)
        picture(page, PICTURES[dag_id])
        for task, title in LINKS[dag_id].items():
            # A line of the log.
            opened(page, f"{run}/tasks/{task}", lambda: page.find_element(By.CSS_SELECTOR, "a[href*='try_number=']"))
            link = opened(
                page,
                f"{run}/tasks/{task}/details",
                lambda title=title: page.find_element(By.LINK_TEXT, title).get_attribute("href"),
            )
            opened(page, link, lambda: len(page.text) > 50)


def test_every_page_of_the_menu_opens_without_an_error(stack, page):
    def menu():
        if not page.find_elements(By.CSS_SELECTOR, MENU):
            page.find_element(By.XPATH, "//button[.='Plugins']").click()
        links = {each.text: each.get_attribute("href") for each in page.find_elements(By.CSS_SELECTOR, MENU)}
        return links.keys() == {"MLflow", "Airbyte", "Data docs", "dbt docs"} and links

    def framed(text):
        page.switch_to.default_content()
        page.switch_to.frame(page.find_element(By.TAG_NAME, "iframe"))
        return text in page.text

    links = opened(page, stack.url("airflow"), menu)
    opened(page, f"{links['MLflow']}#/models", lambda: "tagifai" in page.text)
    opened(page, links["Airbyte"], lambda: "projects" in page.text)
    opened(page, links["Data docs"], lambda: framed("labeled_projects"))
    opened(page, links["dbt docs"], lambda: framed("Overview"))


def test_the_home_page_shows_every_service_up(stack, page):
    opened(page, stack.url("docs"), lambda: page.text.count("Up") >= 3)
    picture(page, "home.png")
