"""Draw the people who are kept out of every training: the lists lfw-kept-out-*.txt.

    python recipes/keep_out.py --photographs var/lfw-112 \
        --identities ../shared/datasets/lfw/train-identities.txt

600 people for the tails of impostor similarities, 600 others for the test of open-set
identification; neither list shares anybody with the other, or with fold 9. Drawn alike for both,
by how many photographs there are of a person: a test enrols 200 people once and up to 43 three
times, and needs another photograph of each to search with; one person with 70 or more shows what
many templates do. Everybody else of `train-identities.txt` may be trained on.
"""

import argparse
import random
from pathlib import Path

STRATA = ((1, 1, 380), (2, 2, 110), (3, 3, 40), (4, 9, 54), (10, 19, 11), (20, 69, 4), (70, 999, 1))
"""Fewest and most photographs of a person, and how many such people each list holds."""
SEED = 20261130


def draw(photographs: dict[str, int]) -> tuple[list[str], list[str]]:
    """The people of the tails and of the test, sorted, from the photographs there are of each."""
    rng = random.Random(SEED)
    tails: list[str] = []
    test: list[str] = []
    for fewest, most, each in STRATA:
        people = sorted(name for name, count in photographs.items() if fewest <= count <= most)
        drawn = rng.sample(people, 2 * each)
        tails += drawn[:each]
        test += drawn[each:]
    return sorted(tails), sorted(test)


def main() -> None:
    """Count the photographs, draw, and write both lists."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photographs", type=Path, required=True, help="<name>/<photograph>")
    parser.add_argument("--identities", type=Path, required=True, help="who may be kept out")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    names = arguments.identities.read_text(encoding="utf-8").split()
    counts = {name: len(list((arguments.photographs / name).glob("*.jpg"))) for name in names}
    for use, people in zip(("tails", "test"), draw(counts), strict=True):
        path = arguments.out / f"lfw-kept-out-{use}.txt"
        path.write_text("".join(f"{name}\n" for name in people), encoding="utf-8")
        print(f"{path}: {len(people)} people, {sum(counts[name] for name in people)} photographs")


if __name__ == "__main__":
    main()
