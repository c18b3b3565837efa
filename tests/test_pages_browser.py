"""The pages as people use them: each page's main task, in a real browser, at phone and desk width."""

from __future__ import annotations

import csv
import re
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from shutil import which

import openpyxl
import pytest
import uvicorn
from shown import HOSTILE, LIKE_A_COLOUR, fill
from test_pages import EVENTS, application

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PAGES = {
    "at-risk": "/",
    "customer": "/customers/c005",
    "campaigns": "/campaigns",
    "plan": "/campaigns/new",
    "journey": "/journey",
    "compare": "/journey?group=outcome:churned&compare=outcome:stayed",
    "models": "/models",
    "data": "/data",
    "problem": "/customers/nobody",
    "empty": "/?customer=nobody",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server on a small store; the address."""
    folder = tmp_path_factory.mktemp("browsed")
    url = f"sqlite:///{folder}/scores.db"
    app = application(fill(url, folder), url)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def opened(browser, server):
    """Opens a page in a window of its own; what the browser complains of fails the test."""
    contexts, complaints = [], []

    def open_page(path="/", viewport=None, **options):
        context = browser.new_context(viewport=viewport or DESK, base_url=server, accept_downloads=True, **options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
        page.on("request", lambda request: complaints.append(request.url) if foreign(request.url, server) else None)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def foreign(url, server):
    return not url.startswith((server, "data:", "blob:"))


def ids(page):
    return page.locator(".rows .who a").all_inner_texts()


def choose(page, name, value):
    page.get_by_role("combobox", name=name, exact=True).select_option(value)


def drawn(page):
    """Wait until every figure is drawn."""
    page.wait_for_function("() => [...document.querySelectorAll('[data-figure]')].every((one) => one.dataset.drawn)")


@pytest.fixture(params=[PHONE, DESK], ids=["phone", "desk"])
def viewport(request):
    return request.param


def test_the_list_is_filtered_sorted_opened_and_shared_by_its_address(opened, viewport):
    page = opened("/", viewport)
    page.get_by_text("Filter and sort").click()
    choose(page, "Risk", "high")
    choose(page, "Sort by", "profit")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url(re.compile(r"/\?risk=high&sort=profit"))
    found = ids(page)
    assert ids(opened(page.url.split("/", 3)[3].join(["/", ""]), viewport)) == found
    assert page.get_by_label("Remove the filter Risk: High").is_visible()
    page.locator(".rows .who a").first.click()
    assert page.get_by_role("heading", level=1).inner_text() == found[0]
    assert page.locator(".sum").count() == 3


def test_a_customer_is_found_by_the_beginning_of_an_id(opened):
    page = opened("/")
    page.get_by_label("Find a customer by id").fill("c01")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("customer=c01"))
    assert len(ids(page)) == 10


def test_the_downloaded_files_hold_what_is_shown(opened, tmp_path):
    page = opened("/?risk=high&limit=100")
    shown = ids(page)
    files = {}
    for words, name in (("CSV", "list.csv"), ("Excel (XLSX)", "list.xlsx")):
        page.get_by_text("Download", exact=True).click()
        with page.expect_download() as got:
            page.get_by_role("link", name=words).click()
        got.value.save_as(files.setdefault(name, tmp_path / name))
        page.keyboard.press("Escape")
    with files["list.csv"].open(encoding="utf-8-sig") as file:
        assert [row["customer_id"] for row in csv.DictReader(file)] == shown
    rows = openpyxl.load_workbook(files["list.xlsx"]).worksheets[0].iter_rows(min_row=1, values_only=True)
    assert [row[0] for row in rows if row[0] in shown] == shown


def test_customers_are_worked_on(opened, viewport):
    page = opened("/?risk=medium&limit=25", viewport)
    first = ids(page)[0]
    page.get_by_label(f"Select {first}").check()
    assert page.get_by_text("1 selected").is_visible()
    page.locator("summary", has_text="Assign").click()
    page.get_by_label("To", exact=True).fill("Ada")
    page.get_by_role("button", name="Assign").click()
    assert page.get_by_role("status").first.inner_text() == "1 customer assigned."
    row = page.locator(".rows tbody tr", has=page.get_by_role("link", name=first, exact=True))
    assert "Ada" in row.inner_text()


ENTERED = {
    "Assign": ("To", "Eve", "1 customer assigned."),
    "Snooze": ("Until", "2099-01-01", "1 customer snoozed."),
    "Contacted": ("By", "phone", "1 customer marked as contacted."),
}


@pytest.mark.parametrize("menu", ENTERED)
def test_enter_in_a_field_presses_the_button_beside_it(opened, menu):
    field, value, said = ENTERED[menu]
    page = opened("/?customer=c05&include=suppressed&include=snoozed")
    at = list(ENTERED).index(menu)
    for path, customer in ((page.url, f"c05{at}"), (f"/customers/c05{at + 4}", None)):
        page.goto(path)
        if customer:
            page.get_by_label(f"Select {customer}").check()
        page.locator("summary", has_text=menu).click()
        page.get_by_label(field, exact=True).fill(value)
        page.get_by_label(field, exact=True).press("Enter")
        assert page.get_by_role("status").first.inner_text() == said


def test_enter_changes_nothing_where_no_script_says_what_it_presses(opened):
    page = opened("/?customer=c058", java_script_enabled=False)
    page.get_by_label("Select c058").check()
    page.locator("summary", has_text="Contacted").click()
    page.get_by_label("By", exact=True).press("Enter")
    assert page.get_by_label("Select c058").is_checked()
    page.goto("/customers/c058")
    page.locator("summary", has_text="Contacted").click()
    page.get_by_label("By", exact=True).press("Enter")
    assert "1 customer marked as contacted." in page.locator("main").inner_text()


def test_everyone_who_matches_is_worked_on_at_once(opened):
    page = opened("/?stage=lapsed&limit=25")
    many = int(re.search(r"matches \((\d+)\)", page.locator(".workbar").inner_text())[1])
    assert many > 25
    page.get_by_label(re.compile("Everyone who matches")).check()
    page.locator("summary", has_text="Contacted").click()
    page.get_by_label("By", exact=True).fill("phone")
    page.get_by_role("button", name="Mark as contacted").click()
    assert page.get_by_role("heading", level=1).inner_text() == f"{many} customers marked as contacted?"
    page.get_by_role("button", name=f"Yes, all {many}").click()
    assert page.get_by_role("status").first.inner_text() == f"{many} customers marked as contacted."
    assert page.get_by_text("Nobody matches").is_visible()


def test_a_campaign_is_planned_with_its_curve_and_made(opened, viewport):
    page = opened(f"/?risk=high&segment=age:{'old' if viewport is DESK else 'young'}", viewport)
    page.get_by_role("link", name="Plan a campaign").click()
    page.get_by_label(re.compile("The incentive costs")).fill("2")
    page.get_by_label("Name").fill("Spring <b>")
    page.get_by_role("button", name="Reckon again").click()
    drawn(page)
    assert "best length" in page.locator(".plot").inner_text()
    page.get_by_role("button", name="Make this campaign").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Spring <b>"
    page.get_by_label("Sent by").fill("email")
    page.get_by_role("button", name="Mark as sent now").click()
    assert "contacts are in the event log" in page.get_by_role("status").first.inner_text()


def test_groups_are_compared(opened, viewport):
    page = opened("/journey", viewport)
    choose(page, "Show", "age:young")
    page.wait_for_url(re.compile("group=age"))
    choose(page, "Compare with", "age:old")
    page.wait_for_url(re.compile("compare=age"))
    drawn(page)
    assert page.locator("[data-figure]").count() == 3
    assert "beside" in page.locator(".head").inner_text()


def test_a_file_is_uploaded_after_a_look(opened, tmp_path, viewport):
    (tmp_path / "more.csv").write_text(EVENTS.replace("12.5", str(viewport["width"])))
    page = opened("/data", viewport)
    page.get_by_label(re.compile("Event file")).set_input_files(tmp_path / "more.csv")
    page.get_by_role("button", name="Show how it is understood").click()
    assert "1 row with no readable time is left out" in page.locator("main").inner_text()
    page.get_by_role("button", name="Store these 2 events").click()
    assert "stored" in page.get_by_role("status").first.inner_text()


def test_hostile_names_are_text_in_tables_and_figures(opened):
    page = opened(f"/customers/{HOSTILE.replace('/', '%2F')}")
    drawn(page)
    assert page.get_by_role("heading", level=1).inner_text() == HOSTILE
    found = page.locator("#figure-timeline .plot").text_content()
    assert HOSTILE in found
    assert LIKE_A_COLOUR in found
    page.goto("/data")
    drawn(page)
    found = page.locator("#figure-volume .plot").text_content()
    assert HOSTILE in found
    assert LIKE_A_COLOUR in found
    page.goto("/journey")
    drawn(page)
    assert HOSTILE in page.locator("main").inner_text()


def test_everything_is_reached_by_keyboard(opened):
    page = opened("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    page.locator("summary", has_text="Assign").focus()
    page.keyboard.press("Enter")
    assert page.get_by_label("To", exact=True).is_visible()
    page.keyboard.press("Escape")
    assert page.get_by_label("To", exact=True).is_hidden()


def test_the_list_is_worked_without_scripts(opened):
    page = opened("/", java_script_enabled=False)
    page.get_by_text("Filter and sort").click()
    choose(page, "Risk", "medium")
    page.get_by_role("button", name="Apply").click()
    assert page.url.endswith("/?risk=medium&limit=50")
    page.locator(".rows input[name=customer]").first.check()
    page.locator("summary", has_text="Snooze").click()
    page.get_by_label("Until").fill("2099-01-01")
    page.get_by_role("button", name="Snooze").click()
    assert "1 customer snoozed" in page.locator("main").inner_text()


def test_the_first_page_is_small_and_its_assets_come_once(opened):
    page = opened("/")
    page.wait_for_load_state("networkidle")
    sizes = page.evaluate(_SIZES)
    assert 0 < sum(sizes.values()) < 1_000_000
    assert not any("plotly" in url for url in sizes)
    page.goto("/journey")
    drawn(page)
    assert any("plotly" in url and size > 0 for url, size in page.evaluate(_SIZES).items())
    page.goto("/journey?group=age:old")
    drawn(page)
    again = page.evaluate(_SIZES)
    assert {size for url, size in again.items() if "/assets/" in url} == {0}


_SIZES = """() => Object.fromEntries(
    ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
    .map((one) => [one.name, one.transferSize])
)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_keeps_anyone_out(opened, request, scheme):
    from axe_playwright_python.sync_playwright import Axe

    folder, found = request.config.getoption("--screenshots"), {}
    page = opened("/", color_scheme=scheme, reduced_motion="reduce")
    for name, path in PAGES.items():
        page.goto(path)
        drawn(page)
        told = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        found |= {
            f"{name}: {one['id']}": one["nodes"][0]["html"] for one in told if one["impact"] in ("serious", "critical")
        }
        if folder:
            _keep(page, Path(folder), f"{name}-desk-{scheme}")
    assert found == {}


@pytest.mark.parametrize("width", [360, 2560])
def test_no_page_is_wider_than_its_window(opened, request, width):
    folder = request.config.getoption("--screenshots")
    page = opened("/", {"width": width, "height": 800}, color_scheme="dark" if width > 1000 else "light")
    wide = {}
    for name, path in PAGES.items():
        page.goto(path)
        drawn(page)
        if over := page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"):
            wide[name] = over
        if folder:
            _keep(page, Path(folder), f"{name}-{width}")
    assert wide == {}


@pytest.mark.parametrize("path", ["/", "/customers/c005"])
def test_every_menu_opens_within_a_narrow_window(opened, path):
    page = opened(path, {"width": 360, "height": 800})
    for summary in page.locator("main details.menu > summary").all():
        summary.click()
        box = page.locator("main details.menu[open] > .menu-in").bounding_box()
        assert box["x"] >= 0, summary.inner_text()
        assert box["x"] + box["width"] <= 360, summary.inner_text()
        page.keyboard.press("Escape")


def _keep(page, folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
