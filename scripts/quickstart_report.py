"""The quickstart's story in one table and one picture: masked accuracy and task scores before and after pre-training.

python scripts/quickstart_report.py --mlm mlm.json --results outputs --runs CHECKPOINTS/RUN ... --out FOLDER
"""

import argparse
import json
from pathlib import Path

from bioclinical.errors import run_cli
from bioclinical.files import make_folder, write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlm", type=Path, required=True, help="what evaluate_mlm.py --output wrote")
    parser.add_argument("--results", type=Path, required=True, help="folder of main.py's results")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run folders, in the order of the phases")
    parser.add_argument("--out", type=Path, required=True, help="folder for story.txt and story.png")
    args = parser.parse_args()
    from bioclinical.report.story import draw, tell  # pandas, SciPy and matplotlib: seconds

    mlm = json.loads(args.mlm.read_text(encoding="utf-8"))
    story = tell({Path(model).name: values["MaskedAccuracy"] for model, values in mlm.items()}, args.results)
    make_folder(args.out)
    text = story.text.to_string()
    write_text(args.out / "story.txt", text + "\n")
    draw(story.means, args.runs).savefig(args.out / "story.png", dpi=120, bbox_inches="tight")
    print(f"{text}\n\nwritten: {args.out}/story.txt, {args.out}/story.png")


if __name__ == "__main__":
    run_cli(main)
