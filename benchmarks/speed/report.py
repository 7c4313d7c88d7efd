"""Puts what ``speed.py`` measured into tables, the last of them of what is promised: target, measured, holds."""

from __future__ import annotations

from typing import Any

from benchmarks.speed.gmic import GMIC_SECONDS
from benchmarks.speed.machine import COPIES
from benchmarks.targets import Target
from training.evaluation.tables import Table

NETWORK_TITLES = {
    "network": "default",
    "thesis_64": "thesis, f = 64",
    "thesis_32": "thesis, f = 32",
}
STAGE_TITLES = {
    "regions": "frame",
    "colours": "inputs, hint prior, network",
    "flats": "wait for the regions, choose colours",
    "shading": "shade, enlarge and paint",
}
GMIC_TITLES = {"gmic_smart": "G'MIC smart colouring", "gmic_propagation": "G'MIC propagation"}
BASE, MIDDLE, LARGE, HUGE = "512x512", "1024x1024", "2480x3508", "4960x7016"

Numbers = dict[str, Any]
Limit = tuple[str, float | None, float, str]
"""What is promised, the number that was measured or None, the most that it may be, and the number's format."""


def _table(head: list[str], body: list[list[str]]) -> str:
    return Table(head, body).markdown()


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def machine_table(found: Numbers) -> str:
    """What the machine can do."""
    rates = found["rates"]
    body = [
        ["sgemm (torch.mm)", f"{rates['sgemm_gflops']:.1f} GFLOP/s"],
        ["3x3 convolutions", f"{rates['conv_gflops']:.1f} GFLOP/s"],
        ["memcpy", f"{rates['copy_gb_per_s']:.1f} GB/s"],
    ]
    return _table(["the machine", "rate"], body)


def network_table(found: Numbers) -> str:
    """The networks side by side."""
    rates, networks = found["rates"], found["networks"]
    own = networks["network"]["seconds"]
    body = []
    for name, title in NETWORK_TITLES.items():
        row = networks[name]
        rate = row["gflop"] / row["seconds"]
        body.append(
            [
                title,
                _milliseconds(row["seconds"]),
                f"{row['seconds'] / own:.2f}",
                f"{row['parameters'] / 1e6:.1f} M",
                f"{row['gflop']:.2f}",
                f"{rate:.1f}",
                f"{rate / rates['sgemm_gflops']:.0%}",
                f"{rate / rates['conv_gflops']:.0%}",
            ]
        )
    head = [f"network, {BASE}", "median", "/ default", "parameters", "GFLOP", "GFLOP/s", "of sgemm", "of convolutions"]
    return _table(head, body)


def filter_seconds(row: Numbers, name: str) -> float | None:
    """Seconds of a G'MIC filter without starting, reading and writing; None where it did not end."""
    seconds = row["seconds"]
    if name not in seconds or "gmic_files" not in seconds:
        return None
    return float(max(seconds[name] - seconds["gmic_files"], 0.0))


def _gmic_rows(sizes: dict[str, Numbers]) -> list[list[str]]:
    body = []
    for name, title in GMIC_TITLES.items():
        files: list[str] = []
        alone: list[str] = []
        ratio: list[str] = []
        for row in sizes.values():
            seconds = filter_seconds(row, name)
            if seconds is None:
                files, alone, ratio = [*files, f"failed or over {GMIC_SECONDS:.0f} s"], [*alone, "-"], [*ratio, "-"]
                continue
            files.append(_milliseconds(row["seconds"][name]))
            alone.append(_milliseconds(seconds))
            ratio.append(f"{row['seconds']['job'] / seconds:.2f}" if seconds else "-")
        body += [[f"{title}, with start and files", *files], ["... the filter alone", *alone]]
        body.append(["whole job / the filter alone", *ratio])
    return body


def job_table(found: Numbers) -> str:
    """Whole jobs and what they are made of, a column per size."""
    sizes: dict[str, Numbers] = found["sizes"]

    def row(title: str, of: str, key: str) -> list[str]:
        return [title, *[_milliseconds(numbers[of][key]) for numbers in sizes.values()]]

    def copies(title: str, of: str, key: str) -> list[str]:
        return [title, *[f"{n[of][key] / n['seconds']['copies']:.2f}" for n in sizes.values()]]

    unit = f"/ {COPIES} memcpys of the canvas"
    body = [row("whole job, warm, another drawing", "seconds", "job")]
    body += [row(f"... {title}", "stages", key) for key, title in STAGE_TITLES.items()]
    body.append(row("hints alone are new", "seconds", "hint_only"))
    body += [row(f"... {title}", "hint_stages", key) for key, title in STAGE_TITLES.items()]
    body.append(row("regions alone (beside the network in a job)", "seconds", "regions"))
    body.append(row(f"{COPIES} memcpys of the RGBA canvas", "seconds", "copies"))
    body += [copies(f"regions {unit}", "seconds", "regions"), copies(f"shade to paint {unit}", "stages", "shading")]
    for key, title in (
        ("job_mb", "peak memory over the loaded model"),
        ("hint_only_mb", "... after another, new hints"),
    ):
        body.append([title, *[f"{n['memory'][key]:.0f} MB" for n in sizes.values()]])
    body.append(["... of it the inputs", *[f"{n['memory']['inputs_mb']:.0f} MB" for n in sizes.values()]])
    body.append(["... of it two layers", *[f"{n['memory']['layers_mb']:.0f} MB" for n in sizes.values()]])
    if found["gmic"] is not None:
        body += _gmic_rows(sizes)
    return _table(["job", *sizes], body)


