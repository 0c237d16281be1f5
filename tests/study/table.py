"""The study as Markdown: every cell, what it missed, and the short table of the README."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from tests.study.study import LEVELS, Replicates
from tests.study.targets import misses
from tests.study.worlds import World

ESTIMATORS = ("bayes", "ml", "reml", "pooled", "oracle")


def full_table(cells: Sequence[Replicates]) -> str:
    """Return a row per cell: coverage of 50, 80, 95 % by method, MSE over that of the raw means."""
    head = ("family", "sizes", "spread", "J", *(f"{m} 50, 80, 95" for m in ESTIMATORS[:3]))
    head += ("± at 95", *(f"MSE {name}" for name in ESTIMATORS), "kept")
    return _markdown(head, map(_row, cells))


def short_table(cells: Sequence[Replicates]) -> str:
    """Return a row per family, J and way of drawing: the least coverage of 95 % intervals."""
    head = ("family", "groups", "spread", "bayes, least", "ml, least", "reml, least", "MSE, most")
    return _markdown(head, [_short_row(list(some)) for _, some in groupby(cells, _kind_of_cell)])


def missed(cells: Iterable[Replicates]) -> str:
    """Return a line per miss."""
    lines = [f"- {name_of(cell.world)}: {miss}" for cell in cells for miss in misses(cell)]
    return "\n".join(lines) or "None."


def name_of(world: World) -> str:
    """Return a cell's name."""
    return f"{world.family}, {_sizes(world)}, spread {_spread(world)}, J = {world.groups_count}"


def _row(cell: Replicates) -> list[str]:
    world = cell.world
    where = [world.family, _sizes(world), _spread(world), str(world.groups_count)]
    coverage = [_coverages(cell, method) for method in ESTIMATORS[:3]]
    error = f"{cell.coverage('bayes')[1][-1]:.4f}"
    relative = [_relative_mse(cell, name) for name in ESTIMATORS]
    return [*where, *coverage, error, *relative, "no" if misses(cell) else "yes"]


def _coverages(cell: Replicates, method: str) -> str:
    if method not in cell.covered:
        return ""
    return " ".join(f"{share:.3f}" for share in cell.coverage(method)[0])


def _relative_mse(cell: Replicates, estimator: str) -> str:
    if estimator not in cell.squared_error:
        return ""
    return f"{cell.mean_squared_error(estimator) / cell.mean_squared_error('raw'):.3f}"


def _kind_of_cell(cell: Replicates) -> tuple[str, int, bool]:
    return cell.world.family, cell.world.groups_count, cell.world.spread is None


def _short_row(cells: list[Replicates]) -> list[str]:
    family, groups_count, drawn = _kind_of_cell(cells[0])
    least = [_least(cells, method) for method in ESTIMATORS[:3]]
    ratios = [c.mean_squared_error("bayes") / c.mean_squared_error("raw") for c in cells]
    spread = "from the prior" if drawn else "fixed"
    return [family, str(groups_count), spread, *least, f"{max(ratios):.3f} of raw"]


def _least(cells: list[Replicates], method: str) -> str:
    if method not in cells[0].covered:
        return ""
    return f"{min(cell.coverage(method)[0][LEVELS.index(0.95)] for cell in cells):.3f}"


def _sizes(world: World) -> str:
    return "one flagship" if world.flagship else "equal"


def _spread(world: World) -> str:
    return "from the prior" if world.spread is None else f"{world.spread:.3g}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
