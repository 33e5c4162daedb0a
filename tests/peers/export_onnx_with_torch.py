#!/usr/bin/env python3
"""ONNX files of some seventy architectures of torchvision, timm and transformers, with random weights.

FOLDER/NAME.tsOPSET.onnx comes from torch's first exporter, NAME.dyOPSET.onnx from torch.export; the inputs
are in NAME.npz, as compare_onnx_with_onnxruntime.py wants them. Files that are there stay; what torch cannot
export is told. Needs torch, torchvision, timm, transformers and onnxscript from PyPI.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Model(NamedTuple):
    """A network, its inputs, and the exporters and opsets to be used."""

    name: str
    make: Callable[[], nn.Module]
    inputs: list[torch.Tensor]
    forms: tuple[str, ...]


class Result(nn.Module):
    """A network that gives one entry of what another one gives."""

    def __init__(self, inside: nn.Module, key: str) -> None:
        super().__init__()
        self.inside, self.key = inside, key

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        found = self.inside(*inputs)
        return getattr(found, self.key) if hasattr(found, self.key) else found[self.key]


class Recurrent(nn.Module):
    """Two layers in both directions and a linear layer."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.inside = kind(40, 64, 2, batch_first=True, bidirectional=True)
        self.last = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.inside(x)[0])


