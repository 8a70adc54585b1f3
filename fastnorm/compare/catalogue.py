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

from fastnorm import ACTIVATION_GAINS
from fastnorm.compare.case import Case
from fastnorm.compare.grid import GRID

_RESNET = "ResNet-50, batch 32"
_LAST: Mapping[str, Any] = {"channel_axis": -1}
_EVAL: Mapping[str, Any] = {"training": False}
_RELU: Mapping[str, Any] = {"gamma": ACTIVATION_GAINS["relu"]}

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
    # variance_norm
    Case("variance_norm-resnet56-stage1", "variance_norm", (256, 16, 32, 32),
         "ResNet-56 on CIFAR-100, batch 256, stage 1"),
    Case("variance_norm-resnet56-stage3", "variance_norm", (256, 64, 8, 8),
         "ResNet-56 on CIFAR-100, batch 256, stage 3", quick=True),
    Case("variance_norm-resnet56-stage3-eval", "variance_norm", (256, 64, 8, 8),
         "ResNet-56 on CIFAR-100, batch 256, stage 3, evaluation", _EVAL),

    # filter_response_norm
    Case("filter_response_norm-resnetv2-layer1", "filter_response_norm", (8, 64, 56, 56),
         "ResNetV2-50, batch 8, layer1", quick=True),
    Case("filter_response_norm-resnetv2-layer3", "filter_response_norm", (32, 256, 14, 14),
         "ResNetV2-50, batch 32, layer3"),
    Case("filter_response_norm-resnetv2-layer2-last", "filter_response_norm", (8, 28, 28, 128),
         "ResNetV2-50, batch 8, layer2, channels-last", _LAST),

    # evonorm_b0
    Case("evonorm_b0-resnet50-layer2", "evonorm_b0", (32, 128, 28, 28),
         f"{_RESNET}, layer2"),
    Case("evonorm_b0-resnet50-layer3", "evonorm_b0", (32, 256, 14, 14),
         f"{_RESNET}, layer3", quick=True),
    Case("evonorm_b0-resnet50-layer3-eval", "evonorm_b0", (8, 256, 14, 14),
         "ResNet-50, batch 8, layer3, evaluation", _EVAL),

    # evonorm_s0
    Case("evonorm_s0-resnet50-layer1", "evonorm_s0", (8, 64, 56, 56),
         "ResNet-50, batch 8, layer1", {"num_groups": 32}),
    Case("evonorm_s0-resnet50-layer3", "evonorm_s0", (32, 256, 14, 14),
         f"{_RESNET}, layer3", {"num_groups": 32}, quick=True),
    Case("evonorm_s0-resnet50-layer2-last", "evonorm_s0", (8, 28, 28, 128),
         "ResNet-50, batch 8, layer2, channels-last", {"num_groups": 32, **_LAST}),
    # whiten
    Case("whiten-dbn-vgg", "whiten", (32, 64, 32, 32),
         "Decorrelated BN in VGG-A on CIFAR-10, batch 32, first layer", {"groups": 4}, quick=True),
    Case("whiten-iternorm-resnet18", "whiten", (8, 64, 112, 112),
         "IterNorm in ResNet-18, batch 8, stem", {"method": "iterative"}),
    Case("whiten-cifar-patches", "whiten", (40000, 108),
         "CIFAR-10 patches of 6 x 6, features of Coates et al. 2011", {"eps": 0.1}),
    Case("whiten-dbn-last", "whiten", (32, 32, 32, 64),
         "Decorrelated BN, channels-last", {"groups": 4, "method": "cholesky", **_LAST}),

    # sync_batch_norm, on one process: what there is to do beside the communication
    Case("sync_batch_norm-deeplabv3-aspp", "sync_batch_norm", (2, 256, 33, 33),
         "DeepLabv3, ASPP at output stride 16, two crops of 513 x 513 a rank", quick=True),
    Case("sync_batch_norm-deeplabv3-aspp-last", "sync_batch_norm", (2, 33, 33, 256),
         "DeepLabv3, ASPP at output stride 16, channels-last", _LAST),
    Case("sync_batch_norm-megdet-res4", "sync_batch_norm", (2, 256, 50, 84),
         "MegDet on ResNet-50, res4, two images of 800 x 1344 a rank"),
    # lp_normalize
    Case("lp_normalize-minilm-sentences", "lp_normalize", (256, 384),
         "all-MiniLM-L6-v2, 256 sentence embeddings", {"axis": -1}, quick=True),
    Case("lp_normalize-clip-vit-b32", "lp_normalize", (8192, 512),
         "CLIP ViT-B/32, 8192 embeddings of a contrastive batch", {"axis": -1}),
    Case("lp_normalize-superpoint", "lp_normalize", (1, 256, 60, 80),
         "SuperPoint, dense descriptors at 640 x 480, over channels", {"axis": 1}),

    # global_response_norm, on the four times as many channels inside a block
    Case("global_response_norm-convnextv2-a-stage3", "global_response_norm", (8, 14, 14, 640),
         "ConvNeXt V2-A, batch 8, stage 3, channels-last", _LAST, quick=True),
    Case("global_response_norm-convnextv2-t-stage2", "global_response_norm", (8, 28, 28, 768),
         "ConvNeXt V2-T, batch 8, stage 2, channels-last", _LAST),
    Case("global_response_norm-convnextv2-t-stage3-first", "global_response_norm",
         (8, 1536, 14, 14), "ConvNeXt V2-T, batch 8, stage 3, channels first"),

    # local_response_norm
    Case("local_response_norm-alexnet-conv1", "local_response_norm", (8, 96, 55, 55),
         "AlexNet, batch 8, after the first convolution", {"size": 5, "alpha": 5e-4, "k": 2.0}),
    Case("local_response_norm-alexnet-conv2", "local_response_norm", (4, 256, 27, 27),
         "AlexNet, batch 4, after the second convolution", {"size": 5, "alpha": 5e-4, "k": 2.0},
         quick=True),
    Case("local_response_norm-inception-v1-last", "local_response_norm", (8, 56, 56, 192),
         "Inception v1, batch 8, before the first module, channels-last", {"size": 5, **_LAST}),

    # dynamic_tanh, in the place of layer_norm
    Case("dynamic_tanh-vit-b16", "dynamic_tanh", (32, 197, 768),
         "ViT-B/16 with DyT, batch 32", quick=True),
    Case("dynamic_tanh-llama-7b-prompt", "dynamic_tanh", (512, 4096),
         "Llama 7B with DyT, prompt of 512 tokens"),
    Case("dynamic_tanh-convnext-t-first", "dynamic_tanh", (8, 96, 56, 56),
         "ConvNeXt-T with DyT, stage 1, channels first", {"channel_axis": 1}),

    # weight_norm
    Case("weight_norm-waveglow", "weight_norm", (1024, 512, 3),
         "WaveGlow, dilated convolution of a coupling layer", quick=True),
    Case("weight_norm-ibot-head", "weight_norm", (8192, 256),
         "iBOT, last layer of the head: 8192 prototypes"),
    Case("weight_norm-resnet50-layer4-last", "weight_norm", (3, 3, 512, 512),
         "ResNet-50, 3x3 convolution of layer4, outputs last", _LAST),

    # weight_standardization
    Case("weight_standardization-bit-r50-block4", "weight_standardization", (512, 512, 3, 3),
         "BiT-M R50x1, 3x3 convolution of block 4", quick=True),
    Case("weight_standardization-bit-r50-block4-1x1", "weight_standardization", (2048, 512, 1, 1),
         "BiT-M R50x1, 1x1 convolution of block 4"),
    Case("weight_standardization-bit-r50-block4-last", "weight_standardization", (3, 3, 512, 512),
         "BiT-M R50x1, 3x3 convolution of block 4, outputs last", _LAST),

    # scaled_weight_standardization
    Case("scaled_weight_standardization-nfnet-f0-3x3", "scaled_weight_standardization",
         (768, 128, 3, 3), "NFNet-F0 stage 3, grouped 3x3 convolution", _RELU, quick=True),
    Case("scaled_weight_standardization-nfnet-f0-1x1", "scaled_weight_standardization",
         (1536, 768, 1, 1), "NFNet-F0 stage 3, 1x1 convolution", _RELU),
    Case("scaled_weight_standardization-nfnet-f0-3x3-last", "scaled_weight_standardization",
         (3, 3, 128, 768), "NFNet-F0 stage 3, grouped 3x3 convolution, outputs last",
         {**_RELU, **_LAST}),

    # spectral_norm
    Case("spectral_norm-sngan-block5", "spectral_norm", (1024, 512, 3, 3),
         "SNGAN discriminator on ImageNet, first convolution of block 5", quick=True),
    Case("spectral_norm-sngan-block4-last", "spectral_norm", (3, 3, 256, 512),
         "SNGAN discriminator on ImageNet, first convolution of block 4, outputs last", _LAST),
    Case("spectral_norm-vit-b16-mlp-eval", "spectral_norm", (3072, 768),
         "ViT-B/16, first linear layer of an MLP, evaluation", _EVAL),

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
