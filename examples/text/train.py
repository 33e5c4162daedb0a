"""Trains a transformer of characters on the licences that the system ships, and leaves what sample.cpp needs.

    python examples/text/train.py out/               # a few minutes; out/model.moka, out/characters.txt, ...
    build/dev/tests/text_example out/ "The licence" 200    # goes on writing, in C++ without Python

out/initial.safetensors holds the weights before training: torch_twin.py starts from them under torch.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
from pathlib import Path

from char_model import CharTransformer
from char_training import LICENCES, bits_per_character, read_corpus, train
from moka.progress_bar import progress

import moka
from moka import safetensors


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where model, weights and characters go")
    parser.add_argument("--text", type=Path, default=LICENCES, help="folder of texts (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=800, help="training steps (default: %(default)s)")
    parser.add_argument("--width", type=int, default=96, help="size of a character's vector")
    parser.add_argument("--layers", type=int, default=3, help="blocks of attention")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    corpus = read_corpus(arguments.text)
    moka.manual_seed(1)
    model = CharTransformer(len(corpus.characters), width=arguments.width, layers=arguments.layers)
    safetensors.save_file(model.state_dict(), arguments.folder / "initial.safetensors")
    bar = progress(train(model, corpus, arguments.steps), total=arguments.steps, desc="training")
    for loss in bar:
        bar.set_postfix(bits=loss)
    print(f"bits per character of unseen text: {bits_per_character(model, corpus):.4f}")

    safetensors.save_file(model.state_dict(), arguments.folder / "trained.safetensors")
    example = moka.from_numpy(corpus.measuring[None, : model.context // 2])
    sizes = {"text": {0: "batch", 1: "length"}}
    traced = moka.jit.trace(model.eval(), example, dynamic=sizes, output_names=["scores"])
    moka.jit.freeze(traced).save(arguments.folder / "model.moka")
    (arguments.folder / "characters.txt").write_text(corpus.characters, "utf-8")
    print(f"{arguments.folder}: model.moka, characters.txt, initial.safetensors, trained.safetensors")


if __name__ == "__main__":
    main()