class Packed(Recurrent):
    """The same over sequences of different lengths."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.last(pad_packed_sequence(self.inside(packed)[0], batch_first=True)[0])


def torchvision_models() -> Iterator[Model]:
    import torchvision.models as models

    sizes = dict.fromkeys(("vit_b_32", "maxvit_t", "swin_t", "alexnet", "vgg11"), 224) | {"inception_v3": 299}
    forms = [("ts11", "dy18"), ("ts13",), ("ts17",), ("ts14", "dy20")]
    names = (
        "alexnet vgg11 resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 squeezenet1_1 "
        "inception_v3 googlenet shufflenet_v2_x1_0 mobilenet_v2 mobilenet_v3_small efficientnet_b0 "
        "efficientnet_v2_s mnasnet1_0 regnet_y_400mf convnext_tiny swin_t vit_b_32 maxvit_t"
    ).split()
    for i, name in enumerate(names):
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        side = sizes.get(name, 128)
        yield Model(
            f"tv_{name}",
            lambda name=name, options=options: getattr(models, name)(weights=None, **options),
            [torch.randn(1 + i % 2, 3, side, side)],
            forms[i % 4],
        )
    for name in ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"):
        yield Model(
            f"tv_{name}",
            lambda name=name: Result(
                getattr(models.segmentation, name)(weights=None, weights_backbone=None), "out"
            ),
            [torch.randn(1, 3, 128, 128)],
            ("ts18", "dy18"),
        )


def timm_models() -> Iterator[Model]:
    import timm

    names = (
        "fastvit_t8 poolformer_s12 edgenext_xx_small resnest14d nfnet_l0 deit_tiny_patch16_224 mixer_s32_224 "
        "gmlp_ti16_224 convmixer_768_32 levit_128s cait_xxs24_224 coat_lite_tiny mobilevit_xxs repvgg_a0 "
        "hrnet_w18_small ghostnet_100 dpn48b rexnet_100 tinynet_e efficientformer_l1 xcit_nano_12_p16_224 "
        "visformer_tiny volo_d1_224 crossvit_9_240"
    ).split()
    large = ("levit_128s", "coat_lite_tiny", "efficientformer_l1", "visformer_tiny")
    for i, name in enumerate(names):
        side = 224 if "224" in name or name in large else 240 if "240" in name else 128
        yield Model(
            f"tm_{name}",
            lambda name=name: timm.create_model(name, pretrained=False),
            [torch.randn(1, 3, side, side)],
            (("ts17",), ("ts14",), ("dy18",))[i % 3],
        )


def transformers_models() -> Iterator[Model]:
    import transformers as hf

    words, mask = torch.randint(1, 90, (1, 24)), torch.ones(1, 24, dtype=torch.int64)
    picture = torch.randn(1, 3, 64, 64)
    small = {
        "vocab_size": 100,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
    }
    seen = {key: small[key] for key in small if key != "vocab_size"} | {"image_size": 64, "patch_size": 16}
    decoder = small | {"use_cache": False}

    def model(name: str, make: Callable[[], Any], inputs: list[Any], key: str = "last_hidden_state") -> Model:
        return Model(f"hf_{name}", lambda: Result(make(), key), inputs, ("ts17", "dy18"))

    yield model("bert", lambda: hf.BertModel(hf.BertConfig(**small), add_pooling_layer=False), [words, mask])
    roberta = hf.RobertaConfig(**small, max_position_embeddings=64)
    yield model("roberta", lambda: hf.RobertaModel(roberta, add_pooling_layer=False), [words, mask])
    distilled = {"vocab_size": 100, "dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}
    yield model(
        "distilbert", lambda: hf.DistilBertModel(hf.DistilBertConfig(**distilled)), [words, mask]
    )
    for name in ("Electra", "Albert", "DebertaV2"):
        yield model(
            name.lower(),
            lambda name=name: getattr(hf, f"{name}Model")(getattr(hf, f"{name}Config")(**small)),
            [words, mask],
        )
    gpt2 = {"vocab_size": 100, "n_embd": 64, "n_layer": 2, "n_head": 4, "use_cache": False}
    yield model("gpt2", lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**gpt2)), [words], "logits")
    for name, more in (("Llama", {}), ("Gemma", {"head_dim": 16, "num_key_value_heads": 2})):
        yield model(
            name.lower(),
            lambda name=name, more=more: getattr(hf, f"{name}ForCausalLM")(
                getattr(hf, f"{name}Config")(**decoder, **more)
            ),
            [words],
            "logits",
        )
    opt = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    opt |= {"ffn_dim": 128, "word_embed_proj_dim": 64, "use_cache": False}
    yield model("opt", lambda: hf.OPTForCausalLM(hf.OPTConfig(**opt)), [words], "logits")
    t5 = {"vocab_size": 100, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
    yield model("t5", lambda: hf.T5EncoderModel(hf.T5Config(**t5)), [words])
    yield model("vit", lambda: hf.ViTModel(hf.ViTConfig(**seen)), [picture])
    yield model("clip", lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**seen)), [picture])
    yolos = seen | {"image_size": [64, 64], "num_detection_tokens": 10}
    yield model("yolos", lambda: hf.YolosForObjectDetection(hf.YolosConfig(**yolos)), [picture], "logits")
    dino = {key: seen[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    dino |= {"image_size": 56, "patch_size": 14}
    yield model("dinov2", lambda: hf.Dinov2Model(hf.Dinov2Config(**dino)), [torch.randn(1, 3, 56, 56)])
    segformer = {"depths": [1] * 4, "hidden_sizes": [16, 32, 48, 64], "num_attention_heads": [1, 2, 2, 4]}
    segformer |= {"decoder_hidden_size": 32}
    yield model(
        "segformer",
        lambda: hf.SegformerForSemanticSegmentation(hf.SegformerConfig(**segformer)),
        [torch.randn(1, 3, 128, 128)],
        "logits",
    )
    heard = {key: small[key] for key in small if key != "vocab_size"} | {"conv_dim": (32,) * 7}
    yield model("wav2vec2", lambda: hf.Wav2Vec2Model(hf.Wav2Vec2Config(**heard)), [torch.randn(1, 8000)])
    whisper = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128}
    whisper |= {"max_source_positions": 100}
    yield model(
        "whisper",
        lambda: hf.models.whisper.modeling_whisper.WhisperEncoder(hf.WhisperConfig(**whisper)),
        [torch.randn(1, 80, 200)],
    )


def recurrent_models() -> Iterator[Model]:
    for kind in (nn.LSTM, nn.GRU):
        sound = torch.randn(1, 50, 40)
        yield Model(f"rn_{kind.__name__}", lambda kind=kind: Recurrent(kind), [sound], ("ts17", "ts14"))
        sounds = [torch.randn(8, 100, 40), torch.tensor([100, 31, 77, 50, 64, 12, 90, 45])]
        yield Model(f"rn_{kind.__name__}_packed", lambda kind=kind: Packed(kind), sounds, ("ts17", "ts14"))


def export(model: Model, folder: Path) -> None:
    """Every form of a model that is not there yet."""
    paths = {form: folder / f"{model.name}.{form}.onnx" for form in model.forms}
    if all(path.exists() for path in paths.values()):
        return
    network = model.make().eval()
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    names = [f"x{i}" for i in range(len(model.inputs))]
    np.savez(folder / f"{model.name}.npz", **dict(zip(names, (x.numpy() for x in model.inputs), strict=True)))
    for form, path in paths.items():
        options: dict[str, Any] = {"opset_version": int(form[2:]), "dynamo": form.startswith("dy")}
        options |= {"external_data": False, "verbose": False} if options["dynamo"] else {"input_names": names}
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # whole graphs, where something fails
                torch.onnx.export(network, tuple(model.inputs), path, **options)
            print(path.name, f"{path.stat().st_size / 2**20:.1f} MiB", flush=True)
        except Exception as error:  # whatever torch cannot export
            why = str(error).split("\n")[0][:120]
            print(path.name, "not exported:", type(error).__name__, why, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="models whose name has this in it")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    for family in (torchvision_models, timm_models, transformers_models, recurrent_models):
        torch.manual_seed(0)
        for model in family():
            if options.only in model.name:
                export(model, options.folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
