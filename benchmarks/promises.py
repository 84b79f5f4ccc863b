"""Whether as many strangers are named as is asked for: realised over wanted rates, and plots.

    python benchmarks/promises.py --people lfw-112 --identities recipes/lfw-kept-out-test.txt \
        --leave-out recipes/lfw-second-names.txt [--model NAME | --weights FILE] \
        [--also MANY.txt] [--embeddings CACHE.npz] [--plots DIR]

For galleries of several sizes, 60 draws each, the thresholds that `identify` derives from what the
weights say of strangers are tried on people whom neither the network nor that tail has seen;
`likeness evaluate identify --enrol N --templates M` does the same for one size. `--also` names
people of so many photographs that one person can be enrolled by 69: they are enrolled alone, and
the others are the strangers. Faces are aligned at five points, 112×112.
"""

import argparse
from pathlib import Path

import numpy as np

from data.datasets import Identity
from recognition.evaluation.embeddings import Embedding, already_aligned, embed_photographs
from recognition.evaluation.identification import (
    IdentificationResult,
    evaluate_gallery,
    evaluate_identification,
)
from recognition.evaluation.impostor_tail import ImpostorTail
from recognition.evaluation.searches import people_to_draw_from
from recognition.faces.embedding import load_recogniser
from recognition.tail_cards import find_tail

SIZES = ((10, 1), (43, 1), (87, 1), (200, 1), (10, 3), (43, 3))
OF_ONE = (1, 5, 20, 69)
DRAWS = 60

Embedded = dict[str, list[Embedding | None]]


def main() -> None:
    """Embed, try, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--identities", type=Path, required=True)
    parser.add_argument("--leave-out", type=Path)
    parser.add_argument("--also", type=Path, help="people of 70 photographs and more")
    parser.add_argument("--model")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--embeddings", type=Path, help="read if it is there, else written")
    parser.add_argument("--plots", type=Path, help="a folder for the pictures")
    given = parser.parse_args()
    tested = people_to_draw_from(given.people, given.identities, given.leave_out)
    many = people_to_draw_from(given.people, given.also) if given.also else []
    many = [one for one in many if one.name not in {person.name for person in tested}] + [
        one for one in tested if len(one.photographs) > max(OF_ONE)
    ]
    everybody = [*tested, *(one for one in many if one not in tested)]
    digest, found = embedded(given, everybody)
    tail = find_tail(digest)
    if tail is None:
        raise SystemExit("these weights say nothing of strangers: likeness evaluate tails")
    of_tested = {person.name: found[person.name] for person in tested}
    rows = [
        (f"{enrol} by {templates}", of_draws(of_tested, tail, enrol, templates))
        for enrol, templates in SIZES
        if sum(len(vectors) >= templates for vectors in of_tested.values()) >= enrol
    ]
    for templates in OF_ONE if many else ():
        rows.append((f"1 by {templates}", of_one(found, many, tested, tail, templates)))
    print(table(rows))
    if given.plots:
        draw(rows, tail, given.plots)


def embedded(given: argparse.Namespace, people: list[Identity]) -> tuple[str, Embedded]:
    """Everybody's photographs, by name, and the digest of the weights."""
    names = [f"{one.name}/{path.name}" for one in people for path in one.photographs]
    if given.embeddings and given.embeddings.is_file():
        with np.load(given.embeddings) as kept:
            by_name = dict(zip(kept["names"].tolist(), kept["vectors"], strict=True))
            digest = str(kept["digest"])
    else:
        weights = () if given.weights is None else (given.weights,)
        recogniser = load_recogniser(given.model, weights=weights, home=None, device="cpu")
        paths = [path for one in people for path in one.photographs]
        vectors = embed_photographs(paths, already_aligned(recogniser), root=given.people).vectors
        found = [(n, v) for n, v in zip(names, vectors, strict=True) if v is not None]
        by_name, digest = dict(found), recogniser.weights_digest
        if given.embeddings:
            kept_names, kept_vectors = zip(*found, strict=True)
            np.savez(
                given.embeddings, names=kept_names, vectors=np.stack(kept_vectors), digest=digest
            )
    return digest, {
        one.name: [by_name.get(f"{one.name}/{path.name}") for path in one.photographs]
        for one in people
    }


def of_draws(
    people: Embedded, tail: ImpostorTail, enrol: int, templates: int
) -> IdentificationResult:
    """Galleries of a size, drawn again and again."""
    return evaluate_identification(people, draws=DRAWS, enrol=enrol, templates=templates, tail=tail)


