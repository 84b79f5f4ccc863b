"""The photographs of a run, aligned, in memory, and whether they are alike."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from backbones.registry import spec_of
from backbones.spec import Alignment
from data.datasets import (
    Identity,
    check_corrupt,
    find_doubts,
    listed_names,
    only_listed,
    read_identities,
    read_people,
    split_identities,
)
from data.errors import AppError, ArgumentError, DatasetError, ImageError, WriteError
from data.files import printable, private_folder, sha256_of, write_atomic
from data.folders import Account, sift_all
from data.images import find_images, load_image, save_image, to_image
from data.progress import Progress

from ..detection.detector import FaceDetector, central_faces, make_detector
from ..faces.alignment import BORDER as _BORDER
from ..faces.alignment import (
    CROP_SIZE,
    REALIGNED,
    align_faces,
    crop_size,
    face_at,
    moved,
    realign,
    realign_beyond,
    with_border,
)
from ..results import Face
from .config import DataConfig, SourceConfig

# Photographs → aligned faces, each searched for its face once and then kept.
#
# A photograph of exactly 112×112 pixels counts as aligned at five points. Any other is searched,
# and its aligned face is kept under the photograph's digest; so an interrupted alignment goes on
# where it was. So it is with all of them where the network wants its faces aligned otherwise.

_CHUNK = 32
_FIVE_POINT_SIZE = (CROP_SIZE, CROP_SIZE)
_NO_FACE = "no face found"

Landmarks = tuple[
    tuple[float, float],
    tuple[float, float],
    tuple[float, float],
    tuple[float, float],
    tuple[float, float],
]


@dataclass(frozen=True, slots=True)
class Missed:
    """A photograph that could not be used.

    Attributes:
        path: Where it is.
        reason: Why, in one line.
        corrupt: True where it could not be decoded; False where no face was found in it.
    """

    path: Path
    reason: str
    corrupt: bool


def alignment_for(backbone: str) -> Alignment:
    """How faces are aligned to train a network: as it wants them, or else at five points.

    Five points are for networks that have seen no faces yet, and for those that a five-point crop
    does not hold enough for: data sets come as such crops.

    Raises:
        ArgumentError: There is no network of that name.
    """
    own = spec_of(backbone).alignment
    return own if own in REALIGNED else Alignment.FIVE_POINT


class Aligner:
    """Turns photographs into aligned faces, with a cache."""

    def __init__(
        self,
        cache: Path,
        *,
        alignment: Alignment = Alignment.FIVE_POINT,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        """Prepare; the detector is built when the first photograph needs it.

        Args:
            cache: Where aligned faces are kept; made when needed.
            alignment: Any. One that is none of `REALIGNED` reaches over a crop's border, which is
                repeated outwards, unless the photograph that it was cut from is there.
            device: For the detector.
            progress: Told how many photographs of how many are done.
        """
        self._cache = cache
        self._alignment = alignment
        self._side = crop_size(alignment)
        self._device = device
        self._progress = progress
        self._detector: FaceDetector | None = None
        self._unkept: dict[str, Tensor | None] = {}

    def load(
        self,
        paths: Sequence[Path],
        *,
        landmarks: Landmarks | None = None,
        originals: Callable[[Path], Path | None] | None = None,
    ) -> tuple[Tensor, list[Missed]]:
        """Decode and align photographs.

        Args:
            paths: The photographs.
            originals: Where the photograph lies that a crop was cut from, if it is at hand; asked
                only where the alignment reaches over the crop's border.
            landmarks: Where the five points lie in every one of them alike, in pixels; None: each
                that is not 112×112 is searched.

        Returns:
            Pixels (n, 3, S, S) uint8 of those that could be used, in order; and the others.
        """
        pixels = torch.empty((len(paths), 3, self._side, self._side), dtype=torch.uint8)
        kept, missed = 0, list[Missed]()
        beyond = None if self._alignment in REALIGNED else originals
        for start in range(0, len(paths), _CHUNK):
            for result in self._chunk(paths[start : start + _CHUNK], landmarks, beyond):
                if isinstance(result, Missed):
                    missed.append(result)
                else:
                    pixels[kept] = result
                    kept += 1
            if self._progress is not None:
                self._progress(min(start + _CHUNK, len(paths)), len(paths))
        return pixels[:kept], missed

    def _chunk(
        self,
        paths: Sequence[Path],
        landmarks: Landmarks | None,
        originals: Callable[[Path], Path | None] | None,
    ) -> Iterator[Tensor | Missed]:
        """The results for some photographs, in order."""
        results: dict[int, Tensor | Missed] = {}
        waiting: dict[int, Image.Image] = {}
        sources = list(paths)
        for index, path in enumerate(paths):
            try:
                image = load_image(path)
            except AppError as error:
                results[index] = Missed(path, str(error), corrupt=True)
                continue
            if originals and image.size == _FIVE_POINT_SIZE and (whole := originals(path)):
                image, sources[index] = load_image(whole), whole
            if image.size == _FIVE_POINT_SIZE and self._alignment is Alignment.FIVE_POINT:
                results[index] = _bytes_of(image)
            else:
                waiting[index] = image
        if landmarks is not None and waiting:
            faces, images = [face_at(landmarks)] * len(waiting), list(waiting.values())
            if self._alignment not in REALIGNED:
                faces = [moved(face, _BORDER, _BORDER) for face in faces]
                images = [with_border(image) for image in images]
            aligned = self._align(images, faces)
            results.update(zip(waiting, aligned, strict=True))
        else:
            digests = {index: sha256_of(sources[index]) for index in waiting}
            self._fill({digests[index]: image for index, image in waiting.items()})
            for index, digest in digests.items():
                results[index] = self._from_cache(paths[index], digest)
        return (results[index] for index in range(len(paths)))

    def _known(self, digest: str) -> bool:
        return self._face_file(digest).is_file() or self._faceless_file(digest).is_file()

    def _face_file(self, digest: str) -> Path:
        five_point = self._alignment is Alignment.FIVE_POINT
        return self._cache / f"{digest}{'' if five_point else f'.{self._alignment}'}.png"

    def _faceless_file(self, digest: str) -> Path:
        return self._cache / f"{digest}.faceless"

    def _fill(self, images: dict[str, Image.Image]) -> None:
        """Detect and align, of photographs by their digests, what the cache does not hold yet."""
        new = {digest: image for digest, image in images.items() if not self._known(digest)}
        if not new:
            return
        if self._detector is None:
            self._detector = make_detector(self._device)
        self._unkept.clear()
        with suppress(ArgumentError):  # a cache that cannot be is no reason to stop
            private_folder(self._cache)
        crops = {d: image for d, image in new.items() if image.size == _FIVE_POINT_SIZE}
        again = realign if self._alignment in REALIGNED else realign_beyond
        realigned = again(list(crops.values()), self._alignment, self._detector)
        for digest, pixels in zip(crops, realigned, strict=True):
            self._keep(digest, _rounded(pixels))
        others = {d: image for d, image in new.items() if d not in crops}
        found = central_faces(self._detector, list(others.values()))
        for digest, central in zip(others, found, strict=True):
            try:
                aligned = self._align([central[0]], [central[1]])[0] if central else None
            except ImageError:  # landmarks that coincide are no face
                aligned = None
            self._keep(digest, aligned)

    def _keep(self, digest: str, aligned: Tensor | None) -> None:
        """Write an aligned face (3, S, S) uint8 into the cache, or that there is none.

        Where it cannot be written it stays in memory for as long as it is needed.
        """
        try:
            if aligned is None:
                write_atomic(self._faceless_file(digest), b"")
            else:
                save_image(to_image(aligned.float() / 255), self._face_file(digest))
        except (OSError, WriteError):
            self._unkept[digest] = aligned

    def _align(self, images: list[Image.Image], faces: list[Face]) -> Tensor:
        """(n, 3, S, S) uint8, one face an image."""
        return _rounded(align_faces(images, [[face] for face in faces], self._alignment))

    def _from_cache(self, path: Path, digest: str) -> Tensor | Missed:
        if digest in self._unkept:
            found = self._unkept[digest]
            return Missed(path, _NO_FACE, corrupt=False) if found is None else found
        if self._faceless_file(digest).is_file():
            return Missed(path, _NO_FACE, corrupt=False)
        return _bytes_of(load_image(self._face_file(digest)))


def _bytes_of(image: Image.Image) -> Tensor:
    """(3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _rounded(pixels: Tensor) -> Tensor:
    """0 … 1 → uint8."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)


# Whether photographs that should be alike come from different sources, as far as pixels tell.

_MOST_PEOPLE = 500
_MOST_EACH = 4
_DRAWS = 1999
_SMALL_EFFECT = 0.5  # Cohen's d of a medium effect; a smaller one is not worth a word
_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class _Trait:
    """What is measured of a photograph, and how to say that there is more or less of it."""

    more: str
    less: str


_TRAITS = (
    _Trait("brighter", "darker"),
    _Trait("richer in contrast", "poorer in contrast"),
    _Trait("sharper", "more blurred"),
    _Trait("more colourful", "less colourful"),
)


def find_shifts(
    name: str, photographs: "Photographs", other: str, others: "Photographs"
) -> list[str]:
    """Return a line for each trait by which photographs differ from others.

    Brightness, contrast, sharpness and colour are averaged for each person, since one person's
    photographs resemble each other; a difference counts if it is at least half a standard deviation
    of people, and a permutation test over people finds it at a level of 1 % for all traits
    together. A few people alone are never enough for that.

    Args:
        name: What the first are called.
        photographs: These.
        other: What the second are called.
        others: Those.
    """
    if not len(photographs) or not len(others):
        return []
    first, second = _by_person(photographs), _by_person(others)  # (P, T), (Q, T)
    within = torch.cat([first - first.mean(0), second - second.mean(0)])
    deviation = within.square().mean(0).sqrt().clamp(min=1e-6)
    effects = (first.mean(0) - second.mean(0)) / deviation
    chances = _permuted(first, second)
    return [
        f"{name} photographs are {trait.more if effect > 0 else trait.less} than {other} "
        f"photographs, by {abs(effect):.1f} standard deviations: what holds for one kind may not "
        "hold for the other"
        for trait, effect, chance in zip(_TRAITS, effects.tolist(), chances.tolist(), strict=True)
        if abs(effect) >= _SMALL_EFFECT and chance <= _LEVEL / len(_TRAITS)
    ]


def _permuted(first: Tensor, second: Tensor) -> Tensor:
    """(T,): how often a random share-out of the people differs in its means by as much."""
    everyone = torch.cat([first, second])
    generator = torch.Generator().manual_seed(0)
    order = torch.rand((_DRAWS, len(everyone)), generator=generator).argsort(dim=1)
    member = torch.zeros(_DRAWS, len(everyone)).scatter_(1, order[:, : len(first)], 1.0)
    sums = member.double() @ everyone  # (draws, T)
    drawn = sums / len(first) - (everyone.sum(0) - sums) / len(second)
    measured = first.mean(0) - second.mean(0)
    as_far = (drawn.abs() >= measured.abs() * (1 - 1e-9)).sum(0)
    return (as_far + 1) / (_DRAWS + 1)


def _by_person(photographs: "Photographs") -> Tensor:
    """(P, T) float64: the traits' means of each person; who has no name counts alone."""
    if photographs.people:
        some = photographs.some_people(_MOST_PEOPLE).some_of_each(_MOST_EACH)
        traits, labels = _traits(some.pixels), some.labels
        sums = torch.zeros(len(some.people), traits.shape[1], dtype=traits.dtype)
        return sums.index_add(0, labels, traits) / labels.bincount().unsqueeze(1)
    step = max(1, len(photographs) // _MOST_PEOPLE)
    return _traits(photographs.pixels[::step][:_MOST_PEOPLE])


def _traits(pixels: Tensor) -> Tensor:
    """(N, T) float64, in the order of `_TRAITS`, of pixels (N, 3, S, S) uint8."""
    parts = []
    for start in range(0, len(pixels), 64):
        images = pixels[start : start + 64].float() / 255  # (n, 3, S, S)
        grey = images.mean(dim=1, keepdim=True)  # (n, 1, S, S)
        kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
        edges = F.conv2d(grey, kernel).flatten(1).var(dim=1)
        spread = grey.flatten(1).std(dim=1)
        colour = (images.amax(1) - images.amin(1)).mean(dim=(1, 2))
        # Sharpness regardless of contrast, which scales the edges too.
        sharpness = ((edges + 1e-8) / (spread**2 + 1e-6)).log()
        parts.append(torch.stack([grey.mean(dim=(1, 2, 3)), spread, sharpness, colour], dim=1))
    return torch.cat(parts).double()


# The photographs of a run, aligned, in memory: decoded once, so that no epoch waits for a disk.

NOBODY = -1
"""The label of a photograph without a name."""


@dataclass(frozen=True, slots=True, eq=False)
class Photographs:
    """Aligned photographs and whom they show.

    Attributes:
        pixels: (N, 3, S, S) uint8 RGB, S as their alignment gives it: 112 for five points.
        labels: (N,) int64: an index into `people`, or `NOBODY`.
        people: Names, sorted within each folder.
    """

    pixels: Tensor
    labels: Tensor
    people: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def compared(self) -> int:
        """How many people have two photographs or more."""
        return int((torch.bincount(self.labels[self.labels != NOBODY]) > 1).sum())

    def some_people(self, most: int) -> "Photographs":
        """So many people, spread evenly over all of them, with all their photographs."""
        count = min(most, len(self.people))
        return self._of([index * len(self.people) // count for index in range(count)])

    def most_photographed(self, most: int) -> "Photographs":
        """So many people of whom there are the most photographs, with all of these."""
        counts = torch.bincount(self.labels, minlength=len(self.people)).tolist()
        order = sorted(range(len(self.people)), key=lambda label: (-counts[label], label))
        return self._of(sorted(order[:most]))

    def some_of_each(self, most: int) -> "Photographs":
        """At most so many photographs of each person, so that nobody outweighs the others.

        They are spread over all there are, since a folder may have its profiles at its end.
        """
        of: dict[int, list[int]] = defaultdict(list)
        for index, label in enumerate(self.labels.tolist()):
            of[label].append(index)
        kept = sorted(own[i] for own in of.values() for i in _spread(len(own), most))
        return Photographs(self.pixels[kept], self.labels[kept], self.people)

    def _of(self, chosen: list[int]) -> "Photographs":
        """The people at these indices, with all their photographs."""
        new_label = torch.full((len(self.people) + 1,), NOBODY)  # the last row is NOBODY's own
        new_label[chosen] = torch.arange(len(chosen))
        labels = new_label[self.labels]
        kept = labels != NOBODY
        return Photographs(
            self.pixels[kept], labels[kept], tuple(self.people[index] for index in chosen)
        )


def _spread(count: int, most: int) -> list[int]:
    """At most so many of 0 … count - 1, the first and the last among them where there is room."""
    if count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / max(1, most - 1)) for place in range(most)})


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a run trains on, and the people kept out of it.

    Attributes:
        training: Named and unnamed photographs.
        validation: Other people: they choose the best epoch and the threshold.
        test: Others again, looked at once, at the end; may be empty.
        missed: Photographs that could not be used.
        doubts: What is allowed and yet rarely meant, a line each.
        accounts: What was not taken from the folders.
    """

    training: Photographs
    validation: Photographs
    test: Photographs
    missed: tuple[Missed, ...]
    doubts: tuple[str, ...]
    accounts: tuple[Account, ...] = ()


def load_data(config: DataConfig, aligner: Aligner, *, seed: int) -> TrainingData:
    """Read, align and split.

    Args:
        config: Where the photographs are.
        aligner: Turns paths into aligned pixels.
        seed: Of the split.

    Raises:
        DatasetError: Too few people, too many corrupt photographs, or nothing usable.
    """
    people = _people_of(config.folder, config.identities, config.excluded)
    parts = _parts(config, people, seed)
    accounts, empty = _accounts(config)
    doubts = find_doubts(people)
    doubts += [f"{printable(folder)} gives nobody: no photograph in it is read" for folder in empty]
    loaded = [_load(part, aligner, originals=_originals(config)) for part in parts]
    missed = [item for _, lost in loaded for item in lost]
    if not config.allow_corrupt:
        photographs = sum(len(person.photographs) for part in parts for person in part)
        check_corrupt(sum(item.corrupt for item in missed), photographs, root=config.folder)
    training, validation, test = (part for part, _ in loaded)
    kept_out = config.validation or config.folder
    uses = ((training, "training", config.folder), (validation, "validation", kept_out))
    for part, use, folder in uses:
        if len(part.people) < 2:
            raise DatasetError(
                f"{printable(folder)} leaves {len(part.people)} people for {use}, and 2 are "
                "needed: add people or change the split"
            )
    doubts += find_shifts("validation", validation, "training", training)
    doubts += find_shifts("test", test, "validation", validation)
    taken = {person.name for person in people}
    for source in _further(config):
        more, lost = _load_source(source, aligner)
        _check_names(more, taken)
        taken.update(more.people)
        name = "unlabelled" if source.folder == config.unlabelled else printable(source.folder.name)
        doubts += find_shifts(name, more, "training", training)
        training, missed = _joined(training, more), missed + lost
    doubts += _shared_names(training.people, (*validation.people, *test.people))
    if len(validation) == len(validation.people):
        doubts.append("nobody kept out has two photographs: the best epoch is the last one")
    return TrainingData(training, validation, test, tuple(missed), tuple(doubts), accounts)


def _parts(config: DataConfig, people: Sequence[Identity], seed: int) -> tuple[list[Identity], ...]:
    """The people of training, validation and test; who has a folder is not split off."""
    own = (None, config.validation, config.test)
    shares = [
        share if folder is None else 0.0 for share, folder in zip(config.split, own, strict=True)
    ]
    split = split_identities(people, [share / sum(shares) for share in shares], seed)
    listed = (None, config.validation_identities, None)
    return tuple(
        part if folder is None else _people_of(folder, listing, (), fewest=1)
        for part, folder, listing in zip(split, own, listed, strict=True)
    )


def _people_of(
    folder: Path, identities: Path | None, excluded: Sequence[Path], *, fewest: int = 2
) -> list[Identity]:
    """The people of a folder: those listed, without those excluded and without such photographs."""
    people = read_identities(folder, minimum_people=fewest)
    if identities is not None:
        people = only_listed(people, identities)
    if not excluded:
        return people
    out = listed_names(excluded)
    kept = [
        Identity(person.name, photographs)
        for person in people
        if person.name not in out
        and (
            photographs := tuple(
                path for path in person.photographs if f"{person.name}/{path.name}" not in out
            )
        )
    ]
    if not kept:
        raise DatasetError(f"everybody in {printable(folder)} is excluded")
    return kept


def _originals(config: DataConfig) -> Callable[[Path], Path | None] | None:
    """Where the whole photograph lies that one of `config.folder` was cut from; None: nowhere."""
    if config.originals is None:
        return None
    root, folder = config.originals, config.folder

    def find(path: Path) -> Path | None:
        if not path.is_relative_to(folder):
            return None  # of a folder of its own
        whole = root / path.relative_to(folder)
        return whole if whole.is_file() else None

    return find


def _accounts(config: DataConfig) -> tuple[tuple[Account, ...], list[Path]]:
    """What is not taken from the folders of a run, and people's folders without a photograph."""
    further = _further(config)
    named = [config.folder, config.validation, config.test]
    named += [source.folder for source in further if source.named]
    people = [read_people(folder, minimum_people=1) for folder in named if folder is not None]
    unnamed = sift_all([source.folder for source in further if not source.named])
    accounts = [*(one.account for one in people), *(sifted.account for _, sifted in unnamed)]
    empty = [folder for one in people for folder in one.empty]
    return tuple(account for account in accounts if account.left), empty


def _further(config: DataConfig) -> list[SourceConfig]:
    """The sources beside `data.folder`, in the order in which their photographs follow."""
    if config.unlabelled is None:
        return list(config.more)
    unlabelled = SourceConfig(
        folder=config.unlabelled, named=False, landmarks=config.unlabelled_landmarks
    )
    return [*config.more, unlabelled]


def _shared_names(training: Sequence[str], kept_out: Sequence[str]) -> list[str]:
    """A line where folders of their own hold people who seem to be in training, too."""
    shared = sorted(set(training) & set(kept_out))
    return [
        f"{len(shared)} people kept out have the name of one in training, such as "
        f"{printable(name)}: the same person in both makes the figures too good"
        for name in shared[:1]
    ]


def _load(
    people: Sequence[Identity],
    aligner: Aligner,
    *,
    landmarks: Landmarks | None = None,
    originals: Callable[[Path], Path | None] | None = None,
) -> tuple[Photographs, list[Missed]]:
    """Align the photographs of some people; those who lose all theirs are dropped."""
    paths = [path for person in people for path in person.photographs]
    owners = [index for index, person in enumerate(people) for _ in person.photographs]
    pixels, lost = aligner.load(paths, landmarks=landmarks, originals=originals)
    gone = {item.path for item in lost}
    kept = [owner for path, owner in zip(paths, owners, strict=True) if path not in gone]
    present = sorted(set(kept))
    label_of = {owner: label for label, owner in enumerate(present)}
    labels = torch.tensor([label_of[owner] for owner in kept], dtype=torch.int64)
    return Photographs(pixels, labels, tuple(people[owner].name for owner in present)), lost


def _load_source(source: SourceConfig, aligner: Aligner) -> tuple[Photographs, list[Missed]]:
    """Align a further folder's photographs, of people or without names."""
    if source.named:
        people = _people_of(source.folder, source.identities, source.excluded, fewest=1)
        return _load(people, aligner, landmarks=source.landmarks)
    out = listed_names(source.excluded)
    paths = [
        path
        for path in find_images([source.folder])
        if path.relative_to(source.folder).as_posix() not in out
    ]
    pixels, lost = aligner.load(paths, landmarks=source.landmarks)
    if len(pixels) == 0:
        raise DatasetError(f"{printable(source.folder)} holds no photograph of a face")
    return Photographs(pixels, torch.full((len(pixels),), NOBODY, dtype=torch.int64), ()), lost


def _check_names(more: Photographs, taken: set[str]) -> None:
    """Refuse a further folder with a name that another one has, perhaps among those kept out.

    Raises:
        DatasetError: There is one.
    """
    if shared := sorted(set(more.people) & taken):
        raise DatasetError(
            f"{printable(shared[0])} is a person of two folders: rename one of them, or exclude "
            "it, for people are told apart by name"
        )


def _joined(first: Photographs, second: Photographs) -> Photographs:
    """Both, one after the other; nobody is in both."""
    labels = second.labels.clone()
    labels[labels != NOBODY] += len(first.people)
    return Photographs(
        torch.cat([first.pixels, second.pixels]),
        torch.cat([first.labels, labels]),
        first.people + second.people,
    )
