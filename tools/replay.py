"""What the passes make of twenty networks, kept, and compared with what they make after a change."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

__all__ = ["compare", "main", "optimized_texts", "save"]


def optimized_texts() -> dict[str, str]:
    """The text of every network's graph as it runs, without what changes from run to run."""
    from replay_models import MODELS

    import moka
    from moka import _C

    texts = {}
    for name, (build, example) in MODELS.items():
        moka.manual_seed(0)
        traced = moka.jit.trace(build().eval(), example(), check_trace=False)
        text = _C._graph_text(_C._graph_stages(traced.graph)[-1][2])[0]
        texts[name] = re.sub(r' at "[^"]*":\d+', "", text)  # lines of the networks' own file
    return texts


def operators(text: str) -> Counter[str]:
    """How often each operator stands in a text."""
    return Counter(re.findall(r"^ *%[^=]*= (@?[\w.]+)", text, re.MULTILINE))


def save(folder: Path, texts: dict[str, str]) -> None:
    """Keep the texts, one file for each network."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.txt"):
        old.unlink()
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


def compare(folder: Path, texts: dict[str, str], whole: bool = False) -> tuple[list[str], int]:
    """Lines that say what differs from the texts that are kept, and how many networks differ."""
    lines, changed = [], 0
    kept = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))}
    for name in sorted({*kept, *texts}):
        before, after = kept.get(name, ""), texts.get(name, "")
        if before == after:
            continue
        changed += 1
        counts, now = operators(before), operators(after)
        moved = [f"{op} {counts[op]} -> {now[op]}" for op in sorted({*counts, *now}) if counts[op] != now[op]]
        nodes = f"{sum(counts.values())} -> {sum(now.values())} nodes"
        lines.append(f"{name}: {nodes}; {', '.join(moved) or 'same operators'}")
        if whole:
            lines += difflib.unified_diff(
                before.splitlines(), after.splitlines(), "before", "after", lineterm=""
            )
    return lines, changed


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1: something differs."""
    parser = argparse.ArgumentParser(prog="replay", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the texts are kept")
    parser.add_argument("--save", action="store_true", help="keep the texts as they are now")
    parser.add_argument("--diff", action="store_true", help="show every line that differs")
    options = parser.parse_args(arguments)
    texts = optimized_texts()
    if options.save:
        save(options.folder, texts)
        print(f"replay: {len(texts)} texts kept in {options.folder}")
        return 0
    if not options.folder.is_dir():
        print(
            f"replay: nothing is kept in {options.folder} yet; run with --save before the change",
            file=sys.stderr,
        )
        return 2
    lines, changed = compare(options.folder, texts, options.diff)
    print("\n".join([*lines, f"replay: {changed} of {len(texts)} networks differ"]))
    return int(changed > 0)


if __name__ == "__main__":
    sys.exit(main())
