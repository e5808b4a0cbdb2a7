#!/usr/bin/env python3
"""One table of all kernel benchmarks: medians beside targets.

usage: tools/bench_table.py FOLDER        reads FOLDER/*.json (Google Benchmark), writes table.csv and table.svg there

A share is of the multiply-add peak of the operands' dtype, or of the read bandwidth, measured in the same process. A
target without a benchmark, or a benchmark without a target, is left without a verdict.
"""

import csv
import html
import json
import pathlib
import statistics
import sys

# benchmark name, without what follows the last "/": (counter, target)
# a target named "of_aten" is a rate divided by that of the ATen way beside it: at_X/NAME beside Y/NAME
TARGETS = {
    "gemm": {
        "run_gemm/forward_2048": ("share_of_peak", 0.80),
        "run_gemm/input_gradient_2048": ("share_of_peak", 0.80),
        "run_gemm/weight_gradient_2048": ("share_of_peak", 0.80),
        "packed/rows_48": ("share_of_peak", 0.90),
        "packed/rows_1": ("share_of_read", 0.90),
        "packed/hot_240": ("share_of_peak", 0.95),
    },
    "expert_gemm": {
        "forward/rows:128": ("share_of_peak", 0.80),
        "forward/rows:48": ("share_of_peak", 0.68),
        "input_gradient/rows:128": ("share_of_peak", 0.75),
        "input_gradient/rows:48": ("share_of_peak", 0.52),
        "weight_gradient/rows:128/accumulate:0": ("share_of_peak", 0.75),
        "weight_gradient/rows:48/accumulate:0": ("share_of_peak", 0.65),
        "weight_gradient/rows:128/accumulate:1": ("share_of_peak", 0.75),
        "weight_gradient/rows:48/accumulate:1": ("share_of_peak", 0.65),
    },
    "attention": {
        "run_attention/forward_2048": ("share_of_peak", 0.75),
        "run_attention/forward_512": ("share_of_peak", 0.55),
        "run_attention/backward_2048": ("share_of_peak", 0.55),
    },
    "rms_norm": {"forward": ("share_of_read", 0.80), "backward": ("share_of_read", 0.80)},
    "permute": {"combine_slots/forward": ("share_of_read", 0.80), "combine_slots/backward": ("share_of_read", 0.80)},
    "latent_decode": {"run_decode/one_sequence_4096": ("share_of_peak", 0.60)},
    "adamw": {"step/fp32": ("of_aten", 0.95)},
    "cross_entropy": {"head/loss_and_gradient_with_products": ("of_aten", 0.85)},
}


def runs_of(path):
    runs = {}
    for run in json.loads(path.read_text())["benchmarks"]:
        if run.get("run_type") == "iteration":
            runs.setdefault(run["run_name"].removesuffix("/manual_time"), []).append(run)
    return runs


def rate(run):
    """FLOPs a second, or the share of the bandwidth of what has none."""
    return run["best_GF/s"] or run["share_of_read"]


def rows_of(path):
    runs = runs_of(path)
    aten = {name.split("/", 1)[1]: repeated for name, repeated in runs.items() if name.startswith("at_")}
    for name, repeated in runs.items():
        if name.startswith("at_"):
            continue
        beside = aten.get(name if name in aten else name.split("/", 1)[-1])
        ratio = statistics.median(map(rate, repeated)) / statistics.median(map(rate, beside)) if beside else None
        counter, target = TARGETS.get(path.stem, {}).get(name, (None, None))
        measure = counter if counter in ("share_of_peak", "share_of_read") else (
            "share_of_read" if repeated[0].get("share_of_read", 0) > repeated[0].get("share_of_peak", 0) else "share_of_peak")
        shares = sorted(run[measure] for run in repeated)
        median = statistics.median(shares)
        reached = ratio if counter == "of_aten" else median
        yield {"kernel": path.stem, "benchmark": name, "milliseconds": round(statistics.median(run["real_time"] for run in repeated), 4),
               "measure": measure, "median": round(median, 4), "least": round(shares[0], 4), "most": round(shares[-1], 4),
               "of_aten": "" if ratio is None else round(ratio, 3),
               "target": "" if target is None else f"{target:g} of ATen" if counter == "of_aten" else target,
               "verdict": "" if target is None else "met" if reached >= target else "missed"}


def plot(rows):
    bar, left, width = 18, 330, 900
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 60}" height="{bar * len(rows) + 40}" font-family="sans-serif" font-size="12">']
    scale = (width - left) / 1.2
    for number, row in enumerate(rows):
        y = bar * number + 20
        colour = {"met": "#2a7f62", "missed": "#c0392b"}.get(row["verdict"], "#7f8c8d")
        lines.append(f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{html.escape(row["kernel"] + " " + row["benchmark"])}</text>')
        lines.append(f'<rect x="{left}" y="{y}" width="{min(1.2, row["median"]) * scale:.1f}" height="{bar - 4}" fill="{colour}"/>')
        if isinstance(row["target"], float):
            x = left + row["target"] * scale
            lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 1}" y2="{y + bar - 3}" stroke="black" stroke-width="2"/>')
        lines.append(f'<text x="{left + min(1.2, row["median"]) * scale + 4:.1f}" y="{y + 12}">{row["median"]:.0%}</text>')
    return "\n".join(lines + ["</svg>"]) + "\n"


def main():
    folder = pathlib.Path(sys.argv[1])
    rows = [row for path in sorted(folder.glob("*.json")) for row in rows_of(path)]
    with open(folder / "table.csv", "w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    (folder / "table.svg").write_text(plot(rows))
    for row in rows:
        beside = f"{row['of_aten']:.2f}x ATen" if row["of_aten"] != "" else ""
        target = f"target {row['target'] if isinstance(row['target'], str) else format(row['target'], '.0%')}, {row['verdict']}" if row["target"] != "" else ""
        print(f"{row['kernel']:14} {row['benchmark']:40} {row['milliseconds']:10.3f} ms  {row['median']:6.1%} ({row['least']:.1%} .. {row['most']:.1%}) "
              f"{row['measure'].replace('_', ' '):14} {beside:12} {target}")
    missed = sum(row["verdict"] == "missed" for row in rows)
    print(f"{sum(row['verdict'] == 'met' for row in rows)} targets met, {missed} missed; {folder}/table.csv, {folder}/table.svg")


if __name__ == "__main__":
    main()
