# SPDX-License-Identifier: BSD-3-Clause
"""A wider grid of shapes for the comparison with other libraries, after that of oneDNN's benchdnn.

The same models as in the catalogue at other batch sizes and stages, and the corners where an
implementation may fall off its fast path. Append-only, like the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnorm.compare.case import Case

_RESNET = "ResNet-50, batch 32"
_LAST: Mapping[str, Any] = {"channel_axis": -1}

# fmt: off
GRID: tuple[Case, ...] = (
    # layer_norm: transformers, heads, rows too short for a vector, one row for all threads
    Case("layer_norm-grid-bert-large-token", "layer_norm", (1, 1024),
         "BERT-large, one token", {"axis": -1}),
    Case("layer_norm-grid-bert-large-sentence", "layer_norm", (128, 1024),
         "BERT-large, 128 tokens", {"axis": -1}),
    Case("layer_norm-grid-bert-large-batch", "layer_norm", (4096, 1024),
         "BERT-large, 32 x 128 tokens", {"axis": -1}),
    Case("layer_norm-grid-vit-image", "layer_norm", (197, 768),
         "ViT-B/16, one image", {"axis": -1}),
    Case("layer_norm-grid-swin-stage1", "layer_norm", (8, 3136, 96),
         "Swin-T, batch 8, stage 1", {"axis": -1}),
    Case("layer_norm-grid-swin-stage2", "layer_norm", (8, 784, 192),
         "Swin-T, batch 8, stage 2", {"axis": -1}),
    Case("layer_norm-grid-swin-stage3", "layer_norm", (8, 196, 384),
         "Swin-T, batch 8, stage 3", {"axis": -1}),
    Case("layer_norm-grid-heads-64", "layer_norm", (2048, 12, 64),
         "query norm, 12 heads of 64", {"axis": -1}),
    Case("layer_norm-grid-heads-32", "layer_norm", (4096, 8, 32),
         "query norm, 8 heads of 32", {"axis": -1}),
    Case("layer_norm-grid-rows-3", "layer_norm", (262144, 3),
         "points in space, rows of 3", {"axis": -1}),
    Case("layer_norm-grid-rows-4", "layer_norm", (262144, 4),
         "boxes, rows of 4", {"axis": -1}),
    Case("layer_norm-grid-one-row", "layer_norm", (1, 4194304),
         "one group of four million values", {"axis": -1}),

    # rms_norm: Llama, heads
    Case("rms_norm-grid-llama-70b-decode", "rms_norm", (1, 8192),
         "Llama 2 70B, one token", {"axis": -1}),
    Case("rms_norm-grid-llama-7b-short", "rms_norm", (128, 4096),
         "Llama 2 7B, prompt of 128 tokens", {"axis": -1}),
    Case("rms_norm-grid-llama-70b-context", "rms_norm", (2048, 8192),
         "Llama 2 70B, prompt of 2048 tokens", {"axis": -1}),
    Case("rms_norm-grid-heads-64", "rms_norm", (2048, 32, 64),
         "query norm, 32 heads of 64", {"axis": -1}),

    # batch_norm: the stages of ResNet-50 at batch 1, 8, 32; DenseNet-121; few channels
    Case("batch_norm-grid-resnet50-layer1-b1", "batch_norm", (1, 256, 56, 56),
         "ResNet-50, one image, end of layer1"),
    Case("batch_norm-grid-resnet50-layer3-b1", "batch_norm", (1, 1024, 14, 14),
         "ResNet-50, one image, end of layer3"),
    Case("batch_norm-grid-resnet50-layer4-b1", "batch_norm", (1, 2048, 7, 7),
         "ResNet-50, one image, end of layer4"),
    Case("batch_norm-grid-resnet50-layer1-b8", "batch_norm", (8, 256, 56, 56),
         "ResNet-50, batch 8, end of layer1"),
    Case("batch_norm-grid-resnet50-layer2-b8", "batch_norm", (8, 128, 28, 28),
         "ResNet-50, batch 8, layer2"),
    Case("batch_norm-grid-resnet50-layer4-b8", "batch_norm", (8, 512, 7, 7),
         "ResNet-50, batch 8, layer4"),
    Case("batch_norm-grid-resnet50-layer2-b32", "batch_norm", (32, 512, 28, 28),
         f"{_RESNET}, end of layer2"),
    Case("batch_norm-grid-resnet50-layer3-b32", "batch_norm", (32, 1024, 14, 14),
         f"{_RESNET}, end of layer3"),
    Case("batch_norm-grid-resnet50-layer4-b1-last", "batch_norm", (1, 7, 7, 2048),
         "ResNet-50, one image, end of layer4, channels-last", _LAST),
    Case("batch_norm-grid-resnet50-layer1-b8-last", "batch_norm", (8, 56, 56, 256),
         "ResNet-50, batch 8, end of layer1, channels-last", _LAST),
    Case("batch_norm-grid-resnet50-layer3-b32-last", "batch_norm", (32, 14, 14, 1024),
         f"{_RESNET}, end of layer3, channels-last", _LAST),
    Case("batch_norm-grid-densenet121-block1", "batch_norm", (8, 96, 56, 56),
         "DenseNet-121, batch 8, second layer of block 1"),
    Case("batch_norm-grid-densenet121-block2", "batch_norm", (8, 288, 28, 28),
         "DenseNet-121, batch 8, middle of block 2"),
    Case("batch_norm-grid-densenet121-block3", "batch_norm", (8, 736, 14, 14),
         "DenseNet-121, batch 8, middle of block 3"),
    Case("batch_norm-grid-rgb", "batch_norm", (8, 3, 512, 512),
         "images: three large groups"),
    Case("batch_norm-grid-gray-last", "batch_norm", (8, 224, 224, 1),
         "gray images, channels-last", _LAST),
    Case("batch_norm-grid-rgb-last", "batch_norm", (8, 224, 224, 3),
         "RGB images, channels-last", _LAST),
    Case("batch_norm-grid-rgba-last", "batch_norm", (8, 224, 224, 4),
         "RGBA images, channels-last", _LAST),

    # instance_norm
    Case("instance_norm-grid-rgb-last", "instance_norm", (8, 224, 224, 3),
         "RGB images, channels-last", _LAST),

    # group_norm: the other resolutions of Stable Diffusion
    Case("group_norm-grid-sd-unet-32", "group_norm", (2, 640, 32, 32),
         "Stable Diffusion U-Net, 32 x 32", {"num_groups": 32}),
    Case("group_norm-grid-sd-unet-16", "group_norm", (2, 1280, 16, 16),
         "Stable Diffusion U-Net, 16 x 16", {"num_groups": 32}),
    Case("group_norm-grid-sd-vae-64", "group_norm", (1, 512, 64, 64),
         "Stable Diffusion VAE decoder, 64 x 64", {"num_groups": 32}),
    Case("group_norm-grid-sd-unet-32-last", "group_norm", (2, 32, 32, 640),
         "Stable Diffusion U-Net, 32 x 32, channels-last", {"num_groups": 32, **_LAST}),
    Case("group_norm-grid-sd-vae-last", "group_norm", (1, 256, 256, 128),
         "Stable Diffusion VAE decoder, 256 x 256, channels-last", {"num_groups": 32, **_LAST}),

    # group_norm of small maps
    Case("group_norm-grid-sd-unet-4", "group_norm", (2, 1280, 4, 4),
         "Stable Diffusion U-Net, 32 x 32 latents, middle block", {"num_groups": 32}),
    Case("group_norm-grid-resnet50-layer4", "group_norm", (32, 512, 7, 7),
         f"{_RESNET}, layer4 with groups", {"num_groups": 32}),
    Case("group_norm-grid-policy-16", "group_norm", (64, 256, 16),
         "Diffusion Policy, batch 64, 16 steps", {"num_groups": 8}),
    Case("group_norm-grid-policy-4", "group_norm", (64, 1024, 4),
         "Diffusion Policy, batch 64, 4 steps", {"num_groups": 8}),
    Case("group_norm-grid-features", "group_norm", (1024, 512),
         "vectors of 512 features, batch 1024", {"num_groups": 32}),
)
# fmt: on
