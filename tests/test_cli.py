import io
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

import kmq
from kmq.cli import run
from kmq.cli.talk import as_size
from kmq.image import load_image, quantize_image

FLOWER = Path(__file__).parents[1] / "img" / "flower.jpg"


def kmq_process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "kmq", *map(str, arguments)],
        capture_output=True,
        text=True,
        **options,
    )


@pytest.fixture
def source(tmp_path, gradient):
    path = tmp_path / "source.png"
    pillow.fromarray(gradient.rgb_matrix).save(path)
    return path


def test_quantize_writes_an_indexed_png_and_prints_a_table(source, gradient, tmp_path):
    output = tmp_path / "out.png"
    done = kmq_process("quantize", source, "-k", 6, "-o", output)
    assert done.returncode == 0
    assert done.stdout == ""
    picture = quantize_image(gradient, 6, random_state=0)
    assert np.array_equal(load_image(output).rgb_matrix, picture.rgb_matrix)
    with pillow.open(output) as stored:
        assert stored.mode == "P"
    table = dict(re.split(r"  +", line) for line in done.stderr.splitlines())
    before, after = source.stat().st_size, output.stat().st_size
    assert float(table.pop("seconds")) > 0
    assert table == {
        "size": "50 x 36",
        "distinct colours": f"{picture.distinct} → 6",
        "cost": f"{picture.cost:.2f}",
        "PSNR": f"{picture.psnr:.2f} dB",
        "iterations": str(picture.n_iter),
        "bytes": f"{as_size(before)} → {as_size(after)} ({after / before:.0%})",
    }


def test_seed_and_k_are_passed_on(source, gradient, tmp_path):
    output = tmp_path / "out.png"
    assert run(["quantize", str(source), "-k", "9", "--seed", "2", "-o", str(output)]) == 0
    expected = quantize_image(gradient, 9, random_state=2).rgb_matrix
    assert np.array_equal(load_image(output).rgb_matrix, expected)
    assert run(["quantize", str(source), "-f", "-o", str(output)]) == 0
    expected = quantize_image(gradient, 16, random_state=0).rgb_matrix
    assert np.array_equal(load_image(output).rgb_matrix, expected)


def test_more_colours_asked_for_than_there_are(source, gradient, tmp_path, capsys):
    output = tmp_path / "out.png"
    assert run(["quantize", str(source), "-k", "5000", "-o", str(output)]) == 0
    assert np.array_equal(load_image(output).rgb_matrix, gradient.rgb_matrix)
    distinct = len(np.unique(gradient.rgb_vector, axis=0))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(
        f"kmq: note: the image has only {distinct} colours; all are kept\n"
    )


def only_line(text):
    """The one line of an error message."""
    (line,) = text.splitlines()
    assert line.startswith("kmq: error: ")
    return line


def test_missing_input_is_4(tmp_path):
    done = kmq_process("quantize", tmp_path / "none.png", "-o", tmp_path / "out.png")
    assert (done.returncode, done.stdout) == (4, "")
    assert only_line(done.stderr).endswith("none.png: no such file")
    assert list(tmp_path.iterdir()) == []


def test_existing_output_is_5(source, tmp_path):
    output = tmp_path / "out.png"
    output.write_text("precious")
    done = kmq_process("quantize", source, "-o", output)
    assert (done.returncode, done.stdout) == (5, "")
    assert only_line(done.stderr).endswith("--force replaces it")
    assert output.read_text() == "precious"


def test_output_is_checked_before_the_work(tmp_path, capsys):
    output = tmp_path / "out.png"
    output.touch()
    assert run(["quantize", str(tmp_path / "none.png"), "-o", str(output)]) == 5
    only_line(capsys.readouterr().err)


def test_unwritable_output_is_6(source, tmp_path):
    done = kmq_process("quantize", source, "-o", tmp_path / "none" / "out.png")
    assert (done.returncode, done.stdout) == (6, "")
    assert only_line(done.stderr).endswith("its folder does not exist")


