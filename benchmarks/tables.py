"""The README's tables, in Markdown, from runs that pytest-benchmark saved."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from kmq.bench import in_seconds

Run = dict[str, Any]
TIMES = "×"  # noqa: RUF001
_COMPETITORS = ("numpy", "scikit-learn", "kmq")
_DTYPES = ("float64", "float32")
# Where one thread is done sooner than this, in seconds, nobody waits for a second.
_LONG_ROW = 0.1


def setting(runs: list[Run]) -> str:
    """Machine, versions and dates of runs, for a caption."""
    infos = [run["extra_info"] for run in runs]
    versions: dict[str, set[str]] = {}
    for info in infos:
        for name, text in info["versions"].items():
            versions.setdefault(name, set()).add(text)
    said = ", ".join(f"{name} {' and '.join(sorted(texts))}" for name, texts in versions.items())
    dates = sorted({info["date"] for info in infos})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    some = infos[-1]
    threads = some["threads"]["kmq"]
    return (
        f"{some['cores']} cores of {some['machine']}, {threads} threads, "
        f"Python {some['python']}, {said}, {when}."
    )


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]], left: int = 0) -> str:
    """A table, its first `left` columns flush left and the others flush right."""
    names = list(head)
    rule = ["---" if i < left else "---:" for i in range(len(names))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (names, rule, *rows))


def times(ratio: float) -> str:
    """A ratio in three digits, in bold where kmq is slower."""
    text = f"{ratio:.0f}{TIMES}" if ratio >= 100 else f"{ratio:.3g}{TIMES}"
    return text if ratio >= 1 else f"**{text}**"


def geometric_mean(values: Iterable[float]) -> float:
    """The geometric mean."""
    return float(np.exp(np.log(list(values)).mean()))


def test_of(run: Run) -> str:
    """Name of the test that made a run."""
    return run["name"].partition("[")[0]


def info_by(runs: list[Run], test: str, *keys: str) -> dict[tuple, dict[str, Any]]:
    """What a test recorded, by some of the things it recorded."""
    found = [run["extra_info"] for run in runs if test_of(run) == test]
    return {tuple(info[key] for key in keys): info for info in found}


def headline(runs: list[Run]) -> str:
    """The figures that matter most, as a list."""
    lines = []
    for test, what in (
        ("test_lloyd", "from the same start to strict convergence"),
        ("test_seeded", "with default parameters, seeding included"),
    ):
        infos = [run["extra_info"] for run in runs if test_of(run) == test]
        if infos:
            ratios = [info["ratio"] for info in infos]
            photos = len({info["photo"] for info in infos})
            lines.append(
                f"- All pixels of {photos} photos, {what}: **{geometric_mean(ratios):.0f} times "
                f"as fast as scikit-learn** (geometric mean of {len(infos)} fits, k = 8 to 256; "
                f"{min(ratios):.0f} to {max(ratios):.0f} times)."
            )
    for run in runs:
        if test_of(run) == "test_from_file_to_indices":
            info, whole = run["extra_info"], run["stats"]["median"]
            lines.append(
                f"- A JPEG of {info['n'] / 1e6:.0f} megapixels to 256 colours and an index for "
                f"every pixel: **{in_seconds(whole)}, once Pillow has decoded it in "
                f"{in_seconds(info['decode_s'])}**."
            )
    return "\n".join(lines) + f"\n\n{setting(runs)}"


def pictures(runs: list[Run]) -> str:
    """Times of one fit by k and competitor."""
    by = {(run["extra_info"]["k"], run["extra_info"]["competitor"]): run for run in runs}
    rows = []
    for k in sorted({k for k, _ in by}):
        ours = by[k, "kmq"]["extra_info"]
        cells = [str(k), str(ours["iterations"]), f"{ours['inertia'] / ours['n']:.2f}"]
        base = by[k, "kmq"]["stats"]["median"]
        for name in _COMPETITORS:
            seconds = by[k, name]["stats"]["median"]
            against = "" if name == "kmq" else f" ({times(seconds / base)})"
            cells.append(in_seconds(seconds) + against)
        cells.append(in_seconds(ours["first_call_s"]))
        rows.append(cells)
    rounds = {name: run["stats"]["rounds"] for (_, name), run in by.items()}
    counted = ", ".join(f"{name} {rounds[name]}" for name in _COMPETITORS)
    head = ["k", "iterations", "cost per pixel", *_COMPETITORS, "first call of kmq"]
    return (
        f"{markdown(head, rows)}\n\nMedian time of one warm fit (fits timed: {counted}) of all "
        f"{ours['n']:,} pixels, in brackets how many times that of kmq, and the first fit, which "
        f"loads compiled code. {setting(runs)}"
    )


def sweep(runs: list[Run]) -> str:
    """Time of the tutorial's sweep."""
    (run,) = runs
    info, ours = run["extra_info"], run["stats"]["median"]
    some = [k for k in (2, 8, 16, 32, 64) if k in info["k"]]
    rows = []
    for k in some:
        i = info["k"].index(k)
        theirs, mine = info["scikit_learn_times"][i], info["kmq_times"][i]
        rows.append([str(k), in_seconds(theirs), in_seconds(mine), times(theirs / mine)])
    theirs = info["scikit_learn_s"]
    rows.append(["whole sweep", in_seconds(theirs), in_seconds(ours), times(theirs / ours)])
    return (
        f"{markdown(['k', 'scikit-learn', 'kmq', 'ratio'], rows)}\n\n`record_k_metrics` for "
        f"k = {info['k'][0]}, {info['k'][1]} … {info['k'][-1]} with five starts each "
        f"(scikit-learn once, kmq median of {run['stats']['rounds']}); the costs are equal to 1e-9 "
        f"at all {len(info['k'])} numbers of clusters. {setting(runs)}"
    )


