"""Every public benchmark of prediction quality, in one run: `make bench-quality`.

`python -m benchmarks.quality.bench_quality --help`; each part is a command of its own too. `--quick` takes some
minutes and shows that everything runs. The logs of the next event are no part of the project: `--logs FOLDER`.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.lines import Lines, progress
from benchmarks.quality import cdnow, complete_journey, next_event, simulator, ta_feng
from benchmarks.quality.options import RESULTS, options

PARTS = {
    "cdnow": cdnow.run,
    "ta_feng": ta_feng.run,
    "complete_journey": complete_journey.run,
    "simulator": simulator.run,
    "next_event": next_event.run,
}


def main() -> None:
    """Run all, the slowest last; a file of lines each."""
    chosen = options(__doc__, "all")
    folder = chosen.folder if chosen.quick else RESULTS
    for name, run in PARTS.items():
        if name == "next_event" and chosen.logs is None:
            progress("next event: left out, give the folder of the logs (--logs)")
            continue
        out = folder / f"{'quick-' if chosen.quick else ''}{name}.jsonl"
        run(replace(chosen, out=out), Lines(out, targets=not chosen.quick))


if __name__ == "__main__":
    main()
