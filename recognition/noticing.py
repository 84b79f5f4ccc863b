"""What is odd about photographs that have just been enrolled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .faces.quality import shortcomings
from .gallery.protocol import AnyGallery
from .gallery.templates import SAME_FACE, Embeddings, Template

_ALONE = -2.0  # the similarity to the closest of no photographs


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What to look for.

    Attributes:
        threshold: Cosine similarity from which on two photographs are taken for one person's; None
            tells nothing of who is unlike or alike.
        others: Whether to look among everybody else as well, which takes a search a photograph.
    """

    threshold: float | None
    others: bool


def noticed(
    gallery: AnyGallery, name: str, templates: Sequence[Template], watch: Watch
) -> list[tuple[str, ...]]:
    """Say what is odd about each of a person's new photographs, a line each.

    Args:
        gallery: They are enrolled in it by now.
        name: The person.
        templates: The new ones.
        watch: What to look for.
    """
    new = {template.photograph_sha256 for template in templates}
    digests, embeddings = gallery.templates_of(name)
    before = embeddings[[digest not in new for digest in digests]]
    vectors: Embeddings = np.stack([template.embedding for template in templates])
    lines = []
    for position, template in enumerate(templates):
        to_new = vectors @ template.embedding  # (N,)
        earlier = max(_most(before @ template.embedding), _most(to_new[:position]))
        closest = max(earlier, _most(to_new[position + 1 :]))
        found = [f"the face is {what}" for what in _shortcomings(template)]
        if earlier >= SAME_FACE:
            found.append(f"almost the same picture as another one of '{name}': it adds little")
        found += _likeness(gallery, name, template, closest, watch)
        lines.append(tuple(found))
    return lines


def _likeness(
    gallery: AnyGallery, name: str, template: Template, closest: float, watch: Watch
) -> list[str]:
    """Say whether a photograph is unlike the person's own, or more like somebody else's.

    Args:
        gallery: Who the others are.
        name: The person.
        template: The photograph.
        closest: Its similarity to the closest of the person's others; see `_most`.
        watch: What to look for.
    """
    if watch.threshold is None:
        return []
    found = []
    if _ALONE < closest < watch.threshold:
        found.append(
            f"unlike the other photographs of '{name}' (similarity {closest:.2f}, wanted "
            f"{watch.threshold:.2f}): is it the same person?"
        )
    if watch.others:
        for match in gallery.search(template.embedding[None], 2)[0]:
            value = match.cosine_similarity
            if match.person != name and value >= max(watch.threshold, closest):
                more = "more like" if closest > _ALONE else "like"
                found.append(
                    f"{more} '{match.person}' (similarity {value:.2f}): one person under two "
                    "names? `likeness people check` compares everybody"
                )
    return found


def _most(similarities: Embeddings) -> float:
    """The greatest of some cosine similarities (N,); less than any where there are none."""
    return float(similarities.max(initial=_ALONE))


def _shortcomings(template: Template) -> tuple[str, ...]:
    return () if template.quality is None else shortcomings(template.quality)
