"""Whether calibrated thresholds and probabilities hold for other people.

    python benchmarks/calibration.py --people lfw-112 --lists ../shared/datasets/lfw
    python benchmarks/calibration.py --people lfw-112 --lists ../shared/datasets/lfw --weights FILE

Calibrated on the people whom recipes/bundled.toml keeps out of training, applied to those of
test-identities.txt, all of them as faces aligned at five points. Realised is the FAR over every
pair of the latter's photographs, the FPIR over galleries that enrol 86 of them by one photograph as
`likeness evaluate identify` draws them, and the expected calibration error of the probabilities,
where half of the pairs are genuine. `--kept-out FILE` writes the names of whom it calibrates on, a
list for `likeness calibrate --identities FILE`, and does nothing else.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.datasets import Identity, only_listed, read_identities, split_identities
from data.errors import DatasetError
from recognition.evaluation.embeddings import Finder, embed_photographs
from recognition.evaluation.error_rate_thresholds import (
    MOST_PHOTOGRAPHS,
    Faces,
    cutoff,
    different_people,
    fit_probabilities,
    labelled_pairs,
    search_cutoff,
    searches,
)
from recognition.evaluation.probability import Labelled, reliability_of
from recognition.models import Choice, Engine

SPLIT, SEED = (6 / 7, 1 / 7, 0.0), 7  # of recipes/bundled.toml
FARS = (0.01, 0.001, 0.0001)
FPIR = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=Path, required=True, help="LFW, aligned: lfw-112")
    parser.add_argument("--lists", type=Path, required=True, help="holds train-identities.txt")
    parser.add_argument("--weights", type=Path, help="else the bundled ones")
    parser.add_argument("--galleries", type=int, default=200)
    parser.add_argument("--kept-out", type=Path, help="write the names of those kept out, and end")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    everybody = read_identities(given.people)
    kept_out = split_identities(
        only_listed(everybody, given.lists / "train-identities.txt"), SPLIT, SEED
    )[1]
    if given.kept_out:
        given.kept_out.write_text("".join(f"{person.name}\n" for person in kept_out))
        return
    find = Engine(Choice(home=Path("none"), weights=given.weights), lambda: None).finder(
        aligned=True
    )
    tested = only_listed(everybody, given.lists / "test-identities.txt")
    faces = [embedded(people, find, given.people) for people in (kept_out, tested)]
    figures = pairs_and_probabilities(*faces) | identification(*faces, galleries=given.galleries)
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:46} {value}")


def embedded(people: Sequence[Identity], find: Finder, root: Path) -> Faces:
    """The faces of some people; those without a face are left out."""
    paths = [path for person in people for path in person.photographs]
    owners = np.repeat(np.arange(len(people)), [len(person.photographs) for person in people])
    vectors = embed_photographs(paths, find, root=root).vectors
    found = [vector for vector in vectors if vector is not None]
    return Faces(np.stack(found), owners[[vector is not None for vector in vectors]])


def pairs_and_probabilities(kept_out: Faces, tested: Faces) -> dict[str, object]:
    """The realised FAR over all pairs, and the calibration error."""
    figures: dict[str, object] = {
        "calibrated on, people and photographs": _size(kept_out),
        "tested on, people and photographs": _size(tested),
    }
    fitted = kept_out.at_most(MOST_PHOTOGRAPHS)
    impostors, others = different_people(fitted), different_people(tested)
    figures["impostor pairs of the test"] = len(others.similarities)
    for far in FARS:
        try:
            found = cutoff(impostors, far)
        except DatasetError as error:
            figures[f"FAR {far:g}"] = str(error)
            continue
        realised = float(np.mean(others.similarities >= found.threshold))
        figures[f"FAR {far:g}: realised"] = f"{realised:.3g}, {realised / far:.2f} times"
        figures[f"FAR {far:g}: threshold, interval of the rate"] = (
            f"{found.threshold:.4f}, {found.rate_interval[0]:.3g} … {found.rate_interval[1]:.3g}"
        )
    both = fit_probabilities(fitted)
    if both is not None:
        ratio, held = both
        by_person = labelled_pairs(tested)
        by_pair = Labelled(
            by_person.genuine,
            np.ones(len(by_person.genuine)),
            by_person.impostor,
            np.ones(len(by_person.impostor)),
        )
        figures["ECE, among those kept out"] = f"{held.error:.4f}"
        figures["ECE, of the test, people count alike"] = (
            f"{reliability_of(ratio, by_person).error:.4f}"
        )
        figures["ECE, of the test, pairs count alike"] = (
            f"{reliability_of(ratio, by_pair).error:.4f}"
        )
    return figures


def identification(kept_out: Faces, tested: Faces, *, galleries: int) -> dict[str, object]:
    """The realised FPIR over galleries, each with its own threshold."""
    counts = np.bincount(tested.people)
    first = np.searchsorted(tested.people, np.arange(len(counts)))
    several = np.flatnonzero(counts > 1)
    rng = np.random.default_rng(0)
    rates, refused = [], 0
    pairs = different_people(kept_out.at_most(MOST_PHOTOGRAPHS))
    for _ in range(galleries):
        drawn = np.sort(rng.permutation(several)[: (len(several) + 1) // 2])
        chosen = np.zeros(len(tested.people), dtype=np.bool_)
        chosen[first[drawn]] = True
        gallery = tested.select(chosen)
        strangers = tested.select(~np.isin(tested.people, drawn))
        try:
            threshold = search_cutoff(searches(gallery, kept_out), pairs, FPIR).threshold
        except DatasetError:
            refused += 1
            continue
        rates.append(float(np.mean(searches(gallery, strangers).similarities >= threshold)))
    named = f"FPIR {FPIR:g}"
    figures: dict[str, object] = {f"{named}: galleries, refused": f"{galleries}, {refused}"}
    if rates:
        low, high = np.quantile(rates, (0.025, 0.975))
        mean = float(np.mean(rates))
        figures[f"{named}: realised, mean"] = f"{mean:.3g}, {mean / FPIR:.2f} times"
        figures[f"{named}: realised, 95 % of galleries"] = f"{low:.3g} … {high:.3g}"
        within = np.mean([0.5 * FPIR <= rate <= 2 * FPIR for rate in rates])
        figures[f"{named}: galleries within half and double"] = f"{within:.0%}"
    return figures


def _size(faces: Faces) -> str:
    return f"{len(np.unique(faces.people)):,} and {len(faces.people):,}"


if __name__ == "__main__":
    main()
