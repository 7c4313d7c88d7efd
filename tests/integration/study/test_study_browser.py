"""The pages of `training study` in a real browser, as raters use them: keys, phone, dark, French."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from study_helpers import serving, write_art

from training.study.command import study

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt install chromium")

METHODS = {"redone": (210, 70, 60), "bluer": (60, 80, 210)}
PHONE = {"viewport": {"width": 375, "height": 667}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, Path]]]:
    """Address and folder of a study with ratings and of one with pairs, both served."""
    base = tmp_path_factory.mktemp("study")
    methods = write_art(base / "art", METHODS)
    for mode in ("ratings", "pairs"):
        result = CliRunner().invoke(study, ["make", str(base / mode), *methods, "--mode", mode, "--title", "Wednesday"])
        assert result.exit_code == 0, result.output
    with serving(base / "ratings") as ratings, serving(base / "pairs") as pairs:
        yield {"ratings": (ratings.address, base / "ratings"), "pairs": (pairs.address, base / "pairs")}


@pytest.fixture
def open_page(browser: Any, studies: dict[str, tuple[str, Path]]) -> Iterator[Callable[..., Any]]:
    """Opener of a study's first page in a fresh browser profile; no page may complain or ask another host."""
    contexts: list[Any] = []
    trouble: list[str] = []
    own = tuple(address for address, _ in studies.values())

    def open_(mode: str = "ratings", **options: Any) -> Any:
        context = browser.new_context(**({"locale": "en-GB"} | options))
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(own) else trouble.append(asked.url))
        page.goto(studies[mode][0])
        return page

    yield open_
    for context in contexts:
        context.close()
    assert trouble == []


def answers(folder: Path, code: str) -> list[int]:
    with closing(sqlite3.connect(folder / "study.sqlite")) as db:
        found = db.execute(
            "SELECT value FROM answers JOIN raters ON id = rater WHERE code = ? ORDER BY position",
            (code.replace("-", ""),),
        )
        return [value for (value,) in found]


def expect_at(page: Any, text: str) -> None:
    """Wait for the task of this number, with its pictures and its script."""
    page.get_by_text(text, exact=True).wait_for()
    page.wait_for_load_state("load")


def test_keys_rate_step_back_and_correct(open_page: Callable[..., Any], studies: dict[str, tuple[str, Path]]) -> None:
    page = open_page()
    page.get_by_role("button", name="Begin").click()
    code = page.locator(".code").inner_text()
    for number, key in enumerate("312", 1):
        expect_at(page, f"{number} of 6")
        page.keyboard.press(key)
    expect_at(page, "4 of 6")
    page.keyboard.press("Backspace")
    expect_at(page, "3 of 6")
    assert "Poor" in page.get_by_role("status").inner_text()
    page.keyboard.press("5")
    expect_at(page, "4 of 6")
    page.keyboard.press("7")
    page.keyboard.press("Control+4")
    # A French keyboard gives "&" on the key of 1.
    page.evaluate(
        "dispatch = (extra) => document.body.dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, ...extra}))"
    )
    page.evaluate("dispatch({key: '4', code: 'Digit4', repeat: true})")
    assert answers(studies["ratings"][1], code) == [3, 1, 5]
    page.evaluate("dispatch({key: '&', code: 'Digit1'})")
    expect_at(page, "5 of 6")
    page.get_by_label("Keys answer").uncheck()
    page.keyboard.press("2")
    page.reload()
    expect_at(page, "5 of 6")
    assert not page.get_by_label("Keys answer").is_checked()
    page.get_by_role("button", name="4 Good").click()
    expect_at(page, "6 of 6")
    page.get_by_role("button", name="5 Excellent").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Thank you!").wait_for()
    assert answers(studies["ratings"][1], code) == [3, 1, 5, 1, 4, 5]


