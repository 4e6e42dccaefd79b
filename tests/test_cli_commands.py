"""The commands beside `quantize`."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as pillow

import kmq
from kmq.cli import run
from kmq.image import load_image, quantize_image


@pytest.fixture
def source(tmp_path, gradient):
    path = tmp_path / "source.png"
    pillow.fromarray(gradient.rgb_matrix).save(path)
    return path


def only_line(text):
    """The one line of an error message."""
    (line,) = text.splitlines()
    assert line.startswith("kmq: error: ")
    return line


def test_palette_prints_colours_and_shares(source, gradient, tmp_path, capsys):
    assert run(["palette", str(source), "-k", "4"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    picture = quantize_image(gradient, 4, random_state=0)
    shares = [f"{share:.2%}" for share in picture.colors.fractions]
    assert lines == [list(pair) for pair in zip(picture.colors.hex, shares, strict=True)]

    assert run(["palette", str(source), "-k", "4", "--sort", "luminance", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "kmq.palette/1"
    expected = picture.colors.sorted("luminance").hex
    assert [color["hex"] for color in document["colors"]] == expected


@pytest.mark.parametrize("ending", ["hex", "json", "css", "gpl", "ase", "act", "png"])
def test_palette_files_and_remap(ending, source, gradient, tmp_path, capfdbinary):
    file, output = tmp_path / f"colors.{ending}", tmp_path / "out.png"
    assert run(["palette", str(source), "-k", "4", "-o", str(file)]) == 0
    assert run(["palette", str(source), "-k", "4", "--format", ending]) == 0
    assert capfdbinary.readouterr().out == file.read_bytes()
    assert run(["palette", str(source), "-o", str(file)]) == 5
    assert run(["remap", str(source), "--palette", str(file), "-o", str(output)]) == 0
    colors = kmq.palette.Palette.from_file(file)
    expected = colors.apply(gradient).rgb_matrix
    assert np.array_equal(load_image(output).rgb_matrix, expected)


def test_palette_files_are_converted(tmp_path):
    first, second = tmp_path / "a.hex", tmp_path / "b.gpl"
    first.write_text("#010203\n#fafbfc\n")
    assert run(["palette", str(first), "-o", str(second)]) == 0
    assert kmq.palette.Palette.from_file(second).hex == ["#010203", "#fafbfc"]


def test_compare_and_info_for_people(source, tmp_path, capsys):
    output = tmp_path / "out.png"
    assert run(["quantize", str(source), "-k", "4", "-o", str(output), "-q"]) == 0
    assert run(["compare", str(source), str(output)]) == 0
    names = [re.split(r"  +", line)[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["cost", "PSNR", "SSIM", "ΔE2000 mean", "ΔE2000 p95", "bytes"]
    assert run(["info", str(output)]) == 0
    assert "4 entries" in capsys.readouterr().out
    assert run(["info"]) == 0
    assert "numba" in capsys.readouterr().out
    assert run(["info", "--json"]) == 0
    versions = json.loads(capsys.readouterr().out)["versions"]
    assert versions["kmq"] == kmq.__version__


def test_pictures_that_are_equal(source, capsys):
    assert run(["compare", str(source), str(source)]) == 0
    assert re.search(r"^PSNR +infinite$", capsys.readouterr().out, re.M)


def test_remap_counts_the_colours_that_pixels_have(tmp_path, capsys):
    source, colors = tmp_path / "in.png", tmp_path / "colors.hex"
    picture = pillow.new("RGBA", (6, 4), "red")
    picture.paste((0, 0, 0, 0), (0, 0, 2, 4))
    picture.save(source)
    colors.write_text("#ff0000\n#00ff00\n#0000ff\n")
    command = ["remap", str(source), "-p", str(colors), "-f"]
    assert run([*command, "-o", str(tmp_path / "out.png")]) == 0
    rows = dict(re.split(r"  +", line) for line in capsys.readouterr().err.splitlines())
    assert rows["distinct colours"] == "1 → 1 and transparency"
    assert "iterations" not in rows
    assert run([*command, str(tmp_path), "-v", "-o", str(tmp_path / "out")]) == 0
    assert "in.png: 1 colour, " in capsys.readouterr().err


def test_what_a_format_does_to_the_pixels_is_told(source, tmp_path, capsys):
    assert run(["quantize", str(source), "-o", str(tmp_path / "out.jpg")]) == 0
    assert "note: JPEG is lossy: the file holds more colours" in capsys.readouterr().err
    assert run(["quantize", str(source), "-o", str(tmp_path / "out.webp")]) == 0
    assert "note" not in capsys.readouterr().err


def test_compare_needs_one_size(source, tmp_path, capsys):
    pillow.new("RGB", (3, 2)).save(tmp_path / "small.png")
    assert run(["compare", str(source), str(tmp_path / "small.png")]) == 1
    assert "50x36 and 3x2" in only_line(capsys.readouterr().err)


def test_profile_prints_the_curve_and_draws_it(source, gradient, tmp_path, capsys):
    from kmq.profile import profile_k

    plot = tmp_path / "curve.svg"
    command = ["profile", str(source), "-k", "2:6:2,5", "--starts", "2", "--plot", str(plot)]
    assert run([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    expected = profile_k(gradient, [2, 4, 5, 6], 0, n_init=2)
    assert [row["k"] for row in rows] == [2, 4, 5, 6]
    assert [row["cost"] for row in rows] == expected.costs
    assert [row["png_bytes"] for row in rows] == [row.png_bytes for row in expected.rows]
    assert plot.read_text().startswith("<?xml")
    assert run(command) == 5
    assert run([*command, "--force"]) == 0
    captured = capsys.readouterr()
    assert captured.out.split()[:5] == ["k", "cost", "PSNR", "iterations", "seconds"]
    assert "knee" in captured.err


def test_bench_tells_of_time_and_parity(source, capsys):
    assert run(["bench", str(source), "-k", "2", "--repeats", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "kmq.bench/1"
    assert {"kmq", "scikit-learn"} <= {row["competitor"] for row in document["rows"]}
    assert run(["bench", str(source), "-k", "2", "--repeats", "1"]) == 0
    assert "scikit-learn" in capsys.readouterr().out


def test_completion_knows_the_commands(monkeypatch):
    environment = {
        **os.environ,
        "_KMQ_COMPLETE": "complete_bash",
        "COMP_WORDS": "kmq re",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "kmq"], capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["remap", "report"]


def test_every_command_has_examples_that_parse(capsys):
    for command in (
        "quantize",
        "palette",
        "remap",
        "report",
        "profile",
        "compare",
        "info",
        "bench",
    ):
        assert run([command, "--help"]) == 0
        assert f"kmq {command}" in capsys.readouterr().out.split("Examples")[1]
