"""`evaluate`: what is measured reaches the user whole, and what cannot be measured is refused."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from stand_in_tail import step_tail

from recognition.evaluation.embeddings import Finder
from ui.cli import embedding_options
from ui.cli.main import main
from ui.settings import Settings

PEOPLE = {"Ann": (255, 0, 0), "Bob": (0, 255, 0), "Cy": (0, 0, 255), "Di": (200, 200, 0)}


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A photograph's colour is its embedding; a black one has no face."""

    def find(images: Sequence[Image.Image]) -> list[list[npt.NDArray[np.float32]]]:
        colours = [np.array(image.getpixel((0, 0)), dtype=np.float32) for image in images]
        return [[c / np.linalg.norm(c)] if c.any() else [] for c in colours]

    monkeypatch.setattr(embedding_options, "plain_finder", lambda way, settings: find)
    monkeypatch.setattr("ui.cli.commands.evaluate._tail", lambda settings, way: None)


def photographs(root: Path, name: str, count: int, first: int = 1) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("RGB", (16, 16), PEOPLE[name]).save(root / name / f"{name}_{number:04d}.jpg")


@pytest.fixture
def lfw(tmp_path: Path) -> tuple[str, str]:
    """Two folds of two pairs each, as `--images` and `--pairs` name them."""
    for name in PEOPLE:
        photographs(tmp_path / "lfw", name, 2)
    lines = ["2\t1", "Ann\t1\t2", "Ann\t1\tBob\t1", "Cy\t1\t2", "Cy\t1\tDi\t1"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    return f"--images={tmp_path / 'lfw'}", f"--pairs={tmp_path / 'pairs.txt'}"


def test_lfw_gives_the_figures_as_json(
    lfw: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "lfw", *lfw, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["folds"] == [1.0, 1.0]
    assert result["mean"] == 1.0
    assert result["standard_error"] == 0.0
    assert result["auc"] == 1.0
    assert result["missed"] == 0
    assert result["tar_at_far"] == {"0.01": None, "0.001": None}
    assert (result["eer"], result["weighted_error"], result["false_accept_cost"]) == (0, 0, 10)
    low, high = result["intervals"]["mean"]
    assert 0 <= low < high == 1


def test_lfw_for_people_shows_a_dash_where_the_pairs_are_too_few(
    lfw: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "lfw", *lfw]) == 0
    out = capsys.readouterr().out
    assert "mean accuracy: 100.00 % [" in out
    assert "equal error rate: 0.00 % [" in out
    assert "weighted error, false accepts × 10: 0.00 %" in out
    assert "TAR at FAR 1.0 %: –" in out
    assert "without a face: 0 photographs" in out


def test_lfw_compares_two_sets_of_weights(
    lfw: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = embedding_options.plain_finder

    def finder(way: embedding_options.Way, settings: Settings) -> Finder:
        """The second weights find everybody alike."""
        if settings.weights == Path("b"):
            return lambda images: [[np.array([1, 0, 0], dtype=np.float32)] for _ in images]
        return find(way, settings)

    monkeypatch.setattr(embedding_options, "plain_finder", finder)
    both = [*lfw, "--weights=a", "--compare=b"]
    assert main(["evaluate", "lfw", *both, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["first"]["auc"], result["second"]["auc"]) == (1, 0.5)
    assert result["difference"]["auc"]["value"] == 0.5
    low, high = result["difference"]["auc"]["interval"]
    assert low <= 0.5 <= high
    assert main(["evaluate", "lfw", *both]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["", "first", "second", "difference"]
    area = next(row for row in rows if row[0] == "area under the ROC curve")
    assert [cell.split(" [")[0] for cell in area[1:]] == ["100.00 %", "50.00 %", "50.00 %"]


def test_an_ensemble_and_mirroring_reach_every_network(
    lfw: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = embedding_options.plain_finder
    asked: list[tuple[str, bool | None]] = []

    def finder(way: embedding_options.Way, settings: Settings) -> Finder:
        asked.append((str(settings.weights), way.mirror))
        return find(way, settings)

    monkeypatch.setattr(embedding_options, "plain_finder", finder)
    options = ["--weights=a", "--ensemble=b", "--ensemble=c", "--no-mirror", "--json"]
    assert main(["evaluate", "lfw", *lfw, *options]) == 0
    assert asked == [("a", False), ("b", False), ("c", False)]
    assert json.loads(capsys.readouterr().out)["mean"] == 1


def test_what_joins_an_ensemble_is_named_by_its_model_or_its_file(
    lfw: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = embedding_options.plain_finder
    asked: list[tuple[str | None, Path | None]] = []

    def finder(way: embedding_options.Way, settings: Settings) -> Finder:
        asked.append((settings.model, settings.weights))
        return find(way, settings)

    monkeypatch.setattr(embedding_options, "plain_finder", finder)
    options = ["--weights=a", "--ensemble=iresnet_se", "--ensemble=b", "--compare=mobilefacenet"]
    assert main(["evaluate", "lfw", *lfw, *options]) == 0
    capsys.readouterr()
    assert asked == [
        (None, Path("a")),
        ("iresnet_se", None),
        (None, Path("b")),
        ("mobilefacenet", None),
    ]


@pytest.mark.parametrize("cost", ["0", "-1", "nan", "inf", "x"])
def test_a_cost_that_is_none_is_refused(
    lfw: tuple[str, str], cost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "lfw", *lfw, f"--false-accept-cost={cost}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("folds", "count"), [("2", 1), ("1-2", 2), ("2,1", 2), (" 1 - 2 ", 2)])
def test_folds_are_chosen_by_number(
    lfw: tuple[str, str], folds: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "lfw", *lfw, "--folds", folds, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["folds"]) == count


@pytest.mark.parametrize("folds", ["", "x", "0", "3", "2-1", "1,1", "1-", "-1", "1-99999"])
def test_folds_that_are_not_there_are_refused(
    lfw: tuple[str, str], folds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "lfw", *lfw, f"--folds={folds}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unreadable_photograph_is_named_and_the_rest_measured(
    lfw: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Path(lfw[0].removeprefix("--images=")) / "Di" / "Di_0001.jpg"
    bad.write_bytes(b"broken")
    assert main(["evaluate", "lfw", *lfw, "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["missed"] == 1
    assert err.count(str(bad)) == 1


def test_missing_files_are_two(lfw: tuple[str, str], tmp_path: Path) -> None:
    assert main(["evaluate", "lfw", f"--images={tmp_path / 'no'}", lfw[1]]) == 2
    assert main(["evaluate", "lfw", lfw[0], f"--pairs={tmp_path / 'no.txt'}"]) == 2


def test_identify_searches_a_gallery_for_probes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Ann", "Bob"):
        photographs(tmp_path / "gallery", name, 1)
        photographs(tmp_path / "probes", name, 2)
    photographs(tmp_path / "probes", "Cy", 12)
    folders = [f"--gallery={tmp_path / 'gallery'}", f"--probes={tmp_path / 'probes'}"]
    assert main(["evaluate", "identify", *folders, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rank_1"] == 1.0
    assert (result["enrolled"], result["known_probes"], result["stranger_probes"]) == (2, 4, 12)
    assert main(["evaluate", "identify", *folders]) == 0
    assert "2 people enrolled, 4 probes of them, 12 of strangers; 1 draw" in capsys.readouterr().out


def test_identify_draws_among_those_on_a_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in PEOPLE:
        photographs(tmp_path / "people", name, 3)
    (tmp_path / "list.txt").write_text("Ann 3\nBob\n\nZoe\n")
    options = [f"--people={tmp_path / 'people'}", "--draws=5", "--json"]
    assert main(["evaluate", "identify", *options]) == 0
    everyone = json.loads(capsys.readouterr().out)
    assert (everyone["draws"], everyone["enrolled"]) == (5, 2)
    listed = [f"--identities={tmp_path / 'list.txt'}"]
    assert main(["evaluate", "identify", *options, *listed]) == 0
    assert json.loads(capsys.readouterr().out)["enrolled"] == 1
    (tmp_path / "list.txt").write_text("Zoe\n")
    assert main(["evaluate", "identify", *options, *listed]) == 2


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--gallery=a"],
        ["--probes=a"],
        ["--people=a", "--gallery=b"],
        ["--gallery=a", "--probes=b", "--identities=c"],
        ["--gallery=a", "--probes=b", "--leave-out=c"],
        ["--gallery=a", "--probes=b", "--enrol=3"],
        ["--gallery=a", "--probes=b", "--templates=1"],
        ["--gallery=a", "--probes=b", "--draws=200"],
        ["--gallery=a", "--probes=b", "--seed=0"],
        ["--people=a", "--templates=2"],
        ["--people=a", "--confusable=0.2"],
        ["--people=no-such-folder"],
        ["--people=a", "--draws=0"],
    ],
)
def test_identify_needs_one_protocol(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "identify", *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert ("no-such-folder" in said) == (options == ["--people=no-such-folder"]), (
        "a folder was looked at"
    )


@pytest.mark.parametrize("second", [["--compare=b"], ["--compare-detector=frontal"], []])
def test_whoever_is_left_out_is_so_with_specialists_too(
    tmp_path: Path, second: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in PEOPLE:
        photographs(tmp_path / "people", name, 3)
    (tmp_path / "out.txt").write_text("Di\n")
    options = ["--leave-out", str(tmp_path / "out.txt"), "--enrol=1", "--templates=2", "--draws=4"]
    people = [f"--people={tmp_path / 'people'}", *options, *second, "--json"]
    assert main(["evaluate", "identify", *people, "--specialist=c"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = told["first"] if second else told
    assert (found["enrolled"], found["known_probes"], found["stranger_probes"]) == (1, 1, 6)
    average = found["specialists"]["average"]
    assert (average["enrolled"], average["stranger_probes"]) == (1, 6)


@pytest.mark.parametrize("specialist", [[], ["--specialist=c"]])
@pytest.mark.parametrize(
    ("option", "promised"), [("--compare=b", [0.2]), ("--compare-detector=mtcnn", [])]
)
def test_what_each_network_promises_is_its_own_weights_word(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    specialist: list[str],
    option: str,
    promised: list[float],
) -> None:
    """Both are measured by the same searches, so that a threshold tells whose tail was asked."""
    for name in PEOPLE:
        photographs(tmp_path / "people", name, 3)
    monkeypatch.setattr(
        "ui.cli.commands.evaluate._tail",
        lambda settings, way: (
            step_tail({"a": 0.1, "b": 0.2}[str(settings.weights)]) if way.detector is None else None
        ),
    )
    people = [f"--people={tmp_path / 'people'}", "--draws=2", "--weights=a", "--json"]
    assert main(["evaluate", "identify", *people, option, *specialist]) == 0
    told = json.loads(capsys.readouterr().out)

    def thresholds(of: str) -> list[float]:
        return sorted({round(one["threshold"], 3) for one in told[of]["promises"]})

    assert thresholds("first") == ([] if specialist else [0.1])
    assert thresholds("second") == promised


def test_specialists_are_compared_with_the_generalist_and_the_average(
    lfw: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--weights=a", "--specialist=b", "--specialist=c", "--confusable=0.5"]
    assert main(["evaluate", "lfw", *lfw, *options, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    told = result["specialists"]
    assert result["mean"] == told["generalist"]["mean"] == told["average"]["mean"] == 1
    assert 0 < told["asked"] <= told["comparisons"] == 4
    assert told["difference_to_average"]["auc"]["value"] == 0
    assert main(["evaluate", "lfw", *lfw, *options]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "\tgeneralist\twith specialists\taverage\tless generalist\tless average\n"
    )
    assert "the specialists were asked about" in out
    people = f"--people={tmp_path / 'lfw'}"
    assert main(["evaluate", "identify", people, "--draws=3", *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["specialists"]
    assert (told["average"]["rank_1"], told["asked"]) == (1, told["comparisons"])
    assert main(["evaluate", "identify", people, "--draws=3", *options]) == 0


def test_identify_compares_two_sets_of_weights(
    lfw: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = [f"--people={tmp_path / 'lfw'}", "--draws=3", "--weights=a", "--compare=b"]
    assert main(["evaluate", "identify", *options, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["first"] == result["second"]
    assert result["difference"]["rank_1"] == {"value": 0, "interval": [0, 0]}
    assert main(["evaluate", "identify", *options]) == 0
    assert capsys.readouterr().out.startswith("\tfirst\tsecond\tdifference\nrank-1\t100.00 %")


def test_grey_photographs_have_no_colour(
    lfw: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from recognition.evaluation import embeddings

    aligned = [f"--images={lfw[0].removeprefix('--images=')}", lfw[1]]
    seen: list[tuple[int, ...]] = []
    find = embedding_options.plain_finder

    def finder(way: embedding_options.Way, settings: Settings) -> Finder:
        assert way.grey

        def look(images: Sequence[Image.Image]) -> Sequence[Sequence[npt.NDArray[np.float32]]]:
            seen.extend(image.getpixel((0, 0)) for image in images)
            return find(way, settings)(images)

        return embeddings.in_grey(look)

    monkeypatch.setattr(embedding_options, "plain_finder", finder)
    assert main(["evaluate", "lfw", *aligned, "--grey", "--json"]) == 0
    assert len(seen) == 6
    assert all(red == green == blue for red, green, blue in seen)
    assert json.loads(capsys.readouterr().out)["auc"] == 0.5  # all grey is one direction


@pytest.mark.parametrize("kind", ["pca", "zca"])
def test_whitening_is_fitted_on_other_people(
    lfw: tuple[str, str], tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        folder = tmp_path / "train" / f"person{number}"
        folder.mkdir(parents=True)
        colour = tuple(np.random.default_rng(number).integers(1, 255, 3).tolist())
        Image.new("RGB", (16, 16), colour).save(folder / "1.jpg")
    options = [f"--whiten={kind}", f"--whiten-on={tmp_path / 'train'}"]
    assert main(["evaluate", "lfw", *lfw, *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"] == 1
    (tmp_path / "train" / "person1").rename(tmp_path / "train" / "ANN")
    assert main(["evaluate", "lfw", *lfw, *options]) == 2
    assert "are in the test too, as ANN" in capsys.readouterr().err
    (tmp_path / "list").write_text("person2\nperson3\nperson4\n")
    assert (
        main(["evaluate", "lfw", *lfw, *options, f"--whiten-identities={tmp_path / 'list'}"]) == 0
    )


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_plot_is_drawn_beside_the_figures(
    lfw: tuple[str, str], tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    plot = tmp_path / f"plot.{suffix}"
    people = [f"--people={tmp_path / 'lfw'}", "--draws=2"]
    for command in (["lfw", *lfw], ["lfw", *lfw, "--compare=b"], ["identify", *people]):
        assert main(["evaluate", *command, f"--plot={plot}"]) == 0
        assert plot.read_bytes().startswith(starts[suffix])
        plot.unlink()


@pytest.mark.parametrize(
    "option",
    [
        "--plot=no-such-folder/a.png",
        "--plot=a.txt",
        "--plot=.png",
        "--confusable=0",
        "--confusable=nan",
        "--whiten=pca",
        "--whiten=ica",
        "--whiten-on=.",
        "--whiten-dimension=3",
        "--whiten-identities=list",
    ],
)
@pytest.mark.parametrize("command", ["lfw", "identify"])
def test_options_that_cannot_be_are_refused_before_any_work(
    lfw: tuple[str, str],
    tmp_path: Path,
    command: str,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        embedding_options, "plain_finder", lambda way, settings: pytest.fail("it began")
    )
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    data = list(lfw) if command == "lfw" else [f"--people={tmp_path / 'lfw'}"]
    assert main(["evaluate", command, *data, option]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("options", [[], ["--specialist=other"]])
def test_cfp_tells_frontal_pairs_from_those_with_a_profile(
    tmp_path: Path,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(embedding_options, "other_network", lambda settings, name: settings)
    for name in PEOPLE:
        photographs(tmp_path / "cfp", name, 14)
    black = tmp_path / "cfp" / "Bob" / "Bob_0014.jpg"
    Image.new("RGB", (16, 16)).save(black)
    pairs = ["Ann\t1\t2", "Bob\t1\t14", "Ann\t1\tBob\t2", "Ann\t1\tBob\t11"]
    pairs += ["Cy\t1\t3", "Di\t1\t11", "Cy\t1\tDi\t1", "Cy\t1\tDi\t12"]
    (tmp_path / "pairs.txt").write_text("\n".join(["2\t2", *pairs]) + "\n")
    given = [f"--images={tmp_path / 'cfp'}", f"--pairs={tmp_path / 'pairs.txt'}", "--layout=cfp"]
    assert main(["evaluate", "lfw", *given, *options, "--json"]) == 0
    frontal, profile = json.loads(capsys.readouterr().out)["by_view"]["pairs"]
    assert (frontal["views"], profile["views"]) == (["frontal"] * 2, ["frontal", "profile"])
    assert (frontal["genuine"], frontal["impostor"], frontal["accuracy"]) == (2, 2, 1.0)
    assert (profile["accuracy"], profile["missed_pairs"]) == (0.75, 1)
    assert main(["evaluate", "lfw", *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("frontal with profile: accuracy 75.00 %") for line in lines)
    assert "profile: no face in 1 of 4 photographs" in lines
