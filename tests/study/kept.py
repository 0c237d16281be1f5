"""Cells judged before, on disk: a study that was stopped goes on where it was."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import stream_hb
from stream_hb.statistics.columns import Floats
from tests.study.study import Replicates, run
from tests.study.worlds import World

HERE = Path(__file__).parent
PACKAGE = Path(stream_hb.__file__).parent


@dataclass(frozen=True, slots=True)
class Kept:
    """A directory with a file per cell.

    Attributes
    ----------
    directory
        Made when the first cell is written. A file's name says everything that its figures depend
        on: a cell of other code, seed or number of pools is another file.
    code
        What computes the figures, from :func:`fingerprint`.
    """

    directory: Path
    code: str

    def judged(self, world: World, pools: int, seed: tuple[int, ...]) -> Replicates:
        """Return what was kept of :func:`tests.study.study.run` with these arguments, or run it."""
        path = self.directory / f"{_name(world, pools, seed)}-{self.code}.npz"
        if path.exists():
            return _read(path, world)
        cell = run(world, pools, seed)
        _write(path, cell)
        return cell


def fingerprint(sources: Iterable[Path] | None = None) -> str:
    """Return twelve hexadecimal digits that change with the code (the models', the worlds')."""
    digest = hashlib.sha256()
    for path in _sources() if sources is None else sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _sources() -> list[Path]:
    rooms = (PACKAGE / "models", PACKAGE / "statistics")
    package = [path for room in rooms for path in sorted(room.rglob("*.py"))]
    return [*package, HERE / "study.py", HERE / "worlds.py"]


def _name(world: World, pools: int, seed: tuple[int, ...]) -> str:
    sizes = "flagship" if world.flagship else "equal"
    spread = "prior" if world.spread is None else f"{world.spread!r}"
    seeds = "-".join(map(str, seed))
    return f"{world.family}-{sizes}-{spread}-{world.groups_count}-{pools}-{seeds}"


def _write(path: Path, cell: Replicates) -> None:
    """Write under another name first: a run that is killed leaves no half of a cell behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    covered, errors = _prefixed("covered", cell.covered), _prefixed("mse", cell.squared_error)
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **covered, **errors)
    partial.replace(path)


def _read(path: Path, world: World) -> Replicates:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return Replicates(world, _of("covered", arrays), _of("mse", arrays))


def _prefixed(prefix: str, arrays: dict[str, Floats]) -> dict[str, Floats]:
    return {f"{prefix}.{name}": values for name, values in arrays.items()}


def _of(prefix: str, arrays: dict[str, Floats]) -> dict[str, Floats]:
    named = (name.partition(".") for name in arrays)
    return {name: arrays[f"{prefix}.{name}"] for first, _, name in named if first == prefix}
