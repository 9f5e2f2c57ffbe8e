"""The page in a real browser: asking, reading, drawing, failing, by mouse and by keys, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from archive.faults import UsageFault
from archive.query import Question
from tests.faces import NAME, Scripted, app, listening, rows

pytestmark = pytest.mark.service

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-prefers-reduced-motion --window-size=1300,1000"
).split()


def reply(question: Question) -> Iterator[pa.RecordBatch]:
    """A fault where the query names ``raa``, nothing where it says so, else stars, as many as may be shown."""
    query = question.text
    if "raa" in query:
        before = query[: query.index("raa")].split("\n")
        at = f"line {len(before)}, column {len(before[-1]) + 1}"
        raise UsageFault(f"{at}: there is no column raa in dr1.star.", "Did you mean ra?")
    count = 0 if "nothing" in query else 12 if "CIRCLE" in query else 2000
    return iter(rows(count).slice(0, question.maxrec).to_batches())


@pytest.fixture(scope="module")
def serving() -> Scripted:
    serving = Scripted()
    serving.reply = reply
    return serving


@pytest.fixture(scope="module")
def address(serving: Scripted) -> Iterator[str]:
    with listening(app(serving)) as url:
        yield url


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = program("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, Service(program("chromedriver")))
    yield browser
    browser.quit()


class Page:
    """The overview, opened afresh and waited for."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser = browser
        browser.get("about:blank")
        browser.get(f"{address}/")
        self.wait(lambda: self.status().startswith("2 000 rows"))

    def wait(self, holds: Callable[[], object]) -> None:
        WebDriverWait(self.browser, 10).until(lambda _: holds())

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def status(self) -> str:
        return self.one("[data-status]").text.replace("\u202f", " ")

    def write(self, query: str) -> None:
        self.browser.execute_script("arguments[0].value = ''", self.one("textarea"))
        self.one("textarea").send_keys(query)

    def lit(self) -> int:
        """How many points of the drawn sky are brighter than its ground and lines."""
        return self.browser.execute_script(
            "const c = document.querySelector('canvas'); let n = 0;"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "for (let i = 0; i < d.length; i += 4) { n += d[i] > 190 && d[i + 1] > 170; } return n;"
        )


@pytest.fixture
def page(chromium: webdriver.Chrome, address: str) -> Iterator[Page]:
    yield Page(chromium, address)
    complaints = [each["message"] for each in chromium.get_log("browser") if "400 (BAD REQUEST)" not in each["message"]]
    assert complaints == []


def test_the_sky_is_there_at_once(page: Page) -> None:
    assert page.one("canvas").get_attribute("aria-label").startswith("Sky map of 2000 positions")
    assert page.lit() > 1000
    assert [each.text for each in page.all("#answer thead button")] == ["id", "ra", "dec", "mag"]
    assert [each.text for each in page.all("#answer thead .unit")] == ["", "deg", "deg", "mag"]
    assert len(page.all("#answer tbody tr")) == 200


def test_more_rows_and_sorting(page: Page) -> None:
    page.one("[data-more]").click()
    assert len(page.all("#answer tbody tr")) == 400
    for expected in ("0", "1999"):
        page.all("#answer thead button")[0].click()
        assert page.one("#answer tbody td").text == expected
    assert page.one("#answer thead th").get_attribute("aria-sort") == "descending"


def test_an_example_is_a_click(page: Page) -> None:
    next(each for each in page.all("[data-example]") if "Pleiades" in each.text).click()
    page.wait(lambda: page.status().startswith("12 rows"))
    assert "CIRCLE" in page.one("textarea").get_attribute("value")
    assert "#query=SELECT" in page.browser.current_url


def test_keys_run_a_query_and_errors_show_their_place(page: Page) -> None:
    page.write("SELECT id,\n  raa\nFROM dr1.star")
    page.one("textarea").send_keys(Keys.CONTROL, Keys.ENTER)
    page.wait(lambda: page.one("[data-error]").is_displayed())
    told = page.one("[data-error]").text
    assert "Line 2, column 3" in told
    assert "There is no column raa in dr1.star. Did you mean ra?" in told
    assert page.one(".editor .bad").get_attribute("textContent") == "raa"
    assert page.browser.switch_to.active_element.get_attribute("selectionStart") == "13"
    assert not page.one("#answer").is_displayed()
    page.write("SELECT ra, dec FROM dr1.star")
    assert page.all(".editor .bad") == []
    page.one(".run").click()
    page.wait(lambda: page.one("#answer").is_displayed())
    assert not page.one("[data-error]").is_displayed()


