"""The page that `make_report` returns: what is in it, and what a browser makes of it."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image as pillow

from kmq.cli import run
from kmq.image import Image, load_image, quantize_image
from kmq.report import make_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def data_of(page):
    """The data in a page."""
    return json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S)[1])


def matrix_of(url):
    """The pixels of a picture in a page."""
    return load_image(io.BytesIO(base64.b64decode(url.split(",")[1]))).rgb_matrix


def test_the_page_holds_the_pictures_and_their_figures(gradient):
    data = data_of(make_report(gradient, [6, 3], 1, name="a.png", n_bytes=77, dither="sierra"))
    assert np.array_equal(matrix_of(data["picture"]), gradient.rgb_matrix)
    assert (data["width"], data["height"], data["bytes"], data["shown"]) == (50, 36, 77, None)
    assert [fit["k"] for fit in data["fits"]] == [3, 6]
    for fit in data["fits"]:
        picture = quantize_image(gradient, fit["k"], 1, dither="sierra")
        assert np.array_equal(matrix_of(fit["picture"]), picture.rgb_matrix)
        assert (fit["cost"], fit["psnr"]) == (picture.cost, picture.psnr)
        assert [color["hex"] for color in fit["colors"]] == picture.colors.hex
        assert sum(color["share"] for color in fit["colors"]) == pytest.approx(1)
        assert fit["delta_e_p95"] > fit["delta_e_mean"] > 0


def test_nothing_is_fetched_and_no_name_can_add_markup(gradient):
    page = make_report(gradient, [2], name="</script><script>alert(1)</script>")
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\(|@import|https?://(?!www\.w3\.org)", page)


@pytest.mark.parametrize("name", ["@DATA@", "@STYLE@ & @SCRIPT@", "<b>"])
def test_a_name_is_never_taken_for_a_place_to_fill(name, gradient):
    page = make_report(gradient, [2], name=name)
    title = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f"<title>{title} in few colours</title>" in page
    for part in ("STYLE", "SCRIPT", "DATA"):
        assert page.count(f"@{part}@") == 2 * name.count(f"@{part}@")


def test_transparency_is_kept():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:4] = (200, 30, 10, 255)
    data = data_of(make_report(Image(rgba[..., :3].copy(), alpha=rgba[..., 3].copy()), [4]))
    assert data["distinct"] == 1
    (fit,) = data["fits"]
    assert fit["colors"] == [{"hex": "#c81e0a", "share": 1.0}]
    assert fit["psnr"] is None
    stored = pillow.open(io.BytesIO(base64.b64decode(fit["picture"].split(",")[1])))
    assert np.array_equal(np.array(stored.convert("RGBA")), rgba)


def test_large_pictures_are_shown_smaller(rng):
    image = Image(rng.integers(0, 256, (4, 3200, 3), np.uint8))
    data = data_of(make_report(image, [2]))
    assert data["shown"] == [1600, 2]
    assert matrix_of(data["picture"]).shape == (2, 1600, 3)
    assert matrix_of(data["fits"][0]["picture"]).shape == (2, 1600, 3)


def test_a_report_needs_a_number_of_colours(gradient):
    with pytest.raises(ValueError, match="at least one number"):
        make_report(gradient, [])


def test_the_command_writes_the_page(gradient, tmp_path, capsys):
    source = tmp_path / "picture.png"
    pillow.fromarray(gradient.rgb_matrix).save(source)
    assert run(["report", str(source), "-k", "2,4:6:2", "--space", "lab"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    data = data_of((tmp_path / "picture.html").read_text())
    assert (data["name"], data["space"], data["bytes"]) == (
        "picture.png",
        "lab",
        source.stat().st_size,
    )
    assert [fit["k"] for fit in data["fits"]] == [2, 4, 6]
    assert run(["report", str(source)]) == 5


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    if not CHROMIUM:
        pytest.skip("there is no Chromium on this machine to open the page with")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser, gradient, tmp_path):
    """The report of `gradient` in a browser, which must not complain of anything."""
    path = tmp_path / "report.html"
    path.write_text(make_report(gradient, [3, 5, 8], name="gradient.png"), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    complaints, requests = [], []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(path.as_uri())
    yield opened
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def shown_colors(page, left, right):
    """Distinct colours on the screen between two shares of the picture's width."""
    page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    box = page.locator("#stage").bounding_box()
    clip = {
        "x": box["x"] + left * box["width"],
        # Clear of the tags above and the handle in the middle.
        "y": box["y"] + 0.75 * box["height"],
        "width": (right - left) * box["width"],
        "height": 0.2 * box["height"],
    }
    with pillow.open(io.BytesIO(page.screenshot(clip=clip))) as picture:
        return {color for _, color in picture.convert("RGB").getcolors(1 << 20)}


