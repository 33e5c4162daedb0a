"""train.py under torch, from the same initial weights: python examples/text/torch_twin.py out/ --steps N."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

# char_model.py and char_training.py import moka; here that name means torch.
for name in ("", ".nn", ".nn.functional", ".optim"):
    sys.modules[f"moka{name}"] = sys.modules[f"torch{name}"]
sys.path.insert(0, str(Path(__file__).resolve().parent))

from char_model import CharTransformer  # noqa: E402
from char_training import LICENCES, bits_per_character, read_corpus, train  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="train.py's folder")
    parser.add_argument("--text", type=Path, default=LICENCES)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--layers", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    corpus = read_corpus(arguments.text)
    model = CharTransformer(len(corpus.characters), width=arguments.width, layers=arguments.layers)
    model.load_state_dict(load_file(arguments.folder / "initial.safetensors"))
    for step, loss in enumerate(train(model, corpus, arguments.steps)):
        if step % 100 == 0:
            print(f"step {step}: {loss:.4f} bits", flush=True)
    print(f"bits per character of unseen text: {bits_per_character(model, corpus):.4f}")


if __name__ == "__main__":
    main()
