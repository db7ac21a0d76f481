"""`make demo`: learn web pages and forecast the air, and say how well it went.

    python examples/demo.py [FOLDER]

Writes reports and pictures into FOLDER, by default `out/demo`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from localprop.online.learn import Result, learn
from localprop.online.settings import Settings
from localprop.report.folder import check_folder
from localprop.report.learn_report import summary, write_report

HERE = Path(__file__).parent
EXAMPLES = {
    "phishing": ("phishing.csv", Settings(target="is_phishing")),
    "co2": ("co2.csv", Settings(target="co2", horizon=13)),
}
SAYS = {
    "phishing": "Which web pages are phishing? Every page is judged first, then learned.",
    "co2": "How much CO2 will be in the air in 13 weeks? Forecast first, learned later.",
}


def main() -> None:
    """Learns both examples with no setting but the target."""
    console = Console()
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo")
    results: dict[str, tuple[Result, Path]] = {}
    for name, (file, settings) in EXAMPLES.items():
        console.rule(SAYS[name])
        check_folder(folder / name)
        result, score = learn(HERE / file, settings)
        files = write_report(folder / name, file, result, score, "make demo")
        console.print(summary(file, result, files))
        results[name] = result, folder / name / "learning_curve.png"
    console.rule("In short")
    for name, (result, picture) in results.items():
        baseline = result.baseline
        console.print(
            f"{name}: {result.metric} {result.score:.3f} against {baseline['score']:.3f} "
            f"({baseline['name']}); picture: {picture}",
            soft_wrap=True,
            highlight=False,
        )


if __name__ == "__main__":
    main()