def test_no_rows_are_told_and_draw_nothing(page: Page) -> None:
    page.write("SELECT nothing FROM dr1.star")
    page.one(".run").click()
    page.wait(lambda: page.status().startswith("0 rows"))
    assert not page.one("[data-sky]").is_displayed()


def test_a_link_carries_its_query(page: Page, address: str) -> None:
    page.browser.get("about:blank")
    page.browser.get(f"{address}/#query=SELECT+id%2C+%27CIRCLE%27%0AFROM+dr1.star")
    page.wait(lambda: page.status().startswith("12 rows"))
    assert page.one("textarea").get_attribute("value") == "SELECT id, 'CIRCLE'\nFROM dr1.star"


def test_tables_open_and_columns_go_into_the_query(page: Page) -> None:
    page.one("details.table > summary").click()
    page.wait(lambda: page.all("[data-insert]"))
    assert [each.text for each in page.all("[data-insert] .name")][:5] == ["id", "ra", "dec", "mag", '"size"']
    page.write("SELECT")
    page.all("[data-insert]")[4].click()
    assert page.one("textarea").get_attribute("value") == 'SELECT "size"'


def test_tables_can_be_found(page: Page) -> None:
    page.one("[data-filter=tables]").send_keys("key_col")
    shown = [each for each in page.all("li[data-entry] .name") if each.is_displayed()]
    assert [each.text for each in shown] == ["key_columns"]


def test_a_point_of_the_sky_leads_to_its_row(page: Page) -> None:
    page.browser.execute_script(
        "const c = document.querySelector('canvas'); const b = c.getBoundingClientRect();"
        "for (const kind of ['pointermove', 'pointerdown', 'pointerup']) c.dispatchEvent(new PointerEvent(kind,"
        "{pointerId: 1, bubbles: true, clientX: b.x + b.width / 2, clientY: b.y + b.height / 2}))"
    )
    page.wait(lambda: page.all("#answer tr.picked"))
    tip = page.one("[data-tip]").text
    assert f"id  {page.one('#answer tr.picked td').text}" in tip
    assert "deg" in tip


def test_the_field_is_a_closer_look(page: Page) -> None:
    page.one("[data-view=field]").click()
    page.wait(lambda: "150° high" in page.one("[data-sky-caption]").text)
    page.one("canvas").send_keys("+")
    page.wait(lambda: "120° high" in page.one("[data-sky-caption]").text)
    assert page.lit() > 500


def test_light_and_dark(page: Page) -> None:
    def ground() -> str:
        return page.browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    first = ground()
    page.one("[data-theme-button]").click()
    second = ground()
    page.browser.refresh()
    page.wait(lambda: page.all("#answer tbody tr"))
    assert first != second == ground()
    page.browser.execute_script("localStorage.clear()")


def test_many_columns_stay_inside_their_box(page: Page, serving: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = tuple(replace(NAME, name=f"a_column_with_a_long_name_{number}", arraysize="*") for number in range(20))
    monkeypatch.setattr(serving, "columns", wide)
    cells = pa.record_batch([pa.array(["some words to fill a cell"])] * 20, names=[column.name for column in wide])
    monkeypatch.setattr(serving, "reply", lambda question: iter([cells]))
    page.write("SELECT * FROM dr1.star")
    page.one(".run").click()
    page.wait(lambda: page.status().startswith("1 row "))
    width = page.browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1]


def test_a_narrow_screen_needs_no_sideways_scrolling(page: Page, address: str) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for path in ("/", "/table/dr1/star"):
            page.browser.get(address + path)
            page.wait(lambda: page.all("tbody tr"))
            assert page.browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_all_rows_can_be_downloaded(page: Page, tmp_path: Path) -> None:
    page.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.one("[data-download=csv]").click()
    page.wait(lambda: (tmp_path / "answer.csv").exists())
    assert len((tmp_path / "answer.csv").read_text().splitlines()) == 2001