def colors(runs: list[Run]) -> str:
    """Ratios over photos by k, and every single one."""
    lloyd = info_by(runs, "test_lloyd", "k", "photo")
    seeded = info_by(runs, "test_seeded", "k", "photo")
    rows, every = [], []
    for k in sorted({k for k, _ in lloyd | seeded}):
        cells = [str(k)]
        for found in (lloyd, seeded):
            infos = [info for (other, _), info in found.items() if other == k]
            ratios = [info["ratio"] for info in infos]
            equal = sum(info["parity"] == "equal" for info in infos)
            spread = f"{times(min(ratios))} to {times(max(ratios))}"
            cells += [times(geometric_mean(ratios)), spread, f"{equal} of {len(infos)}"]
        rows.append(cells)
    for kind, found in (("same start", lloyd), ("defaults", seeded)):
        for (k, photo), info in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
            measured = in_seconds(info["scikit_learn_s"]), in_seconds(info["kmq_s"])
            cells = [photo, kind, str(k), str(info["iterations"]), *measured]
            every.append([*cells, times(info["ratio"]), info["parity"]])
    head = ["k", "same start", "range", "equal", "default parameters", "range", "equal"]
    long = ["photo", "fit", "k", "iterations", "scikit-learn", "kmq", "ratio", "result"]
    photos = len({photo for _, photo in lloyd | seeded})
    return (
        f"{markdown(head, rows)}\n\nTime of scikit-learn's fit over that of kmq, both given the "
        f"same 8-bit pixels of {photos} photos: geometric mean, range, and how many fits ended "
        "with the same labels, iterations and inertia. *Same start*: `init=start, tol=0, "
        "max_iter=300`. Any others part where a pixel is exactly as near to two centres, which "
        f"the benchmark checks. {setting(runs)}\n\n<details><summary>Every fit</summary>\n\n"
        f"{markdown(long, every, left=2)}\n\n</details>"
    )


def file_to_indices(runs: list[Run]) -> str:
    """Stages from a file to indices."""
    (run,) = runs
    info = run["extra_info"]
    stages = {"decode (Pillow)": info["decode_s"], **info["stages"]}
    stages["all after decoding"] = run["stats"]["median"]
    stages["`KMeans(256).fit(pixels)`, int32 labels"] = info["fit_s"]
    rows = [[stage, in_seconds(seconds)] for stage, seconds in stages.items()]
    return (
        f"{markdown(['stage', 'time'], rows, left=1)}\n\n{info['n']:,} pixels, k = 256, "
        f"scikit-learn's default convergence; medians of {run['stats']['rounds']}. {setting(runs)}"
    )


