"""Tells how well `lcam-host analyze` found what plant_faults.py had planted.

    python check_faults.py FOLDER

FOLDER holds planted.json, of plant_faults.py, and analysis.json, of `lcam-host analyze --json`. Ends with 1 if a fault was missed
or, in a clean folder, one was found.
"""

import json
import sys
from pathlib import Path


def hits(found: list[str], planted: list[str]) -> str:
    names = {Path(path).name for path in found}
    both = len(names & set(planted))
    precision, recall = both / max(len(names), 1), both / len(planted)
    return f"precision {precision:.2f}, recall {recall:.2f}"


def main(folder: Path) -> None:
    planted = json.loads((folder / "planted.json").read_text())
    found = json.loads((folder / "analysis.json").read_text())["findings"]
    faults = [finding for finding in found if finding["kind"] != "slice"]
    if "mark" not in planted:
        print(f"{folder.name}: {len(faults)} faults found in clean pictures")
        sys.exit(bool(faults))
    ranks = {}
    for rank, finding in enumerate(found, 1):
        ranks.setdefault((finding["kind"], *finding["classes"][:1 if finding["kind"] != "label-noise" else 0]), (rank, finding))
    missed = (0, {"pictures": [], "place": None, "effect": {"mean": 0}})
    rank, shortcut = ranks.get(("shortcut", planted["mark"]["class"]), missed)
    print(f"{folder.name}: mark: rank {rank}, {shortcut['place']} (planted: {planted['mark']['place']}), effect {shortcut['effect']['mean']:.2f}")
    background_rank, background = ranks.get(("background", planted["background"]["class"]), missed)
    print(f"  background: rank {background_rank}, effect {background['effect']['mean']:.2f}, pictures {hits(background['pictures'], planted['on_background'])}")
    labels_rank, labels = ranks.get(("label-noise",), missed)
    print(f"  labels: rank {labels_rank}, effect {labels['effect']['mean']:.2f}, pictures {hits(labels['pictures'], planted['swapped'])}")
    first = sorted((rank, background_rank, labels_rank)) == [1, 2, 3]
    sys.exit(not (first and shortcut["place"] == planted["mark"]["place"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
