"""The errors that a user may meet, drawn as a tree.

    AppError                    exit code 1
    ├── ImageError              a picture that cannot be read, or has no usable face
    ├── WeightsError            weights missing, damaged, or of another network
    ├── GalleryError            the gallery refuses, or its files are not usable
    │   ├── AmbiguousError      several people are meant, where one must be
    │   └── LockedError         the gallery is encrypted, and its key is missing or wrong
    ├── StyleError              a stylisation that cannot be done
    ├── TrainingError           a training run that cannot go on
    ├── WriteError              a finished result that its place does not take
    └── ArgumentError           exit code 2: bad argument, missing path
        └── DatasetError        a data set that cannot be used

Each message is one line that says what was wrong, what was expected, and what to do.
Only `ui` catches them.
"""

from typing import ClassVar


class AppError(Exception):
    """Something a user can understand and mend; the message is shown as it is."""

    exit_code: ClassVar[int] = 1


class ImageError(AppError):
    """A picture that cannot be read safely, or that holds no usable face."""


class WeightsError(AppError):
    """Weights that are missing, damaged, or made for another network."""


class GalleryError(AppError):
    """A gallery that refuses a change, or whose files are not usable."""


class AmbiguousError(GalleryError):
    """Several people have a name, where one of them must be meant; nothing has been changed."""


class LockedError(GalleryError):
    """An encrypted gallery whose key is missing or wrong; nothing has been changed."""


class AlteredError(GalleryError):
    """A gallery that holds what Likeness did not write; nothing of it is believed."""


class StyleError(AppError):
    """A stylisation that cannot be done."""


class TrainingError(AppError):
    """A training run that cannot go on."""


class WriteError(AppError):
    """A finished result that cannot be written where it was to go: a full disk, a folder gone."""


class ArgumentError(AppError):
    """A bad argument or a missing path: nothing has been done."""

    exit_code: ClassVar[int] = 2


class DatasetError(ArgumentError):
    """A folder or a list of photographs that cannot be used as a data set."""
