import json
import os
import pty
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as pillow

import kmq
from kmq.animation import read_frames
from kmq.cli import batch, run
from kmq.image import load_image, quantize_image
from kmq.metrics import compare
from kmq.quantize import fit_palette


@pytest.fixture
def folder(tmp_path, rng):
    """Four pictures, one of them in a folder within, and a text file."""
    path = tmp_path / "in"
    (path / "deep").mkdir(parents=True)
    for name in ("a.png", "b.bmp", "c.webp", "deep/d.png"):
        matrix = rng.integers(0, 256, (12, 17, 3), np.uint8)
        pillow.fromarray(matrix).save(path / name, lossless=True)
    (path / "notes.txt").write_text("no picture")
    (path / ".hidden.png").write_text("no picture")
    return path


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_becomes_a_folder(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["quantize", str(folder), "-k", "4", "-o", str(out)]) == 0
    assert names_in(out) == ["a.png", "b.png", "c.webp"]
    for name, source in (("a.png", "a.png"), ("b.png", "b.bmp"), ("c.webp", "c.webp")):
        expected = quantize_image(load_image(folder / source), 4).rgb_matrix
        assert np.array_equal(load_image(out / name).rgb_matrix, expected)
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("kmq: 3 of 3 pictures, ")


def test_recursive_keeps_the_places_and_skips_the_outputs(folder):
    out = folder / "out"
    command = ["quantize", str(folder), "-r", "-k", "4", "-q", "-o", str(out)]
    assert run(command) == 0
    assert names_in(out) == ["a.png", "b.png", "c.webp", "deep/d.png"]
    assert run([*command, "--force"]) == 0
    assert names_in(out) == ["a.png", "b.png", "c.webp", "deep/d.png"]


def test_outputs_beside_the_inputs(folder):
    command = ["quantize", str(folder), "-k", "4", "-q"]
    assert run([*command, "--format", "gif"]) == 0
    assert {"a-kmq.gif", "b-kmq.gif", "c-kmq.gif"} <= set(names_in(folder))
    assert run([*command, "--force", "--format", "gif"]) == 0
    assert not any("kmq-kmq" in name for name in names_in(folder))


def test_patterns(folder, tmp_path, capsys):
    out = tmp_path / "out"
    pattern = str(folder / "**" / "*.png")
    assert run(["quantize", pattern, str(folder / "a.png"), "-k", "2", "-o", f"{out}/"]) == 0
    assert names_in(out) == ["a.png", "d.png"]
    capsys.readouterr()
    assert run(["quantize", str(folder / "*.jpg"), "-o", str(tmp_path / "x.png")]) == 4
    assert capsys.readouterr().err.endswith("*.jpg: no such file\n")