def test_usage_is_2():
    done = kmq_process("quantize", "in.png", "-o", "out.png", "-k", 0)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'-k'" in only_line(done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ["quantize"],
        ["quantize", "in.png", "-o", "out.png", "--dither", "riemersma"],
        ["quantize", "in.png", "-o", "out.png", "--pin", "reddish"],
        ["quantize", "in.png", "-o", "out.png", "--pin", "#f00", "--pin", "#0f0", "-k", "1"],
        ["quantize", "in.png", "-o", "out.png", "--matte", "#12"],
        ["quantize", "in.png", "-o", "-", "--json"],
        ["quantize", "a.png", "b.png", "-o", "-"],
        ["quantize", "a.png", "-", "--json"],
        ["quantize", "a/in.png", "b/in.jpg", "-o", "out"],
        ["remap", "in.png", "-o", "out.png"],
        ["remap", "in.png", "-p", "a.hex", "--alpha", "keep"],
        ["palette", "in.png", "--format", "ase", "-o", "out.gpl"],
        ["palette", "in.png", "--json", "-o", "out.json"],
        ["profile", "in.png", "-k", "2:1"],
        ["profile", "in.png", "-k", "2-8"],
        ["profile", "in.png", "--plot", "curve.doc"],
        ["report", "in.png", "-k", "0"],
        ["report", "in.png", "-k", "1:9:0"],
        ["compare", "in.png"],
        ["compare", "-", "-"],
        ["quantize", "in.png", "-o", "out.png", "-k", "many"],
        ["quantize", "in.png", "-o", "out.png", "-k", "-3"],
        ["quantize", "in.png", "-o", "out.png", "--seed", "-1"],
        ["quantize", "in.png", "-o", "out.png", "--seed", "4294967296"],
        ["quantize", "in.png", "-o", "out.png", "--strength", "1.5"],
        ["quantize", "in.png", "-o", "out.png", "--min-psnr", "nan"],
        ["--nonsense"],
        ["nonsense"],
    ],
)
def test_every_usage_error_is_one_line(arguments, capsys):
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert only_line(captured.err).endswith("(see kmq --help)")


def test_damaged_inputs_are_4(tmp_path, capsys):
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(FLOWER.read_bytes()[:5000])
    text = tmp_path / "text.png"
    text.write_text("no picture")
    (tmp_path / "empty").mkdir()
    for path, reason in (
        (truncated, "truncated"),
        (text, "not an image"),
        (tmp_path / "empty", "holds no pictures"),
    ):
        assert run(["quantize", str(path), "-o", str(tmp_path / "out.png")]) == 4
        assert reason in only_line(capsys.readouterr().err)
    assert not (tmp_path / "out.png").exists()


def test_a_full_disk_is_6(source, tmp_path, capsys, monkeypatch):
    def full_disk(path, data):
        raise kmq.image.ImageWriteError(f"cannot write {path}: no space left on device")

    monkeypatch.setattr("kmq.cli.work.write_whole", full_disk)
    assert run(["quantize", str(source), "-o", str(tmp_path / "out.png")]) == 6
    assert only_line(capsys.readouterr().err).endswith("no space left on device")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [(KeyboardInterrupt, 130, "interrupted"), (MemoryError, 1, "not enough memory")],
)
def test_interrupt_and_memory(error, code, words, source, tmp_path, capsys, monkeypatch):
    def fail(path, **options):
        raise error

    monkeypatch.setattr(kmq.image, "load_image", fail)
    assert run(["quantize", str(source), "-o", str(tmp_path / "out.png")]) == code
    assert only_line(capsys.readouterr().err.lstrip()).endswith(words)


def test_oddities_of_a_readable_file_are_not_reported(source, tmp_path, monkeypatch):
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings(record=True) as caught:
        assert run(["quantize", str(source), "-o", str(tmp_path / "out.png")]) == 0
    assert caught == []