def ratio_table(found: Numbers) -> str:
    """The whole job of the smallest canvas against networks alone."""
    networks, seconds = found["networks"], found["sizes"][BASE]["seconds"]
    own = networks["network"]["seconds"]
    body = [
        [title, _milliseconds(value), *_ratios(value, networks)]
        for title, value in (("network", own), ("network and its hint prior", own + found["prior"]))
    ]
    body += [
        [title, _milliseconds(seconds[key]), *_ratios(seconds[key], networks)]
        for key, title in (("job", "whole job"), ("hint_only", "hints alone are new"))
    ]
    return _table([BASE, "median", *[f"/ {title}" for title in NETWORK_TITLES.values()]], body)


def _ratios(seconds: float, networks: Numbers) -> list[str]:
    return [f"{seconds / networks[name]['seconds']:.3f}" for name in NETWORK_TITLES]


def flats_table(found: Numbers) -> str:
    """Who colours known areas right."""
    kinds = found["flats"]["right"]
    names = {"ours": "our flats", **GMIC_TITLES}
    body = [
        [title, *[f"{rows[name]:.2%}" if name in rows else "-" for rows in kinds.values()]]
        for name, title in names.items()
        if any(name in rows for rows in kinds.values())
    ]
    return _table([f"pixels right, {found['flats']['size']} px, {found['flats']['drawings']} drawings", *kinds], body)


def start_table(found: Numbers) -> str:
    """From the command line to the picture, and the imports."""
    start = found["start"]
    body = [[f"`engine colorize`, {BASE}, a new process ({start['runtime']})", f"{start['seconds']:.2f} s", ""]]
    body += [
        [f"import {name}", f"{seconds:.2f} s", f"{start['shares'][name]:.0%}"]
        for name, seconds in start["imports"].items()
        if start["shares"][name] >= 0.005
    ]
    body += [[f"`import {name}` alone", f"{seconds:.2f} s", ""] for name, seconds in found["imports"].items()]
    return _table(["cold start", "median", "of the process, watched"], body)


def _limits(found: Numbers) -> list[Limit]:
    """All that may not be more than a number."""
    sizes: dict[str, Numbers] = found["sizes"]
    networks = {name: row["seconds"] for name, row in found["networks"].items()}

    def of(size: str, group: str, key: str) -> float | None:
        return float(sizes[size][group][key]) if size in sizes else None

    def over(value: float | None, other: float | None) -> float | None:
        return value / other if value is not None and other else None

    limits: list[Limit] = []
    for key, what, small, large in (("job", "whole job", 5, 12), ("hint_only", "hints alone", 8, 20)):
        for name, part in (("thesis_32", small), ("thesis_64", large)):
            ratio = over(of(BASE, "seconds", key), networks[name])
            limits.append((f"{BASE} {what} <= 1/{part} of {NETWORK_TITLES[name]} alone", ratio, 1 / part, ".3f"))
    smart = filter_seconds(sizes[MIDDLE], "gmic_smart") if MIDDLE in sizes else None
    limits.append(
        (f"{MIDDLE} whole job <= 1/4 of G'MIC's smart filter", over(of(MIDDLE, "seconds", "job"), smart), 0.25, ".3f")
    )
    for size, key, what, most in (
        (LARGE, "job", "whole job", 2.5),
        (HUGE, "job", "whole job", 7.0),
        (HUGE, "hint_only", "hints alone", 2.5),
    ):
        limits.append((f"{size} {what} <= {most:g} s", of(size, "seconds", key), most, ".2f"))
    for size in (LARGE, HUGE):
        copies = of(size, "seconds", "copies")
        for group, key, what in (("seconds", "regions", "regions"), ("stages", "shading", "shade to paint")):
            ratio = over(of(size, group, key), copies)
            limits.append((f"{size} {what} <= 6 times {COPIES} memcpys of the canvas", ratio, 6.0, ".2f"))
    limits.append((f"{HUGE} memory over the loaded model <= 2000 MB", of(HUGE, "memory", "hint_only_mb"), 2000, ".0f"))
    limits.append((f"{LARGE} memory over the loaded model <= 1500 MB", of(LARGE, "memory", "job_mb"), 1500, ".0f"))
    ratio = networks["network"] / networks["thesis_32"]
    limits.append(("network <= 1/5 of thesis, f = 32", ratio, 0.2, ".3f"))
    limits.append(
        (f"{BASE} whole job <= 2 networks", over(of(BASE, "seconds", "job"), networks["network"]), 2.0, ".2f")
    )
    limits.append(("import engine <= 0.1 s", found["imports"]["engine"], 0.1, ".3f"))
    return limits


def targets(found: Numbers) -> list[Target]:
    """All targets."""
    out: list[Target] = [
        (what, "not measured" if value is None else format(value, form), None if value is None else value <= most)
        for what, value, most, form in _limits(found)
    ]
    for kind, rows in found["flats"]["right"].items():
        what = f"flats on {kind} drawings at least as right as G'MIC's smart filter"
        if "gmic_smart" in rows:
            seen = f"{rows['ours']:.2%} and {rows['gmic_smart']:.2%}, {found['flats']['size']} px"
            out.append((what, seen, rows["ours"] >= rows["gmic_smart"]))
        else:
            out.append((what, "not measured", None))
    start = found["start"]
    out.append(("cold start <= 3 s", f"{start['seconds']:.2f} s with {start['runtime']}", start["seconds"] <= 3))
    row = found["networks"]["network"]
    share = row["gflop"] / row["seconds"] / found["rates"]["sgemm_gflops"]
    out.append(("network at >= 45 % of the sgemm rate", f"{share:.0%}", share >= 0.45))
    return out
