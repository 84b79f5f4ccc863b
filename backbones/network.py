"""The one interface of all networks: feature maps by tap, and one embedding."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.errors import ArgumentError

from .blocks.activation import exchange_activations
from .blocks.attention import MOST_PLACES, PREFIX, attended_taps, make_attention, with_attention_of
from .blocks.convolutions import exchange_convolutions
from .blocks.normalisation import exchange_norms, has_norms
from .blocks.pooling import exchange_head_pooling
from .blocks.spatial_transformer import SpatialTransformer
from .spec import Activation, Attention, BackboneSpec, HeadPooling, Normalisation

Stage = tuple[str, tuple[nn.Module, ...]]
"""A tap's name and the layers that lead to it from the tap before."""

Alteration = Callable[[Tensor], Tensor]
"""What a trainer does to a feature map on its way: (B, C, H, W) → the same shape."""


class Normalise(nn.Module):
    """`(x - mean) / std` a channel; the numbers move with the module, its state has none."""

    mean: Tensor
    std: Tensor

    def __init__(self, normalisation: Normalisation) -> None:
        super().__init__()
        for name in ("mean", "std"):
            # On the CPU even where the weights are only described (torch's meta device): these
            # numbers come from the spec, and no weights file fills them in.
            numbers = torch.tensor(getattr(normalisation, name), device="cpu").view(1, 3, 1, 1)
            self.register_buffer(name, numbers, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise RGB images.

        Args:
            images: (B, 3, H, W) float32, 0 … 1.

        Returns:
            (B, 3, H, W) float32, in the network's own range.

        Raises:
            ValueError: The shape is not (B, 3, H, W), or the numbers are not floating point.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                f"expected floating-point images (B, 3, H, W), got {images.dtype} "
                f"{tuple(images.shape)}"
            )
        return (images - self.mean) / self.std