def of_one(
    found: Embedded,
    many: list[Identity],
    tested: list[Identity],
    tail: ImpostorTail,
    templates: int,
) -> list[IdentificationResult]:
    """Each person of many photographs, enrolled alone by the first of them."""
    names = {person.name for person in many}
    strangers = {one.name: found[one.name] for one in tested if one.name not in names}
    return [
        evaluate_gallery(
            {person.name: found[person.name][:templates]},
            {person.name: found[person.name][templates:], **strangers},
            tail=tail,
        )
        for person in many
        if len(found[person.name]) > templates
    ]


def table(rows: list[tuple[str, IdentificationResult | list[IdentificationResult]]]) -> str:
    """Everything as a table of Markdown."""
    lines = [
        "| enrolled | wanted | threshold | named, over wanted | FNIR there | rank-1 | strangers | "
        "probes of those enrolled |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size, results in rows:
        each = results if isinstance(results, list) else [results]
        for kinds in zip(*(result.promises for result in each), strict=True):
            first = kinds[0]
            if first.over_wanted is None:
                continue
            over = float(np.mean([one.named for one in kinds])) / first.wanted
            spread = "{:.2f}, {:.2f}".format(*(first.over_wanted_interval or (0, 0)))
            if len(kinds) > 1:
                values = [one.named / one.wanted for one in kinds]
                spread = f"each {', '.join(f'{value:.2f}' for value in values)}"
            missed = float(np.mean([one.missed or 0 for one in kinds]))
            ends = first.missed_interval
            of_missed = (
                f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends and len(kinds) < 2 else ""
            )
            rank_1 = float(np.mean([result.rank_1 or 0 for result in each]))
            lines.append(
                f"| {size} | {100 * first.wanted:g} % | {first.threshold:.3f} | "
                f"**{over:.2f}** [{spread}] | {100 * missed:.1f} %{of_missed} | "
                f"{100 * rank_1:.1f} % | {first.strangers:,} in {first.stranger_photographs:,} | "
                f"{sum(one.known for one in kinds):,} in "
                f"{sum(one.known_photographs for one in kinds):,} |"
            )
    return "\n".join(lines)


def draw(
    rows: list[tuple[str, IdentificationResult | list[IdentificationResult]]],
    tail: ImpostorTail,
    folder: Path,
) -> None:
    """The tail of similarities, and realised against wanted rates, into two pictures."""
    from matplotlib.figure import Figure

    from data.plotting import save_figure

    folder.mkdir(parents=True, exist_ok=True)
    rates, similarities = np.array(tail.quantiles).T
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    grid = np.linspace(tail.far_threshold(0.1), min(1.0, tail.far_threshold(1e-6)), 200)
    fitted = [tail.pairs_rate(float(at)) for at in grid]
    axes.fill_between(grid, [r.low for r in fitted], [r.high for r in fitted], alpha=0.2)
    axes.plot(grid, [r.rate for r in fitted], label="fitted, with its 95 % interval")
    axes.plot(similarities, rates, "o", ms=4, label="counted")
    axes.axhline(tail.counted, ls=":", color="grey", label="below: extrapolated")
    axes.set(yscale="log", xlim=(grid[0], grid[-1]), ylim=(1e-7, 0.2))
    axes.set(xlabel="cosine similarity of two people", ylabel="pairs that reach it")
    axes.legend()
    save_figure(figure, folder / "tails.png")

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.axhspan(0.5, 2, color="tab:green", alpha=0.1)
    axes.axhline(1, color="grey", lw=0.8)
    single = [(size, one) for size, one in rows if not isinstance(one, list)]
    for shift, wanted, colour in ((-0.1, 0.01, "tab:blue"), (0.1, 0.03, "tab:orange")):
        for place, (_, result) in enumerate(single):
            [kept] = [one for one in result.promises if one.wanted == wanted]
            if kept.over_wanted is None or kept.over_wanted_interval is None:
                continue
            low, high = kept.over_wanted_interval
            label = f"{100 * wanted:g} % wanted" if place == 0 else None
            axes.plot([place + shift] * 2, [low, high], color=colour)
            axes.plot(place + shift, kept.over_wanted, "o", color=colour, label=label)
    axes.set_xticks(range(len(single)), [size for size, _ in single])
    axes.set(yscale="log", ylim=(0.2, 5), xlabel="people, by so many photographs each")
    axes.set_ylabel("strangers named, over wanted")
    axes.minorticks_off()
    axes.set_yticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
    axes.legend()
    save_figure(figure, folder / "strangers-named.png")


if __name__ == "__main__":
    main()
