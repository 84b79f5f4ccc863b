"""Rules of matching, applied to a person's templates; attention over them among these."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError

from .matching import Matching

Values = npt.NDArray[np.float64]

_SAME_FACE = 0.99  # from which on two photographs count as one, as `gallery.templates` has it
_TRIMMED = 0.2  # of a person's templates at either end; one at least, where there are three


@dataclass(frozen=True, slots=True, eq=False)
class TemplateAttention:
    """One trained query that attends to a person's templates, as attention pooling does to places.

    The weights are a softmax over the templates of their products with the query. A matrix of keys
    between the two would make another query of it and nothing else, so there is none. Templates
    are both keys and values: the person's similarity is the weighted mean of theirs, and so never
    above the closest one's.

    Attributes:
        query: (D,) float32; of zeros, all templates weigh alike, which is the mean.
    """

    query: npt.NDArray[np.float32]

    def weights(self, templates: npt.NDArray[np.floating]) -> Values:
        """How much each of a person's templates (n, D) counts: (n,), of sum 1.

        Raises:
            ArgumentError: The templates are of another length.
        """
        if templates.shape[1] != len(self.query):
            raise ArgumentError(
                f"attention over templates of {len(self.query)} numbers was trained, and these "
                f"have {templates.shape[1]}: train it for this network, `likeness train-matching`"
            )
        likeness = templates.astype(np.float64) @ self.query.astype(np.float64)
        grown: Values = np.exp(likeness - likeness.max())
        shares: Values = grown / grown.sum()
        return shares

    def effective_count(self, templates: npt.NDArray[np.floating]) -> int:
        """As how many templates that weigh alike a person's templates (n, D) count, rounded down.

        That is 1 / Σ a², of the weights a of those that differ: a mean spreads by it.
        """
        weights = self.weights(templates)
        alike = templates @ templates.T >= _SAME_FACE
        np.fill_diagonal(alike, val=True)
        return max(1, int(1 / (weights @ alike @ weights) + 1e-6))


Rule = Matching | TemplateAttention
"""A rule as it is applied: in the place of `Matching.ATTENTION` stands what was trained."""


def name_of(rule: Rule) -> Matching:
    """The name of a rule."""
    return Matching.ATTENTION if isinstance(rule, TemplateAttention) else rule


def combined(
    similarities: npt.NDArray[np.floating],
    rule: Rule,
    templates: npt.NDArray[np.floating] | None = None,
) -> float:
    """Make one number of a person's cosine similarities.

    Args:
        similarities: Of a face to each of the person's templates, (n,), n > 0.
        rule: How.
        templates: These, (n, D); only attention looks at them.

    Raises:
        ArgumentError: Attention is asked for by name alone, or without the templates.
    """
    values = similarities.astype(np.float64).clip(-1, 1)
    if isinstance(rule, TemplateAttention) and templates is not None:
        return min(float(rule.weights(templates) @ values), float(values.max()))
    if rule is Matching.BEST:
        return float(values.max())
    if rule is Matching.TRIMMED and len(values) > 2:
        ends = max(1, int(_TRIMMED * len(values)))
        return float(np.sort(values)[ends:-ends].mean())
    if rule in (Matching.MEAN, Matching.TRIMMED):
        return float(values.mean())
    raise ArgumentError("attention needs what was trained for the network, and the templates")
