"""Commands other than `app`, run in a folder that somebody else has filled."""

import os
import subprocess
import sys
from pathlib import Path

from hostile import hostile

COMMANDS = [
    ["people", "list"],
    ["gallery", "audit"],
]

PROGRAM = f"""
import sys
from ui.cli import main
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
