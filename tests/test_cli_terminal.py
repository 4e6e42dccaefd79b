"""What the command does with terminals, streams and signals."""

import os
import pty
import re
import subprocess
import sys

import pytest
from PIL import Image as pillow

from kmq.cli import app, run

# The commands and the frame around them.
COMMANDS = ([], *([command.name] for command in app.registered_commands))
THREE = ("palette", "-k", "3")


@pytest.fixture
def source(tmp_path, gradient):
    path = tmp_path / "source.png"
    pillow.fromarray(gradient.rgb_matrix).save(path)
    return path


def shell(redirection, *arguments):
    """Run kmq with its streams as a shell sets them up."""
    line = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "kmq", *arguments]
    return subprocess.run(line, capture_output=True, text=True)


def seen_on_terminal(columns, *arguments):
    """What a terminal of some width shows."""
    leader, follower = pty.openpty()
    line = [sys.executable, "-m", "kmq", *map(str, arguments)]
    pty_size = ["sh", "-c", f'stty cols {columns} rows 50; exec "$@"', "sh"]
    with subprocess.Popen([*pty_size, *line], stdin=follower, stdout=follower, stderr=follower):
        os.close(follower)
        seen = b""
        try:
            while part := os.read(leader, 1 << 16):
                seen += part
        except OSError:  # what Linux says at the end of a terminal
            pass
    os.close(leader)
    return seen.decode().replace("\r\n", "\n")


def help_of(arguments, columns, capsys, monkeypatch):
    """The help of a command on a terminal of some width."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run([*arguments, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda names: "".join(names) or "kmq")
def test_help_on_a_narrow_terminal_cuts_no_option_short(arguments, capsys, monkeypatch):
    names = [
        set(
            re.findall(
                r"^│ \*? *(--[\w-]+)", help_of(arguments, columns, capsys, monkeypatch), re.M
            )
        )
        for columns in (60, 200)
    ]
    assert "--help" in names[0]
    assert names[0] == names[1]


def test_help_is_as_wide_as_the_terminal(capsys, monkeypatch):
    text = help_of(["quantize"], 200, capsys, monkeypatch)
    assert "stay animated where the format written can hold that." in text


def test_long_values_go_on_below_their_beginning(source, tmp_path):
    out = tmp_path / "out.png"
    seen = seen_on_terminal(50, "quantize", source, "-k", "9", "-v", "-o", out)
    at = seen.index("palette")
    first, *more = seen[at:].splitlines()
    assert re.fullmatch(r"palette {11}(#\w{6} ?){4}", first)
    assert all(re.fullmatch(r" {18}(#\w{6} ?)+", line) for line in more)
    assert len(re.findall(r"#\w{6}\b", seen)) == 9


def test_what_was_closed_before_the_start(source, tmp_path):
    out = tmp_path / "out.png"
    done = shell(">&-", "info", source)
    assert (done.returncode, done.stderr) == (
        6,
        "kmq: error: cannot write: bad file descriptor\n",
    )
    assert shell(">&-", "quantize", source, "-q", "-o", out).returncode == 0
    done = shell("<&-", "quantize", "-", "-o", tmp_path / "none.png")
    assert (done.returncode, done.stderr) == (4, "kmq: error: cannot read stdin: it is empty\n")
    done = shell("2>&- <&- >&-", "quantize", source, "-f", "-o", out)
    assert (done.returncode, done.stdout) == (0, "")


def test_colours_have_patches_where_there_is_colour(source, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    plain = r"(#\w{6} +\d+\.\d\d%\n){3}"
    assert re.fullmatch(
        r"(\x1b\[48;5;\d+m {6}\x1b\[0m  " + plain[1:], seen_on_terminal(80, *THREE, source)
    )
    monkeypatch.setenv("NO_COLOR", "1")
    assert re.fullmatch(plain, seen_on_terminal(80, *THREE, source))
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert re.fullmatch(plain, seen_on_terminal(80, *THREE, source))


def test_what_the_encoding_of_stdout_lacks_is_no_failure(source, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = shell("", "compare", source, source)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u0394E2000 mean" in done.stdout


def test_an_interrupt_before_the_command_is_there():
    code = """
import sys, types
from kmq.__main__ import main
slow = types.ModuleType("kmq.cli")
slow.__getattr__ = lambda name: (_ for _ in ()).throw(KeyboardInterrupt)
sys.modules["kmq.cli"] = slow
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "kmq: error: interrupted\n")


@pytest.mark.parametrize(("arguments", "told"), [((), 1), (("--quiet",), 0)])
def test_who_waits_for_the_compiler_is_told_once(
    source, tmp_path, monkeypatch, bare_root, arguments, told
):
    monkeypatch.setenv("KMQ_CACHE_DIR", str(tmp_path / "cold"))
    monkeypatch.setenv("PYTHONPATH", str(bare_root))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.txt").write_text("#000000\n#ffffff\n")
    remap = ["remap", source, "--palette", tmp_path / "two.txt", "-o", tmp_path / "o.png"]
    assert seen_on_terminal(100, *remap, *arguments).count("compiling for this machine") == told
    assert "compiling" not in seen_on_terminal(100, *remap, "--force", *arguments)
