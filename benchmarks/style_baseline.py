"""Today's best scheme of style transfer by optimisation, written plainly.

It shares no code with `style`. The scheme is that of K. Crowson's style-transfer-pytorch: float32
throughout; content at relu4_2 by mean squared error; style at relu1_1 … relu5_1 by Wasserstein
distances of means and covariances, whose roots are found by Newton–Schulz; total variation; Adam
with a clamp after each step; an average of the iterates, which is the result and begins the next
scale; moments of Adam that are carried over, interpolated; scales that grow by √2.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from data.progress import Progress

Extract = Callable[[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The scheme's own settings.

    Attributes:
        first_scale: Longer side below which no scale lies, px.
        first_steps: Steps of the coarsest scale.
        steps: Steps of each other scale.
        learning_rate: Of Adam.
        betas: Of Adam.
        averaging: Decay of the average of the iterates.
        content_taps: Where the content is compared.
        content_weight: Of the mean squared error there.
        style_taps: Where the style is compared.
        style_weights: Of these taps; they are divided by their sum.
        tv_weight: Of total variation.
        newton_schulz: Iterations of a matrix root, and of its gradient.
        epsilon: Added to the diagonal of each covariance.
    """

    first_scale: int = 128
    first_steps: int = 1000
    steps: int = 500
    learning_rate: float = 0.02
    betas: tuple[float, float] = (0.9, 0.99)
    averaging: float = 0.99
    content_taps: tuple[str, ...] = ("relu4_2",)
    content_weight: float = 0.015
    style_taps: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    style_weights: tuple[float, ...] = (256, 64, 16, 4, 1)
    tv_weight: float = 2.0
    newton_schulz: int = 12
    epsilon: float = 1e-4

    def plan(self, size: int) -> list[tuple[int, int]]:
        """(longer side in px, steps) of each scale of a picture of this longer side, ascending."""
        sides = [size]
        while (side := round(size / 2 ** (len(sides) / 2))) >= self.first_scale:
            sides.append(side)
        return [(side, self.steps if i else self.first_steps) for i, side in enumerate(sides[::-1])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """What a run made, and what it cost.

    Attributes:
        picture: (1, 3, H, W) in [0, 1].
        cpu_seconds: Of the whole run, all threads.
        wall_seconds: Of the whole run.
        step_seconds: Median CPU time of a step, by the longer side of the scale, px.
    """

    picture: Tensor
    cpu_seconds: float
    wall_seconds: float
    step_seconds: dict[int, float]


class MatrixRoot(torch.autograd.Function):
    """The square root of a positive definite matrix by Newton–Schulz, and its gradient likewise.

    The gradient solves Z X + X Z = G by the iteration of Lin and Maji 2017 ("Improved Bilinear
    Pooling with CNNs"), which needs matrix products alone, as the root itself does.
    """

    @staticmethod
    def forward(ctx, matrix: Tensor, iterations: int) -> Tensor:  # type: ignore[no-untyped-def]
        """The root (C, C) of a matrix (C, C)."""
        identity = torch.eye(len(matrix), dtype=matrix.dtype)
        norm = matrix.norm()
        root, inverse = matrix / norm, identity
        for _ in range(iterations):
            step = (3 * identity - inverse @ root) / 2
            root, inverse = root @ step, step @ inverse
        root = root * norm.sqrt()
        ctx.save_for_backward(root)
        ctx.iterations = iterations
        return root

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        """The gradient by the matrix, from that by its root."""
        (root,) = ctx.saved_tensors
        identity = torch.eye(len(root), dtype=root.dtype)
        norm = root.norm()
        a, q = root / norm, gradient / norm
        for _ in range(ctx.iterations):
            step = 3 * identity - a @ a
            q = (q @ step - a.T @ (a.T @ q - q @ a)) / 2
            a = a @ step / 2
        return q / 2, None


def mean_and_covariance(features: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """(C,) and (C, C) of features (1, C, H, W)."""
    places = features[0].flatten(1)  # (C, H*W)
    mean = places.mean(dim=1)
    covariance = places @ places.T / places.shape[1] - torch.outer(mean, mean)
    return mean, covariance + epsilon * torch.eye(len(mean))


class StyleTarget:
    """Of one tap."""

    def __init__(self, features: Tensor, settings: Settings) -> None:
        self.settings = settings
        self.mean, self.covariance = mean_and_covariance(features, settings.epsilon)
        self.root = MatrixRoot.apply(self.covariance, settings.newton_schulz)

    def loss(self, features: Tensor) -> Tensor:
        """The distance of features (1, C, H, W)."""
        mean, covariance = mean_and_covariance(features, self.settings.epsilon)
        crossed = MatrixRoot.apply(self.root @ covariance @ self.root, self.settings.newton_schulz)
        spread = (self.covariance + covariance - 2 * crossed).diagonal().mean()
        return (mean - self.mean).square().mean() + spread


class Objective:
    """The sum of the losses at one scale."""

    def __init__(self, extract: Extract, content: Tensor, style: Tensor, settings: Settings):
        self.extract, self.settings = extract, settings
        with torch.no_grad():
            seen, look = extract(content), extract(style)
            self.contents = {tap: seen[tap] for tap in settings.content_taps}
            self.styles = {tap: StyleTarget(look[tap], settings) for tap in settings.style_taps}

    def __call__(self, image: Tensor) -> Tensor:
        """The loss of an image (1, 3, H, W)."""
        settings = self.settings
        seen = self.extract(image)
        loss = torch.zeros(())
        for tap, target in self.contents.items():
            share = settings.content_weight / len(self.contents)
            loss = loss + share * F.mse_loss(seen[tap], target)
        for weight, (tap, style) in zip(settings.style_weights, self.styles.items(), strict=True):
            loss = loss + weight / sum(settings.style_weights) * style.loss(seen[tap])
        padded = F.pad(image, (0, 1, 0, 1), mode="replicate")
        across = padded[..., :-1, 1:] - padded[..., :-1, :-1]
        down = padded[..., 1:, :-1] - padded[..., :-1, :-1]
        return loss + settings.tv_weight * (across.square() + down.square()).mean()


def fitted(picture: Tensor, longer: int, *, enlarge: bool) -> Tensor:
    """A picture scaled to a longer side, px."""
    height, width = picture.shape[-2:]
    ratio = longer / max(height, width)
    if ratio > 1 and not enlarge:
        return picture
    size = (max(1, round(height * ratio)), max(1, round(width * ratio)))
    return F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)


def scaled_adam(adam: torch.optim.Adam, image: Tensor, settings: Settings) -> torch.optim.Adam:
    """A new Adam for a larger image, with the moments of the one before."""
    fresh = torch.optim.Adam([image], lr=settings.learning_rate, betas=settings.betas)
    (old,) = adam.state.values()
    size = image.shape[-2:]
    fresh.state[image] = {
        "step": old["step"],
        "exp_avg": F.interpolate(old["exp_avg"], size, mode="bicubic"),
        "exp_avg_sq": F.interpolate(old["exp_avg_sq"], size, mode="bilinear").relu_(),
    }
    return fresh


def paint(
    extract: Extract,
    content: Tensor,
    style: Tensor,
    size: int,
    settings: Settings,
    report: Progress = lambda done, total: None,
) -> Painted:
    """Paint `content` (1, 3, H, W) in the manner of `style` (1, 3, h, w), coarse to fine.

    Args:
        extract: Picture (1, 3, H, W) in [0, 1] → features (1, C, H', W') by tap.
        content: In [0, 1], of any size.
        style: In [0, 1], of any size.
        size: Longer side of the picture, px.
        settings: Of the scheme.
        report: Called with the steps done and all steps, after each.
    """
    cpu, wall = time.process_time(), time.perf_counter()
    plan = settings.plan(size)
    total, done = sum(steps for _, steps in plan), 0
    image = fitted(content, plan[0][0], enlarge=True)
    adam: torch.optim.Adam | None = None
    medians = {}
    for side, steps in plan:
        photograph = fitted(content, side, enlarge=True)
        objective = Objective(extract, photograph, fitted(style, side, enlarge=False), settings)
        image = F.interpolate(image, photograph.shape[-2:], mode="bicubic").clamp(0, 1)
        image.requires_grad_(True)
        adam = (
            scaled_adam(adam, image, settings)
            if adam
            else torch.optim.Adam([image], lr=settings.learning_rate, betas=settings.betas)
        )
        average, remaining = torch.zeros_like(image), 1.0
        times = []
        for _ in range(steps):
            began = time.process_time()
            loss = objective(image)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            with torch.no_grad():
                image.clamp_(0, 1)
                average.lerp_(image, 1 - settings.averaging)
            remaining *= settings.averaging
            times.append(time.process_time() - began)
            done += 1
            report(done, total)
        medians[side] = statistics.median(times)
        image = (average / (1 - remaining)).clamp(0, 1).detach()
    return Painted(
        picture=image,
        cpu_seconds=time.process_time() - cpu,
        wall_seconds=time.perf_counter() - wall,
        step_seconds=medians,
    )