def test_some_failed_is_3_and_all_is_1(folder, tmp_path, capsys):
    out = tmp_path / "out"
    (folder / "bad.png").write_text("no picture")
    assert run(["quantize", str(folder), "-k", "2", "-o", str(out), "--json"]) == 3
    captured = capsys.readouterr()
    pictures = json.loads(captured.out)["pictures"]
    assert [picture.get("code", 0) for picture in pictures] == [0, 0, 4, 0]
    assert "bad.png" in pictures[2]["error"]
    assert names_in(out) == ["a.png", "b.png", "c.webp"]

    assert run(["quantize", str(folder), "-k", "2", "-o", str(out), "-q"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4
    assert sum("--force replaces it" in line for line in errors) == 3


def test_skipped_pictures_are_no_failures(folder, tmp_path, capsys):
    out = tmp_path / "out"
    tiny = folder / "tiny.png"
    pillow.new("1", (1, 1)).save(tiny)
    assert run(["quantize", str(folder), "-k", "2", "-o", str(out), "--skip-if-larger"]) == 0
    assert "1 not smaller" in capsys.readouterr().err
    assert not (out / "tiny.png").exists()


def test_jobs_do_not_show_in_the_result(folder, tmp_path):
    results = []
    for jobs in ("1", "3"):
        out = tmp_path / jobs
        assert run(["quantize", str(folder), "-k", "5", "-q", "-j", jobs, "-o", str(out)]) == 0
        results.append([(out / name).read_bytes() for name in names_in(out)])
    assert results[0] == results[1]


def test_fits_side_by_side_share_the_cores(monkeypatch):
    monkeypatch.setattr(batch, "n_cores", lambda: 8)
    for before, at_once, share in ((None, 3, 2), (None, 20, 1), ("1", 2, 1), ("many", 1, 8)):
        if before is None:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        else:
            monkeypatch.setenv("OMP_NUM_THREADS", before)
        with batch._shared_cores(at_once):
            assert os.environ["OMP_NUM_THREADS"] == str(share)
        assert os.environ.get("OMP_NUM_THREADS") == before


def test_one_palette_for_all(folder, tmp_path, capsys):
    out = tmp_path / "out"
    (folder / "bad.png").write_text("no picture")
    command = ["quantize", str(folder), "-k", "6", "--shared-palette", "-o", str(out)]
    assert run([*command, "--json"]) == 3
    captured = capsys.readouterr()
    assert captured.err.count("bad.png") == 1
    paths = [folder / name for name in ("a.png", "b.bmp", "c.webp")]
    palette = fit_palette(paths, 6)
    done = [entry for entry in json.loads(captured.out)["pictures"] if "output" in entry]
    assert [entry["palette"] for entry in done] == [palette.hex] * 3
    expected = palette.apply(load_image(paths[0])).rgb_matrix
    assert np.array_equal(load_image(out / "a.png").rgb_matrix, expected)


def test_one_palette_leaves_room_for_transparency(folder, tmp_path, rng):
    rgba = rng.integers(0, 256, (12, 17, 4), np.uint8)
    pillow.fromarray(rgba).save(folder / "a.png")
    out = tmp_path / "out"
    assert run(["quantize", str(folder), "-k", "16", "--shared-palette", "-o", str(out)]) == 0
    with pillow.open(out / "a.png") as stored:
        assert (stored.mode, len(stored.getpalette()) // 3) == ("P", 16)


def test_one_palette_of_nothing_readable(tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert run(["quantize", *paths, "--shared-palette", "-o", f"{tmp_path}/out/"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert names_in(tmp_path) == []


@pytest.fixture
def film(tmp_path, rng):
    """Three frames as GIF."""
    path = tmp_path / "film.gif"
    frames = [pillow.fromarray(rng.integers(0, 256, (9, 14, 3), np.uint8)) for _ in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80, loop=0)
    return path


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_animations_stay_animated(film, tmp_path, ending, capsys):
    out = tmp_path / f"out.{ending}"
    assert run(["quantize", str(film), "-k", "5", "-o", str(out), "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)["pictures"]
    assert (facts["frames"], len(facts["palette"])) == (3, 5)
    assert sum(facts["counts"]) == 3 * 9 * 14
    with pillow.open(out) as stored:
        assert stored.n_frames == 3


def test_stills_of_animations(film, tmp_path, capsys):
    out = tmp_path / "out.gif"
    assert run(["quantize", str(film), "-k", "5", "-o", str(out), "--still"]) == 0
    with pillow.open(out) as stored:
        assert stored.n_frames == 1
    assert run(["quantize", str(film), "-k", "5", "-o", str(tmp_path / "out.bmp")]) == 0
    assert "of 3 frames the first was taken: BMP holds one" in capsys.readouterr().err
    assert run(["quantize", str(film), "--min-psnr", "9", "-f", "-o", str(out), "--still"]) == 0


@pytest.mark.parametrize(
    ("target", "name", "better"),
    [("--min-psnr", "min_psnr", 20.0), ("--max-delta-e", "max_delta_e", 8.0)],
)
def test_a_target_of_an_animation_is_for_all_its_frames(
    film, tmp_path, capsys, target, name, better
):
    out = tmp_path / "out.gif"
    assert run(["quantize", str(film), target, str(better), "-o", str(out), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["pictures"]
    k = len(found["palette"])
    assert 1 < k < 60
    frames = [frame.image for frame in read_frames(film)]
    assert found["palette"] == fit_palette(frames, **{name: better}).hex
    one_less = fit_palette(frames, k - 1)

    def reached(palette):
        shown = np.vstack([palette.apply(frame).rgb_matrix for frame in frames])
        whole = compare(np.vstack([frame.rgb_matrix for frame in frames]), shown)
        return whole.psnr >= better if name == "min_psnr" else whole.delta_e_mean <= better

    assert reached(fit_palette(frames, k))
    assert not reached(one_less)
    assert run(["quantize", str(film), target, str(better), "-k", str(k - 1), "-o", "x.gif"]) == 99
    assert "do not reach the target" in capsys.readouterr().err


def test_a_target_of_many_pictures_is_for_all_of_them(folder, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["quantize", str(folder), "--shared-palette", "-o", f"{out}/", "--json"]
    assert run([*command, "--min-psnr", "24"]) == 0
    pictures = json.loads(capsys.readouterr().out)["pictures"]
    assert len({tuple(picture["palette"]) for picture in pictures}) == 1
    (folder / "bad.png").write_text("no picture")
    assert run([*command, "--min-psnr", "24", "-k", "2", "-f"]) == 99
    captured = capsys.readouterr()
    assert captured.err.count("all pictures together: 2 colours do not reach") == 1
    codes = [picture["code"] for picture in json.loads(captured.out)["pictures"]]
    assert codes == [99, 99, 4, 99]


def test_an_animation_from_stdin(film, tmp_path):
    out = tmp_path / "out.png"
    code = ["-m", "kmq", "quantize", "-", "-k", "4", "-o", str(out), "-q"]
    with open(film, "rb") as file:
        subprocess.run([sys.executable, *code], stdin=file, check=True)
    with pillow.open(out) as stored:
        assert stored.n_frames == 3


def test_remap_of_an_animation(film, tmp_path):
    colors, out = tmp_path / "colors.hex", tmp_path / "out.gif"
    colors.write_text("#000000\n#ffffff\n")
    assert run(["remap", str(film), "-p", str(colors), "-o", str(out), "-q"]) == 0
    with pillow.open(out) as stored:
        assert stored.n_frames == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_keeps_what_is_finished(number, tmp_path, rng, ended, wait_until):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    matrix = rng.integers(0, 256, (300, 400, 3), np.uint8)
    for copy in range(60):
        pillow.fromarray(matrix).save(folder / f"{copy:02}.bmp")
    command = ["quantize", str(folder), "-k", "64", "-o", str(out), "--json"]
    batch = subprocess.Popen(
        [sys.executable, "-m", "kmq", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def begun():
        assert batch.poll() is None, "the batch ended before it was interrupted"
        return out.is_dir() and any(out.glob("*.png"))

    wait_until(begun)
    batch.send_signal(number)
    stdout, stderr = ended(batch)
    assert batch.returncode == 130
    assert stderr.splitlines()[-1] == "kmq: error: interrupted"
    document = json.loads(stdout)
    assert document["interrupted"]
    finished = sorted(os.path.basename(entry["output"]) for entry in document["pictures"])
    assert 1 <= len(finished) < 60
    assert sorted(path.name for path in out.iterdir()) == finished
    expected = quantize_image(kmq.image.Image(matrix), 64).rgb_matrix
    for name in finished[:2]:
        assert np.array_equal(load_image(out / name).rgb_matrix, expected)


def on_a_terminal(arguments, **environment):
    """What a command shows on a terminal of 80 columns."""
    main, side = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "kmq", *arguments],
        stdout=side,
        stderr=side,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
    )
    os.close(side)
    shown = b""
    try:
        while chunk := os.read(main, 4096):
            shown += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(main)
    assert done.wait() == 0
    return shown.decode()


def test_progress_on_a_terminal_only(folder, tmp_path):
    command = ["quantize", str(folder), "-k", "2", "-f", "-o", str(tmp_path / "out")]
    shown = on_a_terminal(command, NO_COLOR="")
    assert "/3" in shown
    assert "\x1b[?25l" in shown
    plain = on_a_terminal(command, TERM="dumb")
    assert "\x1b" not in plain
    assert "3 of 3 pictures" in plain


def test_no_color(folder):
    command = ["palette", str(folder / "a.png"), "-k", "3"]
    assert "\x1b[48;2;" in on_a_terminal(command, COLORTERM="truecolor", NO_COLOR="")
    assert "\x1b[48" not in on_a_terminal(command, COLORTERM="truecolor", NO_COLOR="1")


def test_pictures_are_not_written_to_a_terminal(folder):
    main, side = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "kmq", "quantize", str(folder / "a.png"), "-o", "-"],
        stdout=side,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(side)
    os.close(main)
    assert done.returncode == 2
    assert "terminal" in done.stderr
