# SPDX-License-Identifier: BSD-3-Clause
"""Shapes from real models: the one list that `fastnorm compare`, benches/ and the tests draw from.

CATALOGUE is what `fastnorm compare` runs; grid.py has a wider GRID for the comparison with other
libraries (benches/compare).

Append-only, both. A case keeps its name, its arguments and its place for ever: benchmark histories
are filed under the name, and asv measures older commits by position. A case that turns out useless
stays, and a better one is added at the very end, in a commit that says why.

Shapes are those of the activations at the normalizer, as the model's published configuration gives
them. Sizes go from one token to some 64 MB of float32, so that call overhead, caches and memory
are each the limit somewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnorm.compare.case import Case
from fastnorm.compare.grid import GRID

_RESNET = "ResNet-50, batch 32"
_LAST: Mapping[str, Any] = {"channel_axis": -1}
_EVAL: Mapping[str, Any] = {"training": False}

# fmt: off
CATALOGUE: tuple[Case, ...] = (
    # moments: activation statistics, for calibration and for monitoring a training run
    Case("moments-bert-large-tokens", "moments", (4096, 1024),
         "BERT-large, 8 x 512 tokens", {"axis": -1}, quick=True),
    Case("moments-resnet50-layer1", "moments", (32, 64, 56, 56),
         f"{_RESNET}, layer1", {"axis": (0, 2, 3)}),
    Case("moments-resnet50-layer1-last", "moments", (32, 56, 56, 64),
         f"{_RESNET}, layer1, channels-last", {"axis": (0, 1, 2)}),
    Case("moments-vit-b16-features", "moments", (6304, 768),
         "ViT-B/16, 32 x 197 tokens, per feature", {"axis": 0}),

    # standardize: any axes, parameters that broadcast
    Case("standardize-imagenet", "standardize", (32, 3, 224, 224),
         "ImageNet images, each plane by itself", {"axis": (2, 3)}, affine=(3, 1, 1), quick=True),
    Case("standardize-revin", "standardize", (32, 336, 321),
         "RevIN (PatchTST on Electricity): each series over time", {"axis": 1}, affine=(321,)),

    # layer_norm
    Case("layer_norm-bert-base-token", "layer_norm", (1, 768),
         "BERT-base, one token", {"axis": -1}, quick=True),
    Case("layer_norm-bert-base-sentence", "layer_norm", (128, 768),
         "BERT-base, 128 tokens", {"axis": -1}, quick=True),
    Case("layer_norm-bert-base-batch", "layer_norm", (4096, 768),
         "BERT-base, 32 x 128 tokens", {"axis": -1}, quick=True),
    Case("layer_norm-bert-large-batch", "layer_norm", (16384, 1024),
         "BERT-large, 32 x 512 tokens", {"axis": -1}),
    Case("layer_norm-vit-b16", "layer_norm", (32, 197, 768),
         "ViT-B/16, batch 32", {"axis": -1}),
    Case("layer_norm-convnext-t-first", "layer_norm", (8, 96, 56, 56),
         "ConvNeXt-T stage 1, over channels", {"axis": 1}, quick=True),
    Case("layer_norm-convnext-t-last", "layer_norm", (8, 56, 56, 96),
         "ConvNeXt-T stage 1, channels-last", {"axis": -1}),
    Case("layer_norm-convnext-b-stage3", "layer_norm", (8, 512, 14, 14),
         "ConvNeXt-B stage 3, over channels", {"axis": 1}),
    Case("layer_norm-predrnn-gates", "layer_norm", (8, 896, 16, 16),
         "PredRNN on Moving MNIST, batch 8, all gates", {"axis": (1, 2, 3)}),

    # rms_norm
    Case("rms_norm-llama-7b-decode", "rms_norm", (1, 4096),
         "Llama 2 7B, one token", {"axis": -1}, quick=True),
    Case("rms_norm-llama-7b-prompt", "rms_norm", (512, 4096),
         "Llama 2 7B, prompt of 512 tokens", {"axis": -1}, quick=True),
    Case("rms_norm-llama-7b-context", "rms_norm", (2048, 4096),
         "Llama 2 7B, prompt of 2048 tokens", {"axis": -1}),
    Case("rms_norm-qwen3-8b-queries", "rms_norm", (2048, 32, 128),
         "Qwen3 8B, query norm: 2048 tokens, 32 heads", {"axis": -1}),

    # batch_norm
    Case("batch_norm-resnet50-stem", "batch_norm", (8, 64, 112, 112),
         "ResNet-50, batch 8, stem"),
    Case("batch_norm-resnet50-layer1", "batch_norm", (32, 64, 56, 56),
         f"{_RESNET}, layer1", quick=True),
    Case("batch_norm-resnet50-layer2", "batch_norm", (32, 128, 28, 28),
         f"{_RESNET}, layer2"),
    Case("batch_norm-resnet50-layer3", "batch_norm", (32, 256, 14, 14),
         f"{_RESNET}, layer3", quick=True),
    Case("batch_norm-resnet50-layer3-b8", "batch_norm", (8, 256, 14, 14),
         "ResNet-50, batch 8, layer3"),
    Case("batch_norm-resnet50-layer4", "batch_norm", (32, 2048, 7, 7),
         f"{_RESNET}, layer4"),
    Case("batch_norm-resnet50-layer1-last", "batch_norm", (32, 56, 56, 64),
         f"{_RESNET}, layer1, channels-last", _LAST, quick=True),
    Case("batch_norm-resnet50-layer4-last", "batch_norm", (32, 7, 7, 2048),
         f"{_RESNET}, layer4, channels-last", _LAST),
    Case("batch_norm-resnet50-layer1-eval", "batch_norm", (32, 64, 56, 56),
         f"{_RESNET}, layer1, evaluation", _EVAL),
    Case("batch_norm-resnet50-layer4-eval", "batch_norm", (1, 512, 7, 7),
         "ResNet-50, one image, layer4, evaluation", _EVAL, quick=True),
    Case("batch_norm-resnet50-layer3-last-eval", "batch_norm", (32, 14, 14, 256),
         f"{_RESNET}, layer3, channels-last, evaluation", {**_LAST, **_EVAL}),
    Case("batch_norm-simsiam", "batch_norm", (512, 2048),
         "SimSiam projector on ResNet-50, batch 512"),

    # instance_norm
    Case("instance_norm-style-batch", "instance_norm", (4, 64, 128, 128),
         "style transfer, batch 4, second layer at 256 x 256", quick=True),
    Case("instance_norm-style-image", "instance_norm", (1, 32, 512, 512),
         "style transfer, one 512 x 512 image, first layer"),
    Case("instance_norm-style-residual", "instance_norm", (1, 128, 64, 64),
         "style transfer, residual block at 256 x 256"),
    Case("instance_norm-style-batch-last", "instance_norm", (4, 128, 128, 64),
         "style transfer, batch 4, channels-last", _LAST),

    # group_norm
    Case("group_norm-sd-unet-64", "group_norm", (2, 320, 64, 64),
         "Stable Diffusion U-Net, 64 x 64", {"num_groups": 32}, quick=True),
    Case("group_norm-sd-unet-8", "group_norm", (2, 1280, 8, 8),
         "Stable Diffusion U-Net, middle block", {"num_groups": 32}),
    Case("group_norm-sd-vae", "group_norm", (1, 256, 256, 256),
         "Stable Diffusion VAE decoder, 256 x 256", {"num_groups": 32}),
    Case("group_norm-sd-unet-64-last", "group_norm", (2, 64, 64, 320),
         "Stable Diffusion U-Net, 64 x 64, channels-last", {"num_groups": 32, **_LAST}),

    # a residual added on the way
    Case("add_layer_norm-bert-base-batch", "add_layer_norm", (4096, 768),
         "BERT-base, 32 x 128 tokens, with the residual", {"axis": -1}),
    Case("add_layer_norm-bert-base-sentence", "add_layer_norm", (128, 768),
         "BERT-base, 128 tokens, with the residual", {"axis": -1}, quick=True),
    Case("add_rms_norm-llama-7b-prompt", "add_rms_norm", (512, 4096),
         "Llama 2 7B, prompt of 512 tokens, with the residual", {"axis": -1}, quick=True),
    Case("add_rms_norm-llama-7b-context", "add_rms_norm", (2048, 4096),
         "Llama 2 7B, prompt of 2048 tokens, with the residual", {"axis": -1}),
    # conditional_instance_norm
    Case("conditional_instance_norm-styles", "conditional_instance_norm", (8, 64, 128, 128),
         "style transfer, batch 8 of 10 styles, second layer at 256 x 256"),
    Case("conditional_instance_norm-styles-residual", "conditional_instance_norm",
         (8, 128, 64, 64), "style transfer, batch 8 of 10 styles, residual block", quick=True),

    # adaptive_instance_norm
    Case("adaptive_instance_norm-vgg-image", "adaptive_instance_norm", (1, 512, 64, 64),
         "AdaIN style transfer, one 512 x 512 image at relu4_1 of VGG-19", quick=True),
    Case("adaptive_instance_norm-vgg-batch", "adaptive_instance_norm", (8, 512, 32, 32),
         "AdaIN style transfer, training, 8 crops of 256 x 256"),

    # batch_renorm
    Case("batch_renorm-inception-35", "batch_renorm", (32, 192, 35, 35),
         "Inception-v3, batch 32, 35 x 35 maps"),
    Case("batch_renorm-inception-8", "batch_renorm", (32, 320, 8, 8),
         "Inception-v3, batch 32, 8 x 8 maps", quick=True),
    Case("batch_renorm-inception-8-last-eval", "batch_renorm", (32, 8, 8, 320),
         "Inception-v3, batch 32, 8 x 8 maps, channels-last, evaluation", {**_LAST, **_EVAL}),

    # denormalize
    Case("denormalize-revin-electricity", "denormalize", (32, 96, 321),
         "RevIN (PatchTST on Electricity): 96 steps of forecast", {"axis": 1}, quick=True),
    Case("denormalize-revin-traffic", "denormalize", (24, 336, 862),
         "RevIN (PatchTST on Traffic): 336 steps of forecast", {"axis": 1}),
    Case("denormalize-style-image", "denormalize", (1, 64, 256, 256),
         "style transfer, one 256 x 256 image, second layer",
         {"axis": (2, 3), "channel_axis": 1}),
)
# fmt: on

OPS: tuple[str, ...] = tuple(dict.fromkeys(case.op for case in CATALOGUE))


def find(name: str) -> Case:
    """Return the case called `name`; KeyError if there is none."""
    for case in (*CATALOGUE, *GRID):
        if case.name == name:
            return case
    raise KeyError(f"no case is called {name!r}")


def select(ops: Sequence[str] = OPS, *, quick: bool = False, grid: bool = False) -> list[Case]:
    """Return the cases of `ops`, grouped by operation.

    Parameters
    ----------
    ops : sequence of str
        Operations, of `OPS`.
    quick : bool
        Only the cases of the short list.
    grid : bool
        Those of GRID too, after the others of their operation.
    """
    everything = (*CATALOGUE, *GRID) if grid else CATALOGUE
    cases = (case for case in everything if case.op in ops and (case.quick or not quick))
    return sorted(cases, key=lambda case: OPS.index(case.op))
