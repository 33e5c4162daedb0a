"""Runs random short programs with torch and with Moka and prints the smallest that differ.

python tests/peers/random_programs [AREA ...] --seed 0 --count 500 [--lenient]
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import collections
import random
import re
import sys
import time

import areas
import compare

# Where torch says which strides results have.
LAID_OUT = {"index_read", "index_write", "views", "views_grad", "unary", "binary", "in_place", "arrays"}


def programs_of(area: str, seed: int, number: int) -> list[str]:
    return areas.AREAS[area](random.Random(f"{area} {seed} {number}"))


def run_area(area: str, seed: int, count: int) -> list[tuple]:
    found, strides = [], area in LAID_OUT
    for number in range(count):
        program = programs_of(area, seed, number)
        first = compare.difference(program, strides)
        if first:
            smallest = compare.shrink(program, first.kind, strides)
            text = compare.difference(smallest, strides) or first
            found.append((number, first.kind, text.at, text.text, smallest))
    return found


def short(line: str) -> str:
    return re.sub(r"A\(\[([^]]{60})[^]]+\]", r"A([\1 ...]", line)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--each", type=int, default=2, help="examples of one kind at one function")
    parser.add_argument("--lenient", action="store_true", help="also where torch refuses and Moka does not")
    parser.add_argument("--program", type=int, help="prints this program of the area")
    options = parser.parse_args()
    if options.program is not None:
        print("\n".join(programs_of(options.areas[0], options.seed, options.program)))
        return 0
    total = 0
    for area in options.areas or areas.AREAS:
        begin = time.time()
        found = run_area(area, options.seed, options.count)
        counts = collections.Counter(kind for _, kind, *_ in found)
        shown: collections.Counter = collections.Counter()
        for number, kind, at, text, program in found:
            if kind == "lenient" and not options.lenient:
                continue
            key = (kind, compare.function_of(at))
            shown[key] += 1
            if shown[key] > options.each:
                continue
            print(f"--- {area} {number}: {kind}: {short(text)}")
            print("\n".join(f"    {short(line)}" for line in program))
        hidden = {k: n for k, n in shown.items() if n > options.each}
        if hidden:
            more = ", ".join(f"{f} ({k}) {n}" for (k, f), n in hidden.items())
            print("    more of the same:", more)
        seconds = time.time() - begin
        print(f"=== {area}: {options.count} programs, {dict(counts)}, {seconds:.0f} s", flush=True)
        total += sum(n for kind, n in counts.items() if kind != "lenient")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