def test_a_key_does_not_rate_a_picture_that_is_not_there_yet(
    open_page: Callable[..., Any], studies: dict[str, tuple[str, Path]]
) -> None:
    page = open_page()
    held: list[Any] = []
    page.route("**/picture/**", lambda route: held.append(route))
    page.get_by_role("button", name="Begin").click(no_wait_after=True)
    page.locator("#answer").wait_for()
    code = page.locator(".code").inner_text()
    page.wait_for_function("!document.getElementById('keys').hidden")
    page.keyboard.press("5")
    page.wait_for_timeout(200)
    assert answers(studies["ratings"][1], code) == []
    held.pop().continue_()
    expect_at(page, "1 of 6")
    page.keyboard.press("5")
    page.get_by_text("2 of 6", exact=True).wait_for()
    assert answers(studies["ratings"][1], code) == [5]


def test_arrows_and_clicks_choose_between_two(
    open_page: Callable[..., Any], studies: dict[str, tuple[str, Path]]
) -> None:
    page = open_page("pairs")
    page.get_by_role("button", name="Begin").click()
    code = page.locator(".code").inner_text()
    expect_at(page, "1 of 3")
    assert page.get_by_role("img").evaluate_all("all => all.map(i => i.alt)") == ["Picture A", "Picture B"]
    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    expect_at(page, "2 of 3")
    page.keyboard.press("1")
    expect_at(page, "3 of 3")
    page.get_by_role("button", name="B is better").click()
    page.get_by_text("All 3 answers are kept").wait_for()
    assert answers(studies["pairs"][1], code) == [2, 1, 2]


def test_the_code_resumes_and_the_language_can_be_changed_on_the_way(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.get_by_role("button", name="Begin").click()
    code = page.locator(".code").inner_text()
    page.get_by_role("button", name="2 Poor").click()
    expect_at(page, "2 of 6")
    other = open_page(locale="fr-FR")
    other.get_by_label("Votre code").fill(code.lower())
    other.get_by_role("button", name="Continuer").click()
    expect_at(other, "2 sur 6")
    assert other.get_by_role("button", name="5 Excellent").is_visible()
    other.get_by_role("link", name="English").click()
    expect_at(other, "2 of 6")
    assert other.locator(".code").inner_text() == code


@pytest.mark.parametrize("mode", ["ratings", "pairs"])
@pytest.mark.parametrize("turned", [False, True])
def test_on_a_phone_pictures_and_answers_are_seen_without_scrolling(
    open_page: Callable[..., Any], mode: str, turned: bool
) -> None:
    size = {"viewport": {"width": 667, "height": 375}} if turned else {}
    page = open_page(mode, **(PHONE | size), java_script_enabled=False)
    assert page.locator(".keyboard").count() == 1
    assert not page.locator(".keyboard").is_visible()
    page.get_by_role("button", name="Begin").tap()
    width, height = (667, 375) if turned else (375, 667)
    page.locator("#answer").wait_for()
    page.wait_for_load_state("load")
    buttons, pictures = page.locator("#answer button").all(), page.get_by_role("img").all()
    for part in [*buttons, *pictures]:
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
        assert min(box["width"], box["height"]) >= 40
    buttons[-1].tap()
    page.get_by_text("2 of", exact=False).first.wait_for()


def test_dark_follows_the_device_and_leaves_the_ground_of_pictures_alone(open_page: Callable[..., Any]) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        page.get_by_role("button", name="Begin").click()
        expect_at(page, "1 of 6")
        colour = "s => getComputedStyle(document.querySelector(s)).backgroundColor"
        colours[scheme] = [page.evaluate(colour, part) for part in ("body", "figure")]
    assert colours["light"][0] == "rgb(255, 255, 255)"
    assert colours["dark"][0] == "rgb(28, 28, 28)"
    assert colours["light"][1] == colours["dark"][1]


def test_the_page_names_its_parts_for_a_screen_reader(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.get_by_role("button", name="Begin").click()
    expect_at(page, "1 of 6")
    assert page.title() == "1 of 6 – Wednesday"
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("heading", level=1).inner_text() == "How well is it coloured?"
    assert page.get_by_role("progressbar", name="1 of 6").count() == 1
    assert page.get_by_role("img", name="The picture to rate").count() == 1
    names = [f"{n} {word}" for n, word in enumerate(("Bad", "Poor", "Fair", "Good", "Excellent"), 1)]
    assert [page.get_by_role("button", name=name, exact=True).count() for name in names] == [1] * 5
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
