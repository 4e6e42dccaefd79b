import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

import kmq
from kmq.cli import run
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
    table = dict(line.strip().rsplit("  ", 1) for line in done.stderr.splitlines())
    table = {name.strip(): value.strip() for name, value in table.items()}
    assert float(table.pop("seconds")) > 0
    assert table == {
        "size": "50 x 36",
        "distinct colours": f"{picture.distinct} → 6",
        "cost": f"{picture.cost:.2f}",
        "PSNR": f"{picture.psnr:.2f} dB",
        "iterations": str(picture.n_iter),
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
        ["quantize", "in.png"],
        ["quantize", "in.png", "-o", "out.png", "-k", "many"],
        ["quantize", "in.png", "-o", "out.png", "-k", "-3"],
        ["quantize", "in.png", "in.png", "-o", "out.png"],
        ["quantize", "in.png", "-o", "out.png", "--seed", "-1"],
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
    for path, reason in ((truncated, "truncated"), (text, "not an image"), (tmp_path, "directory")):
        assert run(["quantize", str(path), "-o", str(tmp_path / "out.png")]) == 4
        assert reason in only_line(capsys.readouterr().err)
    assert not (tmp_path / "out.png").exists()


def test_a_full_disk_is_6(source, tmp_path, capsys, monkeypatch):
    def full_disk(path, data):
        raise kmq.image.ImageWriteError(f"cannot write {path}: no space left on device")

    monkeypatch.setattr(kmq.image, "write_whole", full_disk)
    assert run(["quantize", str(source), "-o", str(tmp_path / "out.png")]) == 6
    assert only_line(capsys.readouterr().err).endswith("no space left on device")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [(KeyboardInterrupt, 130, "interrupted"), (MemoryError, 1, "not enough memory")],
)
def test_interrupt_and_memory(error, code, words, source, tmp_path, capsys, monkeypatch):
    def fail(path):
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


def test_console_script_is_the_same(monkeypatch, capsys):
    from kmq.__main__ import main

    monkeypatch.setattr(sys, "argv", ["kmq", "--version"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert capsys.readouterr().out == f"kmq {kmq.__version__}\n"


def test_help_imports_nothing_heavy():
    heavy = {"PIL", "matplotlib", "numba", "numpy", "sklearn", "scipy"}
    code = "import sys; from kmq.cli import run; run(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(done.stdout.splitlines()[-1].split())
