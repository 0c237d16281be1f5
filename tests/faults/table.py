"""The table at the end of a run of faults, as the README shows it."""

from tests.faults.verify import Verdict

HEAD = ("fault", "events", "records", "violations", "drained in")
rows: list[tuple[str, ...]] = []


def add_row(faults: str, verdict: Verdict, drained: str = "") -> None:
    counts = (verdict.events, verdict.records, len(verdict.violations))
    rows.append((faults, *(f"{count:,}" for count in counts), drained))


def table() -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (HEAD, ("---",) * len(HEAD), *rows)]
