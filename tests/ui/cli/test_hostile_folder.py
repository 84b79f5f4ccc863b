"""Commands other than `app`, run in a folder that somebody else has filled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import hostile
from PIL import Image

COMMANDS = [
    ["people", "list"],
    ["gallery", "audit"],
]

PROGRAM = f"""
import sys
from ui.cli.main import main
for words in {COMMANDS!r}:
    main(words)
from data.plotting import new_figure
figure, _ = new_figure()
print("colour", figure.get_facecolor())
import matplotlib
print("tex", matplotlib.rcParams["text.usetex"])
print("from here", [name for name, module in sys.modules.items()
                    if (getattr(module, "__file__", None) or "").startswith(sys.argv[1])])
"""


def test_nothing_in_the_folder_is_imported_or_read_as_settings(tmp_path: Path) -> None:
    folder = hostile(tmp_path / "downloads")
    with (folder / "matplotlibrc").open("a") as file:
        file.write("figure.facecolor: red\n")
    # As the console script is started: without the folder in the search path.
    found = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(folder)],
        cwd=folder,
        env=os.environ | {"LIKENESS_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "colour (1.0, 1.0, 1.0, 1.0)" in found.stdout
    assert "tex False" in found.stdout
    assert "from here []" in found.stdout
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("words", [["align", "photographs", "faces", "--workers", "2"]])
def test_processes_that_a_command_starts_import_nothing_from_the_folder(
    tmp_path: Path, words: list[str]
) -> None:
    folder = hostile(tmp_path / "downloads")
    (folder / "photographs" / "Ann").mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(
            folder / "photographs" / "Ann" / f"{number}.png"
        )
    script = tmp_path / "bin" / "likeness"  # as pip writes it: its own folder leads the search path
    script.parent.mkdir()
    script.write_text("from ui.cli.start import run\n\nif __name__ == '__main__':\n    run()\n")
    done = subprocess.run(
        [sys.executable, script, *words],
        cwd=folder,
        env=os.environ | {"LIKENESS_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert not (folder / "ran").exists()
    assert done.returncode == 1, done.stderr  # they are photographs of nobody
    assert "no face found" in done.stderr
