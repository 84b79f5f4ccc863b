"""An alignment in a process of its own, for the kill test: `SRC DST`."""

import sys
from pathlib import Path

from recognition.learning.folder_alignment import AlignmentConfig, align_folder

if __name__ == "__main__":
    source, destination = map(Path, sys.argv[1:])
    align_folder(AlignmentConfig(source=source, destination=destination, workers=1))