def general(runs: list[Run]) -> str:
    """Ratios on general data."""
    cells: dict[str, dict[tuple[str, str], dict]] = {}
    for run in runs:
        row = re.search(r"(\d+)x(\d+)-k(\d+)-(\w+)", run["name"])
        info = run["extra_info"]
        key = (test_of(run), info["dtype"])
        cells.setdefault(row[0], {})[key] = info
    kinds = [(test, dtype) for test in ("test_whole_fit", "test_iterations") for dtype in _DTYPES]
    rows = []
    for name, found in sorted(cells.items(), key=lambda item: _shape(item[0])):
        n, d, k, source = re.fullmatch(r"(\d+)x(\d+)-k(\d+)-(\w+)", name).groups()
        line = [source, f"{int(n):,}", d, k]
        for kind in kinds:
            info = found.get(kind)
            if info is None:
                line.append("–")  # noqa: RUF001
            else:
                line.append(f"{in_seconds(info['kmq_s'])} ({times(info['ratio'])})")
        rows.append(line)
    said = []
    for test, what in (("test_whole_fit", "Whole fits"), ("test_iterations", "ten iterations")):
        ratios = [
            info["ratio"]
            for found in cells.values()
            for (kind, _), info in found.items()
            if kind == test
        ]
        if ratios:
            lost = sum(ratio < 1 for ratio in ratios)
            mean = times(geometric_mean(ratios))
            said.append(f"{what}: geometric mean {mean}, {lost} of {len(ratios)} lost, in bold")
    head = ["data", "n", "d", "k", "defaults, f64", "defaults, f32"]
    head += ["10 iterations, f64", "10 iterations, f32"]
    return (
        f"{markdown(head, rows, left=1)}\n\nTime of kmq's fit, and in brackets how many times as "
        f"long scikit-learn's took. {'; '.join(said)}. {setting(runs)}"
    )


def rivals(runs: list[Run]) -> str:
    """Ratios on general data against every competitor."""
    names = list(dict.fromkeys(name for run in runs for name in run["extra_info"]["seconds"]))
    names = [name for name in names if name != "kmq"]
    rows, lost, n_ratios = [], 0, 0
    parsed = [(re.search(r"\d+x\d+-k\d+-\w+", run["name"])[0], run["extra_info"]) for run in runs]
    for name, info in sorted(parsed, key=lambda pair: (_shape(pair[0]), pair[1]["dtype"])):
        source, d, n, k = _shape(name)
        ours = info["seconds"]["kmq"]
        line = [source, f"{n:,}", str(d), str(k), info["dtype"], in_seconds(ours)]
        for rival in names:
            theirs = info["seconds"].get(rival)
            line.append("–" if theirs is None else times(theirs / ours))  # noqa: RUF001
            lost += theirs is not None and theirs < ours
            n_ratios += theirs is not None
        rows.append(line)
    rules = {name: rule for run in runs for name, rule in run["extra_info"]["rules"].items()}
    notes = []
    for name in names:
        ended = [run["extra_info"]["parity"] for run in runs]
        off = [parity[name] for parity in ended if name in parity]
        if rules[name]:
            ends = f"cost {100 * min(off):+.2f} % to {100 * max(off):+.2f} %"
            notes.append(f"{name}: {rules[name]}; {ends}.")
    head = ["data", "n", "d", "k", "dtype", "kmq", *names]
    return (
        f"{markdown(head, rows, left=1)}\n\nTime of ten iterations from the same start, and how "
        f"many times as long the others take; {lost} of {n_ratios} lost, in bold. "
        f"{' '.join(notes)} {setting(runs)}"
    )


def threads(runs: list[Run]) -> str:
    """One thread against two, on rows that take one longer than a tenth of a second."""
    parsed = [(re.search(r"\d+x\d+-k\d+-\w+", run["name"])[0], run["extra_info"]) for run in runs]
    rows, gains = [], []
    for name, info in sorted(parsed, key=lambda pair: (_shape(pair[0]), pair[1]["dtype"])):
        one, two = info["seconds"]["1"], info["seconds"]["2"]
        if one < _LONG_ROW:
            continue
        source, d, n, k = _shape(name)
        gains.append(one / two)
        line = [source, f"{n:,}", str(d), str(k), info["dtype"], in_seconds(one), in_seconds(two)]
        rows.append([*line, times(one / two)])
    head = ["data", "n", "d", "k", "dtype", "one thread", "two threads", "ratio"]
    return (
        f"One thread takes {times(geometric_mean(gains))} as long as two (geometric mean of the "
        f"{len(gains)} whole fits with default parameters that take it longer than "
        f"{in_seconds(_LONG_ROW)}; {times(min(gains))} to {times(max(gains))}), and ends with the "
        f"same bits. {setting(runs)}\n\n<details><summary>Every fit</summary>\n\n"
        f"{markdown(head, rows, left=1)}\n\n</details>"
    )


def _shape(name: str) -> tuple[str, int, int, int]:
    """Source, n, d and k of samples, from their name."""
    n, d, k, source = re.fullmatch(r"(\d+)x(\d+)-k(\d+)-(\w+)", name).groups()
    return source, int(d), int(n), int(k)