class Backbone(nn.Module):
    """A network as a chain of stages, each ending in a tap, and a head behind the last one.

    A subclass registers its layers under whatever names its published weights use, then says with
    `chain` in which order they run. The chain only refers to the layers: `state_dict` knows them
    by the registered names.

    Attributes:
        spec: What the network says about itself.
        surplus: Patterns of the names under which published weights hold what this network leaves
            out, such as a classifier.
        renamed: Beginnings of names in published weights, and what they are here.
        own_rectifiers: Whether some layers rectify by themselves, where nothing can be exchanged.
    """

    surplus: ClassVar[tuple[str, ...]] = ()
    renamed: ClassVar[Mapping[str, str]] = {}
    own_rectifiers: ClassVar[bool] = False

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.spec = spec
        self.normalise = Normalise(spec.normalisation)
        # Tuples, not module lists: the layers are registered already, by their published names.
        self._stages: tuple[Stage, ...] = ()
        self._head: tuple[nn.Module, ...] = ()
        self._frozen = 0

    def chain(self, stages: Mapping[str, Sequence[nn.Module]], head: Sequence[nn.Module]) -> None:
        """Say in which order the layers run, and exchange what the spec wants otherwise.

        Args:
            stages: The layers up to each tap from the tap before, in the order of the spec's taps.
            head: The layers from the last tap to the embedding (B, D).

        Raises:
            ArgumentError: The spec wants another norm, convolution, activation or pooling, and
                there is none to exchange; or a size or a resolution that the network does not take.
            ValueError: The stages are not the spec's taps in their order.
        """
        declared = [tap.name for tap in self.spec.taps]
        if list(stages) != declared:
            raise ValueError(f"{self.spec.name} declares taps {declared}, is built {list(stages)}")
        if self.own_rectifiers and self.spec.activation is not Activation.OWN:
            raise ArgumentError(
                f"{self.spec.name} has rectifiers inside its layers that cannot be exchanged: "
                f"leave activation at {Activation.OWN}"
            )
        self._check_size(stages, head)
        new = exchange_convolutions(self, self.spec.conv, head=head)
        chained = [layer for layers in (*stages.values(), head) for layer in layers]
        new |= exchange_activations(self, self.spec.activation, chained)
        new |= exchange_head_pooling(
            self,
            self.spec.head_pooling,
            head,
            self.spec.taps[-1].channels,
            lambda: self._last_map(stages, head),
        )
        attention = self._attention()
        new |= exchange_norms(self, self.spec.norm, head=head)
        if self.spec.stn:
            self.stn = SpatialTransformer()
        self._stages = tuple(
            (
                name,
                (
                    *(new.get(layer, layer) for layer in layers),
                    *([attention[name]] if name in attention else []),
                ),
            )
            for name, layers in stages.items()
        )
        self._head = tuple(new.get(layer, layer) for layer in head)

    def _attention(self) -> Mapping[str, nn.Module]:
        """The attention that the spec wants, by the tap whose stage it stands behind."""
        kind = self.spec.attention
        if kind is Attention.NONE:
            return {}
        taps = attended_taps(self.spec)
        if not taps:
            raise ArgumentError(
                f"{self.spec.name} has no map of at most {MOST_PLACES} places, beyond which "
                f"{kind} compares too many: give smaller images, or another attention"
            )
        self.attention = nn.ModuleDict(
            {tap: make_attention(kind, self.spec.tap(tap).channels) for tap in taps}
        )
        return {tap: self.attention[tap] for tap in taps}

    def attend_as(self, names: Iterable[str]) -> None:
        """Have attention behind the stages where trained weights have theirs.

        Where that is elsewhere than now, all of it begins anew: with random weights, for those
        whose place they keep to be loaded.

        Args:
            names: Of the weights' tensors, as `state_dict` has them.
        """
        spec = with_attention_of(self.spec, names)
        if spec is self.spec:
            return
        before = set(self.attention.values())
        self.spec = spec
        attention = self._attention()
        if has_norms(self.attention):
            exchange_norms(self.attention, spec.norm)
        self.attention.to(next(self.parameters()).device).train(self.training)
        self._stages = tuple(
            (
                name,
                (
                    *(layer for layer in layers if layer not in before),
                    *([attention[name]] if name in attention else []),
                ),
            )
            for name, layers in self._stages
        )

    def _check_size(
        self, stages: Mapping[str, Sequence[nn.Module]], head: Sequence[nn.Module]
    ) -> None:
        """Whether something is left of the images to embed where the head averages over them."""
        averages = any(
            isinstance(it, nn.AdaptiveAvgPool2d) for layer in head for it in layer.modules()
        )
        if not averages:  # such a head is built for one size, and its builder looks at that
            if self.spec.resolution == 1:
                return
            raise ArgumentError(
                f"{self.spec.name} has a layer that fits one size of image: leave resolution at 1"
            )
        height, width = self.spec.seen_size
        if self.spec.resolution == 1 and min(height, width) >= self.spec.taps[-1].least_side:
            return
        try:
            self._last_map(stages, head)
        except RuntimeError as error:  # a window that is larger than what is left of the image
            left = (
                f", which are left at resolution {self.spec.resolution:g}"
                if self.spec.resolution < 1
                else ""
            )
            raise ArgumentError(
                f"{self.spec.name} takes no images of {height}x{width} pixels{left}: "
                "give a larger one"
            ) from error

    def _last_map(
        self, stages: Mapping[str, Sequence[nn.Module]], head: Sequence[nn.Module]
    ) -> tuple[int, int]:
        """(H, W) of what the head averages over, of one image, from shapes alone."""
        layers = [layer for stage in stages.values() for layer in stage]
        layers += _before_average(head)
        shapes = copy.deepcopy(nn.Sequential(*layers)).to("meta").eval()
        with torch.no_grad():
            found = shapes(torch.empty(1, 3, *self.spec.seen_size, device="meta"))
        return found.shape[-2], found.shape[-1]

    def initialise_convolutions(self) -> None:
        """Draw the convolutions' weights by He et al. 2015, which suits rectified layers."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # Counted over inputs, which stays right where a convolution is depthwise.
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def own_key(self, published: str) -> str | None:
        """What `state_dict` calls a tensor of a weights file.

        Args:
            published: The tensor's name in a file, the publisher's or this class's own.

        Returns:
            The name here; None for a tensor that is left out on purpose.
        """
        if any(fnmatchcase(published, pattern) for pattern in self.surplus):
            return None
        for theirs, ours in self.renamed.items():
            if published.startswith(theirs):
                return ours + published.removeprefix(theirs)
        return published

    def stages_through(self, tap: str) -> Iterator[Stage]:
        """The stages up to and with a tap, in the order of computation.

        Args:
            tap: Where to stop.

        Yields:
            A tap's name and the layers that lead to it from the tap before.

        Raises:
            ArgumentError: There is no tap of that name.
        """
        self.spec.tap(tap)
        for name, layers in self._stages:
            yield name, layers
            if name == tap:
                return

    def last_of(self, taps: Sequence[str]) -> str:
        """The tap that is computed last.

        Args:
            taps: Names of taps, in any order.

        Returns:
            The one behind which nothing needs to be computed.

        Raises:
            ArgumentError: `taps` is empty, or names a tap that is not there.
        """
        if not taps:
            known = ", ".join(tap.name for tap in self.spec.taps)
            raise ArgumentError(f"no tap of {self.spec.name} asked for; choose from {known}")
        wanted = [self.spec.tap(tap) for tap in taps]
        return max(wanted, key=self.spec.taps.index).name

    def freeze(self, up_to: str | None) -> None:
        """Keep the first stages as they are, statistics of norms too, and let the others learn.

        Args:
            up_to: The last tap whose stage is kept; None: everything learns.

        Raises:
            ArgumentError: There is no tap of that name.
        """
        names = [name for name, _ in self._stages]
        self._frozen = 0 if up_to is None else names.index(self.spec.tap(up_to).name) + 1
        for number, (_, layers) in enumerate(self._stages):
            for layer in layers:
                layer.requires_grad_(number >= self._frozen)
        if self.spec.stn:  # before the first stage
            self.stn.requires_grad_(not self._frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """Set training mode, but for stages that `freeze` keeps as they are."""
        super().train(mode)
        for _, layers in self._stages[: self._frozen]:
            for layer in layers:
                layer.eval()
        return self

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters, each once: `stn` where there is one, those up to each tap, and `head`.

        An optimiser may so give deeper stages a rate of their own.
        """
        groups = {"stn": list(self.stn.parameters())} if self.spec.stn else {}
        seen = {id(parameter) for group in groups.values() for parameter in group}
        for name, layers in (*self._stages, ("head", (self,))):
            groups[name] = []
            for parameter in (each for layer in layers for each in layer.parameters()):
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    groups[name].append(parameter)
        return groups

    def prepare(self, images: Tensor) -> Tensor:
        """What the first layer sees of images to embed: normalised, aligned and scaled.

        Args:
            images: (B, 3, H, W) RGB float32, 0 … 1.
        """
        x: Tensor = self.normalise(images)
        if self.spec.stn:
            x = self.stn(x)
        if self.spec.resolution < 1:
            size = [self.spec.scaled(side) for side in x.shape[-2:]]
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
        return x

    def features(self, images: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Feature maps by tap; nothing behind the last of them is computed.

        The picture is seen as it is: a spatial transformer and a resolution below 1 are of
        `embedding` alone.

        Args:
            images: (B, 3, H, W) RGB float32, 0 … 1, of any size the network's strides allow.
            taps: Names of taps.

        Returns:
            For each name, in the order given, the feature map (B, C, H/stride, W/stride) float32.

        Raises:
            ArgumentError: `taps` is empty, or names a tap that is not there.
        """
        found = run_stages(self.normalise(images), self.stages_through(self.last_of(taps)), taps)
        return {tap: found[tap] for tap in taps}

    def trunk_keys(self) -> frozenset[str]:
        """The names in `state_dict` of all that lies before the head, added attention left out."""
        layers = {id(layer) for _, stage in self._stages for layer in stage}
        return frozenset(
            f"{name}.{key}" if name else key
            for name, module in self.named_modules()
            if id(module) in layers and not name.startswith(f"{PREFIX}.")
            for key in module.state_dict()
        )

    def embedding(
        self, images: Tensor, alterations: Mapping[str, Alteration] | None = None
    ) -> Tensor:
        """One vector an image, as the network gives it: not of unit length.

        Args:
            images: (B, 3, H, W) RGB float32, 0 … 1; (H, W) is the spec's `input_size`, from which
                only networks that average over the image (`embedding_size` None) may depart.
            alterations: By tap, what is done to its feature map before the next stage sees it.

        Returns:
            (B, D) float32.

        Raises:
            ValueError: The images are not of the size that the network was trained for.
        """
        return self.embedding_with_features(images, (), alterations)[0]

    def embedding_with_features(
        self,
        images: Tensor,
        taps: Sequence[str],
        alterations: Mapping[str, Alteration] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The embedding, and feature maps on the way to it, in one pass.

        Args:
            images: As in `embedding`.
            taps: Names of taps, perhaps none.
            alterations: As in `embedding`; the maps given back are altered.

        Returns:
            (B, D), and by tap (B, C, H/stride, W/stride).

        Raises:
            ArgumentError: A tap is not there.
            ValueError: The images are not of the size that the network was trained for.
        """
        size = tuple(images.shape[-2:])
        fixed = self.spec.embedding_size is not None
        fixed = fixed or self.spec.head_pooling is HeadPooling.GLOBAL_DEPTHWISE
        if fixed and size != self.spec.input_size:
            raise ValueError(f"{self.spec.name} embeds {self.spec.input_size} pixels, got {size}")
        last = self.spec.taps[-1].name
        wanted = [self.spec.tap(tap).name for tap in taps]
        stages = self.stages_through(last)
        found = run_stages(self.prepare(images), stages, (*wanted, last), alterations)
        return self.head_of(found[last]), {tap: found[tap] for tap in wanted}

    def head_of(self, features: Tensor) -> Tensor:
        """The embedding from the last tap's feature map.

        Args:
            features: (B, C, H/stride, W/stride) of the last tap.

        Returns:
            (B, D).
        """
        for layer in self._head:
            features = layer(features)
        return features

    def forward(
        self, images: Tensor, alterations: Mapping[str, Alteration] | None = None
    ) -> Tensor:
        """The same as `embedding`."""
        return self.embedding(images, alterations)


def _before_average(head: Sequence[nn.Module]) -> list[nn.Module]:
    """The layers of a head before its average over the image; all of them where there is none."""
    before = list[nn.Module]()
    for layer in head:
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            break
        inside = list(layer.children())
        kinds = [isinstance(child, nn.AdaptiveAvgPool2d) for child in inside]
        if any(kinds):
            return before + inside[: kinds.index(True)]
        before.append(layer)
    return before


def run_stages(
    x: Tensor,
    stages: Iterable[Stage],
    taps: Sequence[str],
    alterations: Mapping[str, Alteration] | None = None,
) -> dict[str, Tensor]:
    """Run stages one after the other and keep what was asked for.

    Args:
        x: (B, 3, H, W) normalised images.
        stages: As `Backbone.stages_through` gives them.
        taps: Names of the taps to keep.
        alterations: By tap, what is done to its feature map.

    Returns:
        The feature maps of those taps that the stages reach, altered.
    """
    found = {}
    for name, layers in stages:
        for layer in layers:
            x = layer(x)
        if alterations is not None and name in alterations:
            x = alterations[name](x)
        if name in taps:
            found[name] = x
    return found