def test_version_and_help():
    done = kmq_process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"kmq {kmq.__version__}\n", "")
    for arguments in ([], ["--help"]):
        done = kmq_process(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "kmq quantize photo.jpg -k 16 -o photo.png" in done.stdout


def test_console_script_is_the_same():
    code = "import sys; from kmq.__main__ import main; sys.argv[1:] = ['--version']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"kmq {kmq.__version__}\n", "")


def test_help_imports_nothing_heavy():
    heavy = {"PIL", "matplotlib", "numba", "numpy", "sklearn", "scipy"}
    assert heavy.isdisjoint(modules_after(["--help"]))


def test_quantize_imports_neither_sklearn_nor_matplotlib(tmp_path):
    output = str(tmp_path / "out.png")
    loaded = modules_after(["quantize", str(FLOWER), "-o", output, "--quiet"])
    assert "numba" in loaded
    assert {"sklearn", "matplotlib", "pandas"}.isdisjoint(loaded)


def modules_after(arguments):
    """Names of the modules that a command has loaded when it is done."""
    code = f"import sys; from kmq.cli import run; run({arguments!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_options_reach_the_fit(source, gradient, tmp_path):
    output = str(tmp_path / "out.png")
    command = ["quantize", str(source), "-k", "7", "-o", output, "-f", "-q"]
    for arguments, options in (
        (["-d", "atkinson", "--strength", "0.5"], {"dither": "atkinson", "strength": 0.5}),
        (["-d", "sierra", "--raster"], {"dither": "sierra", "serpentine": False}),
        (["--space", "oklab", "--starts", "3"], {"space": "oklab", "n_init": 3}),
        (["--pin", "#0a141e", "--pin", "fff"], {"pinned": ["#0a141e", "#ffffff"]}),
    ):
        assert run([*command, *arguments]) == 0
        expected = quantize_image(gradient, 7, random_state=0, **options).rgb_matrix
        assert np.array_equal(load_image(output).rgb_matrix, expected)


def test_choices_are_those_of_the_library():
    from typing import get_args

    from kmq.cli import options, swatches
    from kmq.colorspace import SPACES
    from kmq.engine.dither import Dither
    from kmq.palette import SortKey
    from kmq.palette_files import WRITERS
    from kmq.remap import Alpha

    assert tuple(options.Space) == SPACES
    assert tuple(options.Dither) == get_args(Dither)
    assert tuple(options.Alpha) == get_args(Alpha)
    assert tuple(swatches.Order) == get_args(SortKey)
    assert {f".{kind}" for kind in swatches.PaletteFormat} == {*WRITERS, ".png"} - {".txt"}
    assert set(swatches.FILES) == set(WRITERS)


@pytest.mark.parametrize("target", [["--min-psnr", "30"], ["--max-delta-e", "3"]])
def test_a_target_in_place_of_k(target, source, tmp_path, capsys):
    output = tmp_path / "out.png"
    command = ["quantize", str(source), "-o", str(output), *target]
    assert run([*command, "-k", "2", "-f"]) == 99
    assert only_line(capsys.readouterr().err).endswith("nothing was written")
    assert not output.exists()
    assert run(command) == 0
    capsys.readouterr()
    assert run(["compare", str(source), str(output), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["psnr"] >= 30 if "--min-psnr" in target else found["delta_e_mean"] <= 3


def test_skip_if_larger_is_98(tmp_path, capsys):
    source, output = tmp_path / "source.png", tmp_path / "out.png"
    pillow.new("P", (8, 8)).save(source, optimize=True)
    source.write_bytes(source.read_bytes())
    assert run(["quantize", str(source), "-o", str(output), "--skip-if-larger"]) == 98
    assert "is not smaller than" in capsys.readouterr().err
    assert not output.exists()


def test_json_describes_what_was_written(source, gradient, tmp_path, capsys):
    output = tmp_path / "out.png"
    assert run(["quantize", str(source), "-k", "5", "-o", str(output), "--json", "-q"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.err == ""
    assert document["schema"] == "kmq.quantize/1"
    assert document["kmq"] == kmq.__version__
    (found,) = document["pictures"]
    picture = quantize_image(gradient, 5, random_state=0)
    assert found.pop("seconds") > 0
    assert found == {
        "input": str(source),
        "output": str(output),
        "format": "PNG",
        "width": 50,
        "height": 36,
        "frames": 1,
        "distinct": picture.distinct,
        "palette": picture.colors.hex,
        "counts": picture.counts.tolist(),
        "cost": picture.cost,
        "psnr": picture.psnr,
        "iterations": picture.n_iter,
        "bytes_in": source.stat().st_size,
        "bytes_out": output.stat().st_size,
        "notes": [],
    }


def test_json_has_no_infinities(tmp_path, capsys):
    pillow.new("RGB", (4, 4), "red").save(tmp_path / "red.png")
    assert run(["compare", str(tmp_path / "red.png"), str(tmp_path / "red.png"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["psnr"], found["ssim"], found["delta_e_mean"]) == (None, 1, 0)


@pytest.fixture
def piped(source, monkeypatch):
    """`source` on stdin."""
    file = io.TextIOWrapper(io.BytesIO(source.read_bytes()))
    monkeypatch.setattr(sys, "stdin", file)


@pytest.mark.usefixtures("piped")
def test_from_stdin_to_stdout(gradient, capfdbinary):
    assert run(["quantize", "-", "-k", "6", "--format", "gif"]) == 0
    captured = capfdbinary.readouterr()
    with pillow.open(io.BytesIO(captured.out)) as stored:
        assert (stored.format, stored.size) == ("GIF", (50, 36))
    expected = quantize_image(gradient, 6, random_state=0).rgb_matrix
    assert np.array_equal(load_image(io.BytesIO(captured.out)).rgb_matrix, expected)
    assert b"bytes" in captured.err


@pytest.mark.usefixtures("piped")
def test_stdin_for_the_other_commands(source, capsys, tmp_path):
    assert run(["info", "-", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)["pictures"]
    assert (facts["format"], facts["bytes"]) == ("PNG", source.stat().st_size)


def test_stdout_that_nobody_reads(source):
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "kmq", "palette", str(source)],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (6, "")


def test_a_full_device_behind_stdout_is_6(source):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kmq", "quantize", str(source), "-o", "-", "-q"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )
    assert done.returncode == 6
    assert only_line(done.stderr) == "kmq: error: cannot write stdout: no space left on device"


def test_verbose_names_the_colours(source, gradient, tmp_path, capsys):
    assert run(["quantize", str(source), "-k", "3", "-v", "-o", str(tmp_path / "out.png")]) == 0
    colors = quantize_image(gradient, 3, random_state=0).colors.hex
    assert " ".join(colors) in capsys.readouterr().err


def test_quiet_lasts_for_one_run(source, tmp_path):
    logger = logging.getLogger("kmq")
    before = logger.level
    assert run(["quantize", str(source), "-k", "2", "-q", "-o", str(tmp_path / "o.png")]) == 0
    assert logger.level == before