def tools(runs: list[Run]) -> str:
    """Time and cost of quantizers of images."""
    by = {(run["extra_info"]["k"], run["extra_info"]["competitor"]): run for run in runs}
    names = list(dict.fromkeys(name for _, name in by))
    ks = sorted({k for k, _ in by})
    rows = []
    for name in names:
        cells = [name]
        for k in ks:
            run = by.get((k, name))
            if run is None:
                cells += ["–", "–"]  # noqa: RUF001
                continue
            info = run["extra_info"]
            cells.append(in_seconds(run["stats"]["median"] / info["photos"]))
            cells.append(f"{100 * info['cost_against_libimagequant_1']:.1f} %")
        rows.append(cells)
    head = ["tool", *(text for k in ks for text in (f"k = {k}", "cost"))]
    photos = runs[0]["extra_info"]["photos"]
    return (
        f"{markdown(head, rows, left=1)}\n\nTime a photo, mean over {photos} Kodak photos, from "
        "decoded pixels to palette and indices, without dithering; squared error as a share of "
        f"that of libimagequant at its best, geometric mean over the photos. {setting(runs)}"
    )


def dither(runs: list[Run]) -> str:
    """Time of dithering."""
    rows = [
        [run["extra_info"]["competitor"], f"{run['extra_info']['ns_a_pixel']:.1f} ns"]
        for run in runs
    ]
    return (
        f"{markdown(['method', 'time a pixel'], rows, left=1)}\n\nOne thread, 256 colours. "
        f"{setting(runs)}"
    )


def folder(runs: list[Run]) -> str:
    """Time and memory of a folder of pictures."""
    rows = []
    for info in (run["extra_info"] for run in runs):
        memory = f"{info['peak_rss_mb']:.0f} MB"
        rows.append([info["competitor"], f"{info['ms_a_photo']:.1f} ms", memory])
    head = ["100 photos, k = 16", "time a photo", "peak memory"]
    return f"{markdown(head, rows, left=1)}\n\nFrom files to files. {setting(runs)}"


def startup(runs: list[Run]) -> str:
    """Times of processes and of tiny fits."""
    groups: dict[str, dict[str, float]] = {}
    for run in runs:
        name = run["extra_info"].get("competitor")
        if name is None:
            name = "scikit-learn" if "scikit-learn" in run["name"] else "kmq"
        groups.setdefault(run["group"], {})[name] = run["stats"]["median"]
    rows = []
    for group, found in groups.items():
        ours, theirs = found.get("kmq"), found.get("scikit-learn")
        cells = [in_seconds(value) if value else "–" for value in (theirs, ours)]  # noqa: RUF001
        rows.append([group, *cells, times(theirs / ours) if ours and theirs else ""])
    head = ["what is waited for", "scikit-learn", "kmq", "ratio"]
    return f"{markdown(head, rows, left=1)}\n\nMedians. {setting(runs)}"


def memory(runs: list[Run]) -> str:
    """Peak memory by case."""
    groups: dict[tuple[str, int], dict[str, dict]] = {}
    for run in runs:
        info = run["extra_info"]
        groups.setdefault((info["case"], info["k"]), {})[info["competitor"]] = info
    rows = []
    names = ("scikit-learn", "kmq", "kmq, palette and indices")
    for (case, k), found in groups.items():
        cells = [case, str(k), _bytes(next(iter(found.values()))["sample_bytes"])]
        for name in names:
            info = found.get(name)
            extra = "" if info is None else _bytes(info["extra_bytes"])
            share = "" if info is None else f" ({info['extra_bytes'] / info['n']:.1f} B)"
            cells.append(extra + share)
        rows.append(cells)
    head = ["samples", "k", "their size", *names]
    return (
        f"{markdown(head, rows, left=1)}\n\nPeak of resident memory during the fit above what the "
        "process held before, with the samples loaded and the libraries warm; in brackets a "
        f"sample. {setting(runs)}"
    )


def _bytes(count: int) -> str:
    """A size in megabytes."""
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"


def slopes(runs: list[Run]) -> str:
    """Exponents of growth."""
    rows = []
    for run in runs:
        info = run["extra_info"]
        ends = f"{info['x'][0]:,} to {info['x'][-1]:,}"
        ratios = np.divide(info["seconds"]["scikit-learn"], info["seconds"]["kmq"])
        ours, theirs = info["slopes"]["kmq"], info["slopes"]["scikit-learn"]
        spread = f"{times(ratios[0])} to {times(ratios[-1])}"
        rows.append([info["axis"], ends, f"{ours:.2f}", f"{theirs:.2f}", spread])
    head = ["time against", "from … to", "kmq", "scikit-learn", "ratio at both ends"]
    return (
        f"{markdown(head, rows, left=1)}\n\nExponent of a power law fitted to the time of an "
        "iteration (of a whole fit where pixels grow in number and their colours do not): 1 is "
        f"proportional, less is better. {setting(runs)}"
    )
