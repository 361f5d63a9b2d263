"""`scripts/bench scheduling`: what decisions of the scheduler cost as the fleet and the number of tasks grow.

Reads what `src/scheduler/simulation/cost` measured: each kind of decision on fleets of 10 to 100 instances with 100 tasks
each, and on 100 instances with 1,000 to 10,000 tasks: the processor's time. Prints a row for each kind and draws both
grids into target/scheduling. An exponent is the slope of the logarithms from half of the largest size on: 0 does not
grow, 1 is linear, 2 grows as the square. `reading` is the same of what reads every live task once, on the store of that
kind and in turns with it: it is linear, and above 1 because so many tasks are more than the caches hold, the more so the
more was written to the store before. A kind is worse than linear when it grows by more than TOLERANCE faster than reading,
in either grid; then the exit code is 1.
"""
import argparse
import collections
import csv
import math
import os
import pathlib
import subprocess
import sys

import plot

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "target/scheduling"
TOLERANCE = 0.25
GRIDS = {"fleet": ("100 tasks on each instance", "instances"), "tasks": ("100 instances", "tasks")}
COMMAND = ("cargo", "test", "--release", "--quiet", "--package", "cove-scheduler", "--lib", "--",
           "--nocapture", "--exact", "simulation::cost::what_is_measured_does_what_it_says")


def measure(path, kind):
    # The whole program is not looked at at once: this is one crate, and the levels are those of a release.
    environment = {"SCHEDULING_COST": str(path), "CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_STRIP": "none"}
    if kind:
        environment["SCHEDULING_KIND"] = kind
    subprocess.run(COMMAND, check=True, cwd=ROOT, env={**os.environ, **environment})


def read(path):
    """By kind and grid: (size, seconds for each decision, seconds to read all) from the smallest to the largest."""
    kinds = collections.defaultdict(lambda: collections.defaultdict(list))
    for row in csv.DictReader(open(path)):
        size = int(row[GRIDS[row["grid"]][1]])
        kinds[row["kind"], row["per"]][row["grid"]].append(
            (size, int(row["nanoseconds"]) / int(row["decisions"]) / 1e9, int(row["reading"]) / 1e9))
    return kinds


def exponents(points):
    """Of the decision and of reading."""
    larger = [point for point in points if 2 * point[0] >= points[-1][0]]
    return [plot.fit([(math.log(point[0]), math.log(point[which])) for point in larger])[1] for which in (1, 2)]


def shown(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def judge(kinds):
    """Prints the table; the kinds that grow faster than they may."""
    bad = set()
    for grid, (title, unit) in GRIDS.items():
        sizes = [size for size, *_ in next(iter(kinds.values()))[grid]]
        picked = [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
        head = "".join(f"{f'{size:,}':>10}" for size in picked)
        print(f"\n{title}, {unit}:\n{'':34} {'per':9}{head} {'exponent':>9} {'reading':>9}")
        for (kind, per), grids in kinds.items():
            times = {size: seconds for size, seconds, _ in grids[grid]}
            power, reading = exponents(grids[grid])
            good = power <= max(1, reading) + TOLERANCE
            if not good:
                bad.add(kind)
            cells = "".join(f"{shown(times[size]):>10}" for size in picked)
            print(f"{kind:34} {per:9}{cells} {power:9.2f} {reading:9.2f}{'' if good else ' WORSE THAN LINEAR'}")
    return bad


def draw(kinds, bad, path):
    """A square for each kind, both axes logarithmic; what is linear lies along the grey line."""
    across, side, gap, head = 5, 150, 46, 34
    parts = []
    for number, ((kind, per), grids) in enumerate(kinds.items()):
        left, top = 40 + number % across * (side + gap), head + number // across * (side + gap + 14)
        seconds = [value for points in grids.values() for _, value, _ in points]
        low = math.floor(math.log10(min(seconds)) * 2) / 2
        high = low + max(1.5, math.ceil((math.log10(max(seconds)) - low) * 2) / 2)
        down = lambda value: top + side * (1 - (math.log10(value) - low) / (high - low))
        parts += [plot.text(left, top - 16, kind, "#d22" if kind in bad else "#000"), plot.rule(left, top, left, top + side),
                  plot.text(left, top - 4, f"for each {per}", "#777")]
        for power in range(math.ceil(low), math.floor(high) + 1):
            parts += [plot.rule(left, down(10 ** power), left + side, down(10 ** power)),
                      plot.text(left - 4, down(10 ** power) + 4, shown(10 ** power), "#777", "end")]
        for (grid, points), colour in zip(sorted(grids.items()), ("#27b", "#b62")):
            largest = points[-1][0]
            x = lambda size: left + side * (1 + math.log10(size / largest))
            if grid == "fleet":
                # From the largest backwards, as far as it is in the picture.
                first = max(0.1, 10 ** (low - math.log10(points[-1][1])))
                parts.append(plot.line([(x(largest * part), down(points[-1][1] * part)) for part in (first, 1)], "#bbb"))
            parts.append(plot.line([(x(size), down(value)) for size, value, _ in points], colour, 1.5))
            parts += [plot.dot(x(size), down(value), colour) for size, value, _ in points]
        parts.append(plot.text(left, top + side + 13, "a tenth", "#777"))
        parts.append(plot.text(left + side, top + side + 13, "all", "#777", "end"))
    rows = -(-len(kinds) // across)
    below = head + rows * (side + gap + 14)
    parts += [plot.text(40, below, "blue: 10 to 100 instances with 100 tasks each", "#27b"),
              plot.text(340, below, "brown: 100 instances with 1,000 to 10,000 tasks", "#b62"),
              plot.text(640, below, "grey: linear", "#777")]
    path.write_text(plot.page(40 + across * (side + gap), below + 16, parts))


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench scheduling")
    parser.add_argument("--kind", help="only kinds whose name has this in it")
    parser.add_argument("--again", action="store_true", help="judge and draw what was measured last")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    table = OUT / "scheduling.csv"
    if not options.again:
        measure(table, options.kind)
    kinds = read(table)
    bad = judge(kinds)
    draw(kinds, bad, OUT / "scheduling.svg")
    print(f"\ntable in {table.relative_to(ROOT)}, plot in {(OUT / 'scheduling.svg').relative_to(ROOT)}")
    for kind in sorted(bad):
        print(f"WORSE THAN LINEAR: {kind}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