def palette_of(page):
    """The colours that the swatches name."""
    texts = page.locator("#swatches .hex").all_inner_texts()
    return {tuple(bytes.fromhex(text[1:])) for text in texts}


def test_the_slider_moves_by_pointer(page):
    box = page.locator("#stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], middle, steps=4)
    page.mouse.up()
    assert page.locator("#slider").input_value() == "200"
    assert shown_colors(page, 0.25, 0.95) <= palette_of(page)
    assert len(shown_colors(page, 0.02, 0.18)) > 3


def test_the_slider_moves_by_keyboard(page):
    slider = page.locator("#slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.input_value() == "520"
    page.keyboard.press("Shift+ArrowLeft")
    assert slider.input_value() == "420"
    page.keyboard.press("Home")
    assert slider.input_value() == "0"
    assert shown_colors(page, 0.05, 0.95) <= palette_of(page)
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuetext") == "100 % original"
    assert len(shown_colors(page, 0.05, 0.95)) > 3


def test_k_is_switched(page):
    assert len(palette_of(page)) == 3
    page.locator("#tabs input").nth(2).check(force=True)
    assert len(palette_of(page)) == 8
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    assert shown_colors(page, 0.05, 0.95) <= palette_of(page)
    page.locator("#tabs input").nth(2).press("ArrowLeft")
    assert len(palette_of(page)) == 5
    page.locator("#chart-bytes circle").first.click()
    assert len(palette_of(page)) == 3
    assert page.locator("#table tr.chosen td").first.inner_text() == "3"


def test_a_click_copies_the_colour(page):
    swatch = page.locator("#swatches button").first
    swatch.click()
    name = swatch.locator(".hex").inner_text()
    page.locator("#copied", has_text=f"{name} copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == name
    assert re.fullmatch(r"\d+\.\d+ %", swatch.locator(".share").inner_text())


def cloud_of(page):
    """What the cloud looks like."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("document.getElementById('cloud').toDataURL()")


def test_the_cloud_turns(page):
    start = cloud_of(page)
    canvas = page.locator("#cloud")
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    turned = cloud_of(page)
    assert turned != start
    page.keyboard.press("ArrowRight")
    assert cloud_of(page) == start
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 130)
    page.mouse.up()
    assert cloud_of(page) != start
    page.get_by_role("button", name="Turn back").click()
    assert cloud_of(page) == start
    page.locator("#nearest").check()
    assert cloud_of(page) != start


def test_no_point_of_the_cloud_hides_a_name(page):
    page.evaluate(
        """() => {
            window.drawn = [];
            const context = CanvasRenderingContext2D.prototype;
            for (const name of ["fillRect", "arc", "strokeText", "fillText"]) {
                const draw = context[name];
                context[name] = function (...values) {
                    drawn.push(name);
                    draw.apply(this, values);
                };
            }
        }"""
    )
    page.locator("#cloud").press("ArrowLeft")
    cloud_of(page)
    drawn = page.evaluate("window.drawn.join(' ')")
    # However often it is drawn: points, then what is written on top of them.
    assert re.fullmatch(r"((fillRect |arc )+(strokeText fillText ){5})+", drawn + " ")
    assert "fillRect" in drawn
    assert "arc" in drawn


def test_the_page_fits_a_phone_in_the_dark(page):
    page.set_viewport_size({"width": 390, "height": 700})
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground))) < 64
