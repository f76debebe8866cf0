"""Draws a person: the photo is warped at its own resolution, the decoders add what a warp cannot
know.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avatar.errors import ConfigError, InputError, WeightsError
from avatar.generator.batched import Batches
from avatar.generator.chained import ChainedDecoder
from avatar.generator.deltas import Deltas
from avatar.generator.inside import Inside
from avatar.generator.lids import CLOSINGS, closed_by, closing_eyes
from avatar.generator.networks import Decoder, PartConfig, PartGenerator, channels_last
from avatar.generator.packed import packed
from avatar.generator.painting import Painting, cut, describe_all
from avatar.generator.parts import LEFT_EYE_PART, MOUTH, RIGHT_EYE_PART, Part, Placement
from avatar.generator.portrait import Portrait, near_copy
from avatar.generator.teeth import drawn_teeth, paints_itself
from avatar.generator.views import View, in_the_light_of
from avatar.generator.warping import INNER_LIPS, inter_ocular, landmark_flow_over_grid
from avatar.ops import Layer, compose, native_status
from avatar.types import Face, FloatArray, ImageArray
from avatar.weights import load_weights

EYES = (RIGHT_EYE_PART, LEFT_EYE_PART)
GROUPS: tuple[tuple[Part, ...], ...] = ((MOUTH,), EYES)
"""Parts painted together by one network."""

_MOST_SHOWING = 0.3
"""Share of an eye that may show through painted lids. The decoder learned from films of faces a few
hundred pixels high; over large, sharp, drawn or bespectacled eyes it often lays too little.
"""


class Generator:
    """The networks of all parts on one device. Immutable, shared by every session.

    Args:
        compiled: let ``torch.compile`` have what draws. Not for the CPU, which has kernels of its
            own for that.

    Attributes:
        networks: of each part, in float32 on the CPU; what a person's own changes begin from.
        weights_sha256: of the file they were read from; empty if they came from none.
        batches: draws on a device that is not the CPU; None on the CPU.

    Raises:
        ConfigError: torch cannot use the device, or the CPU's drawing shall be compiled.
    """

    def __init__(
        self,
        networks: dict[str, PartGenerator],
        device: str = "cpu",
        *,
        weights_sha256: str = "",
        compiled: bool = False,
    ) -> None:
        self.device = device
        _check_device(device, compiled=compiled)
        # AMX is faster still, and only oneDNN uses it.
        self._chained = self._on_cpu and native_status().built and not _has_amx()
        self.dtype = torch.float32 if self._chained else fast_dtype(device)
        self.networks = networks
        self.weights_sha256 = weights_sha256
        for network in networks.values():
            network.requires_grad_(False).eval()
        self._embedders = {n: deepcopy(net.embedder).to(device) for n, net in networks.items()}
        self._decoders = {n: self._ready(n, net.decoder) for n, net in networks.items()}
        self.batches = None
        if not self._on_cpu:
            self.batches = Batches(torch.device(device), GROUPS, self._decoders, compiled=compiled)

    @classmethod
    def load(
        cls, device: str = "cpu", *, folder: Path | str | None = None, compiled: bool = False
    ) -> Generator:
        """Read the shipped weights, or those in ``folder``.

        Raises:
            WeightsError: they are missing, damaged, or do not fit the networks.
            ConfigError: torch cannot use the device, or the CPU's drawing shall be compiled.
        """
        tensors, config = load_weights("generator", folder=folder)
        sizes = config.get("parts")
        wanted = {group[0].name for group in GROUPS}
        if not isinstance(sizes, dict) or set(sizes) != wanted:
            raise WeightsError(f"generator weights must hold the parts {', '.join(sorted(wanted))}")
        strangers = {key.partition(".")[0] for key in tensors} - wanted
        if strangers:
            raise WeightsError(
                f"generator weights hold unknown parts: {', '.join(sorted(strangers))}"
            )
        networks = {name: _network(name, sizes[name], tensors) for name in sizes}
        return cls(networks, device, weights_sha256=str(config["sha256"]), compiled=compiled)

    @torch.inference_mode()
    def prepare(
        self, photos: list[tuple[ImageArray, Face]], deltas: Deltas | None = None
    ) -> Portrait:
        """Embed a person from one or more photos; the first is the one that will be drawn, the
        others show what it does not (``views``).

        Args:
            photos: pictures of one person with the face in each.
            deltas: the person's own changes of the decoders. Those that were learnt on other
                weights are left out, with a warning.

        Raises:
            InputError: no photo was given.
            WeightsError: the deltas do not fit.
        """
        if not photos:
            raise InputError("at least one photo is needed")
        views = [self._look_at(image, face) for image, face in photos]
        first, lit = views[0], _in_one_light(views)
        image, face = photos[0]
        portrait = Portrait.of(
            image, face.landmarks, face.expression,
            styles={name: view.style for name, (view, _) in first.items()},
            features={name: view.features for name, (view, _) in first.items()},
            views=lit if len(views) > 1 else None,
            inside=_inside(lit[MOUTH.name]),
        )  # fmt: skip
        portrait = _with_teeth(portrait, first[MOUTH.name][0])
        portrait = self._with_lids(portrait, {name: view for name, (view, _) in first.items()})
        return portrait if deltas is None else self._personal(portrait, deltas)

    def _with_lids(self, portrait: Portrait, first: dict[str, View]) -> Portrait:
        """The portrait with lids made from its photo, if the decoder has none for such eyes."""
        points = portrait.points
        near = (points + 0.5) * portrait.near_scale - 0.5
        if self._closes(portrait, closing_eyes(portrait.near, near, 1.0)):
            return portrait
        views = {name: portrait.views.get(name, (view,)) for name, view in first.items()}
        for share in CLOSINGS:
            for name, view in first.items():
                made = view.out_of_reach()
                if name == EYES[0].name:
                    closed = closed_by(points, share)
                    there = [Placement.of(part, points).to_patch(closed) for part in EYES]
                    patches = closing_eyes(portrait.near, near, share)
                    made = replace(made, patches=patches, points=torch.cat(there))
                views[name] += (made,)
        return replace(portrait, views=views)

    def _closes(self, portrait: Portrait, lids: Tensor) -> bool:
        """Whether the decoder closes both eyes: how much of each shows, beside ``lids``."""
        closed = portrait.landmarks.points.copy()
        closed[:, :2] = closed_by(portrait.points, 1.0)[0].numpy()
        painting = _Scene(portrait, closed).painting(EYES)
        if painting is None:
            return True
        warped = painting.told[0]
        painted = self._decode(EYES[0].name, painting) * painting.shares.view(-1, 1, 1, 1) + warped
        eye = warped - lids
        each = (1, 2, 3)
        showing = ((painted - lids) * eye).sum(each) / eye.square().sum(each).clamp_min(1e-6)
        return float(showing.max()) < _MOST_SHOWING

    def _personal(self, portrait: Portrait, deltas: Deltas) -> Portrait:
        """The portrait with the person's own decoders."""
        if deltas.weights_sha256 != self.weights_sha256:
            warnings.warn(
                "this avatar was personalised for other generator weights, so it is drawn without "
                "what was learnt then; personalise it again",
                stacklevel=2,
            )
            return portrait
        return replace(
            portrait,
            styles={name: deltas.style(name, style) for name, style in portrait.styles.items()},
            views={
                name: tuple(replace(view, style=deltas.style(name, view.style)) for view in views)
                for name, views in portrait.views.items()
            },
            decoders={
                name: self._ready(name, deltas.merged(name, self.networks[name].decoder))
                for name in self.networks.keys() & deltas.parts
            },
        )

    def _look_at(self, image: ImageArray, face: Face) -> dict[str, tuple[View, Tensor]]:
        """What one photo shows of each group, and its outlines."""
        points = torch.from_numpy(face.landmarks.points[None, :, :2])
        near, scale = near_copy(image, float(inter_ocular(points)))
        near_points = (points + 0.5) * scale - 0.5
        seen: dict[str, tuple[View, Tensor]] = {}
        for group in GROUPS:
            name, size = group[0].name, group[0].size
            places = [Placement.of(part, near_points) for part in group]
            patches = cut(near.float(), [place.grid() for place in places], size)
            outlines, _ = describe_all(group, near_points, places)
            style, features = self._embedders[name](
                patches.to(self.device), outlines.to(self.device)
            )
            there = torch.cat([place.to_patch(near_points) for place in places])
            seen[name] = View(patches, there, features.cpu(), style.cpu()), outlines
        return seen

    def render(self, portrait: Portrait, landmarks: FloatArray) -> ImageArray:
        """Draw the person with the face at ``landmarks``.

        Args:
            landmarks: ``[478, 3]`` float32 pixels of ``portrait.photo``.

        Returns:
            ``[H, W, 3]`` uint8 RGB, the photo with the face moved; the caller's own. Four channels
            where the portrait's background is transparent.
        """
        return self.render_many([(portrait, landmarks)])[0]

    @torch.inference_mode()
    def warp(self, portrait: Portrait, landmarks: FloatArray) -> ImageArray:
        """As ``render``, without paint: what painting is measured against."""
        return _Scene(portrait, landmarks).draw()

    @torch.inference_mode()
    def render_many(self, wanted: Sequence[tuple[Portrait, FloatArray]]) -> list[ImageArray]:
        """``render`` of several people, or of several moments of one.

        On the CPU each picture has the bits that ``render`` gives it alone: oneDNN rounds a
        convolution otherwise in a batch, and a batch gains nothing there. Other devices draw all
        people together, and the pictures agree but for rounding.
        """
        if self.batches is not None:
            return self.batches.draw(wanted)
        return [self._drawn(_Scene(portrait, landmarks)) for portrait, landmarks in wanted]

    def _drawn(self, scene: _Scene) -> ImageArray:
        for group in GROUPS:
            painting = scene.painting(group)
            if painting is not None:
                residual = self._decode(group[0].name, painting)
                scene.layers.extend(painting.layers(residual))
        return scene.draw()

    def _ready(self, name: str, decoder: nn.Module) -> nn.Module:
        """A copy of a decoder as this device runs it."""
        if self._chained:
            assert isinstance(decoder, Decoder)
            return ChainedDecoder(decoder, _group(name)[0].size, fast_dtype(self.device))
        fast = channels_last(deepcopy(decoder).to(self.device, self.dtype)).eval()
        if not self._on_cpu:
            return fast
        return packed(fast, *self._example(name, self.networks[name].config))

    def _example(self, name: str, config: PartConfig) -> list[Tensor]:
        """Arguments of a decoder for the parts of one person."""
        group = _group(name)
        count, size = len(group), group[0].size
        shapes = (
            (count, 3, size, size),
            (count, config.outlines, size // 2, size // 2),
            (count, config.numbers),
            (1, config.style),
            (count, config.features, size // 4, size // 4),
        )
        return [torch.zeros(shape, dtype=self.dtype) for shape in shapes]

    @property
    def _on_cpu(self) -> bool:
        return torch.device(self.device).type == "cpu"

    def _decode(self, name: str, painting: Painting) -> Tensor:
        """The residual ``[parts, 3, S, S]`` float32 of a painting; zero where it has no share."""
        if not painting.shares.any():
            return torch.zeros_like(painting.told[0])
        decoder = self._decoders[name] if painting.decoder is None else painting.decoder
        told = (tensor.to(self.device, self.dtype) for tensor in painting.told)
        residual: Tensor = decoder(*told)
        return residual.float().cpu()


def _group(name: str) -> tuple[Part, ...]:
    return next(group for group in GROUPS if group[0].name == name)


class _Scene:
    """One picture in the making."""

    def __init__(self, portrait: Portrait, landmarks: FloatArray) -> None:
        points = np.ascontiguousarray(landmarks[None, :, :2], np.float32)
        nodes = portrait.nodes[0]
        self.portrait = portrait
        self.target = torch.from_numpy(points)
        self.layers: list[Layer] = []
        flow = landmark_flow_over_grid(
            nodes[0, 0], nodes[1, :, 0], self.target, portrait.points,
            inter_ocular(portrait.points), portrait.head.moved(landmarks),
        )  # fmt: skip
        self.positions = portrait.shown_from(flow)

    def painting(self, group: tuple[Part, ...]) -> Painting | None:
        return Painting.of(group, self.portrait, self.target, self.positions)

    def draw(self) -> ImageArray:
        portrait = self.portrait
        photo = portrait.planes[0].permute(1, 2, 0)
        image = compose(photo, self.positions, portrait.region, self.layers)
        if portrait.cutout is not None:
            image = portrait.cutout.lay(image, self.positions, portrait.region)
        drawn: ImageArray = image.numpy()
        return drawn


def _inside(mouths: tuple[View, ...]) -> Inside | None:
    """What the photos show between the lips; None if they are closed in all."""
    patches = torch.stack([view.patches for view in mouths], 1)
    lips = torch.stack([view.points[:, INNER_LIPS] for view in mouths], 1)
    inside = Inside.of(patches, lips)
    return None if inside.empty else inside


def _with_teeth(portrait: Portrait, mouth: View) -> Portrait:
    """The portrait with teeth drawn, if no photo shows the inside of the mouth."""
    eyes = float(inter_ocular(portrait.points))
    if portrait.inside is not None or paints_itself(eyes, portrait.look):
        return portrait
    enlarged = MOUTH.size / (2.0 * MOUTH.extent * eyes * portrait.near_scale)
    inside = drawn_teeth(
        mouth.patches, mouth.points[:, INNER_LIPS], portrait.look, enlarged=enlarged
    )  # fmt: skip
    return replace(portrait, inside=inside)


def _in_one_light(seen: list[dict[str, tuple[View, Tensor]]]) -> dict[str, tuple[View, ...]]:
    """The photos' views by group, all in the light of the first."""
    lit: dict[str, tuple[View, ...]] = {}
    for name, (first, outlines) in seen[0].items():
        views = []
        for view, own in (photo[name] for photo in seen):
            patches = in_the_light_of(first.patches, outlines, view.patches, own)
            views.append(replace(view, patches=patches))
        lit[name] = tuple(views)
    return lit


def _network(name: str, sizes: dict[str, Any], tensors: dict[str, Tensor]) -> PartGenerator:
    known = {field.name for field in fields(PartConfig)}
    if set(sizes) != known or not all(
        type(value) is int and value >= 0 for value in sizes.values()
    ):
        raise WeightsError(
            f"generator weights: the sizes of {name} must be the integers {sorted(known)}"
        )
    prefix = f"{name}."
    own = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    network = PartGenerator(PartConfig(**sizes))
    try:
        network.load_state_dict(own, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"generator weights of {name} do not fit: {error}") from error
    return network


def _check_device(device: str, *, compiled: bool) -> None:
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise ConfigError(f"nothing is drawn on device {device!r}; use 'cpu' or 'cuda'")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device {device!r}: torch {torch.__version__} finds no CUDA GPU here; use 'cpu', or "
            "install a torch with CUDA on a machine that has one"
        )
    if kind == "cpu" and compiled:
        raise ConfigError("only drawing on a GPU is compiled; leave it off for device 'cpu'")


def fast_dtype(device: str) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, float32 elsewhere."""
    if device.startswith("cuda"):
        return torch.bfloat16
    probe: Any = torch.cpu
    return torch.bfloat16 if probe._is_avx512_bf16_supported() else torch.float32


def _has_amx() -> bool:
    probe: Any = torch.cpu
    return bool(probe._is_amx_tile_supported())
