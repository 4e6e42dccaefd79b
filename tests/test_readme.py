"""The README: its commands run, its tables parse and say with which versions they were made."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from kmq.cli import run

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = re.compile(r"<!-- table: (\w+) -->(.*?)<!-- /table -->", re.DOTALL)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def lines(language, program):
    found = "\n".join(blocks(language)).splitlines()
    return [line for line in found if line.split()[:1] == [program]]


def place(folder, monkeypatch):
    (folder / "img").symlink_to(ROOT / "img")
    monkeypatch.chdir(folder)


def test_the_first_block_quantizes_the_flower(tmp_path, monkeypatch):
    install, command = blocks("sh")[0].rsplit(" && ", 1)
    assert install == "python3 -m venv .venv && .venv/bin/pip install -q ."
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/kmq"
    place(tmp_path, monkeypatch)
    assert run(arguments) == 0
    assert (tmp_path / "quantized.png").stat().st_size > 0


def test_the_second_block_is_how_the_tests_are_run():
    assert blocks("sh")[1].strip().endswith(".venv/bin/python -m pytest -n auto --dist loadfile")
    assert len(blocks("sh")) == 2


def test_the_commands_run_one_after_another(tmp_path, monkeypatch, capsys):
    place(tmp_path, monkeypatch)
    commands = lines("console", "kmq")
    assert len(commands) == 10
    for command in commands:
        assert run(shlex.split(command)[1:]) == 0, command
        if "-o" in command:
            assert Path(command.split(" -o ")[1]).stat().st_size > 0
    assert (tmp_path / "curve.png").exists()
    out = capsys.readouterr().out
    assert "scikit-learn" in out
    assert "same" in out


@pytest.mark.parametrize("number", range(2))
def test_the_programs_run(number, tmp_path, monkeypatch):
    place(tmp_path, monkeypatch)
    program = blocks("python")[number]
    # What a reader waits for is shown elsewhere to work: here the sweep is shorter.
    exec(compile(program.replace("range(2, 65, 2)", "range(2, 9, 2)"), "README.md", "exec"), {})
    assert len(blocks("python")) == 2


def test_the_way_to_measure_is_there(pytestconfig):
    (install,) = lines("console", "pip")
    extra = re.fullmatch(r"pip install '\.\[(\w+)\]'", install)[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extra in project["optional-dependencies"]
    options = {word for line in lines("console", "pytest") for word in line.split()[1:]}
    # An option of the benchmarks' own, which a run of the tests alone does not know.
    assert '"--grid"' in (ROOT / "benchmarks" / "conftest.py").read_text()
    for option in options - {"--grid"}:
        pytestconfig.getoption(option.partition("=")[0])
    (report,) = lines("console", "python")
    _, _, module, *files = report.split()
    assert (ROOT / Path(*module.split(".")).with_suffix(".py")).exists()
    assert {f"--benchmark-json={file}" for file in files} <= options


def test_tables_parse_and_name_the_versions():
    found = TABLE.findall(TEXT)
    assert len(found) >= 10
    for name, content in found:
        rows = [line for line in content.splitlines() if line.startswith("|")]
        if name != "headline":
            widths = {len(re.split(r"(?<!\\)\|", row)) for row in rows}
            assert len(rows) >= 3, name
            assert "<details>" in content or len(widths) == 1, name
        caption = content.replace("\n", " ")
        for library in ("kmq", "numpy", "numba", "scikit-learn"):
            assert re.search(rf"\b{library} \d+\.\d+\.\d+", caption), (name, library)
        assert re.search(r"Python 3\.\d+\.\d+, .*20\d\d-\d\d-\d\d", caption), name


def test_nothing_is_measured_outside_the_tables():
    prose = TABLE.sub("", TEXT)
    assert re.findall(r"\d ?(?:×|ms\b|s\b|µs\b|MB\b|times as)", prose) == []  # noqa: RUF001


def test_pictures_are_there():
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)
    assert len(shown) >= 6
    for path in shown:
        assert (ROOT / path).exists(), path
