"""The stores table as a file: what it says, and where it is wrong."""

from pathlib import Path

import pytest

from stream_hb.errors import TableError
from stream_hb.runtime.stores_file import covariate_names, read_stores
from stream_hb.stores import NEVER_MS

WHOLE = """\
store_id,chain_id,region,time_zone,opened,retired,size,format
a,north,ost,Europe/Berlin,2020-01-01,2026-03-29,120.5,express
b,,west,,,,,super

c,north,ost,UTC,,2026-03-29,80,express
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "stores.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_table(tmp_path: Path) -> None:
    stores = read_stores(written(tmp_path, WHOLE), "main", ["size", "format"])
    assert stores.keys == [("north", "a"), ("main", "b"), ("north", "c")]
    assert stores.regions.tolist() == [0, 1, 0]
    assert stores.columns_of == {
        "region": ("region=west",),
        "size": ("size",),
        "format": ("format=super",),
    }
    assert stores.covariates["size"].tolist() == [120.5, 100.25, 80]
    assert stores.covariates["format=super"].tolist() == [0, 1, 0]


def test_a_day_of_retirement_begins_at_the_stores_place(tmp_path: Path) -> None:
    """The day of 2026-03-29 begins in Berlin at 23:00 UTC of the day before."""
    retired_ms = read_stores(written(tmp_path, WHOLE), "main").retired_ms
    assert retired_ms.tolist() == [1_774_738_800_000, NEVER_MS, 1_774_742_400_000]


def test_only_the_store_has_to_be_told(tmp_path: Path) -> None:
    stores = read_stores(written(tmp_path, "store_id\na\nb\n"), "main")
    assert stores.keys == [("main", "a"), ("main", "b")]
    assert stores.regions.tolist() == [-1, -1]


def test_columns_without_a_meaning_of_their_own_are_covariates(tmp_path: Path) -> None:
    assert covariate_names(written(tmp_path, WHOLE)) == ["region", "size", "format"]


def test_columns_that_no_model_uses_may_hold_anything(tmp_path: Path) -> None:
    text = "store_id,manager,phone\n" + "".join(f"s{i},name {i},{i}-x\n" for i in range(99))
    stores = read_stores(written(tmp_path, text + "t,x,0049\n"), "main")
    assert stores.columns_of == {"manager": (), "phone": ()}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty; its first line should name the columns"),
        ("store_id\n", "has a header but no stores"),
        ("store,size\na,1\n", "no column 'store_id'; did you mean 'store'?"),
        ("store_id,size,size\na,1,1\n", "two columns are called 'size'"),
        ("store_id,size\na\n", "line 2: 1 fields, but the header has 2"),
        ("store_id,size\na,1\n,2\n", "line 3: column 'store_id': expected 1 to 64 of"),
        ("store_id\na b\n", "line 2: column 'store_id': expected 1 to 64 of"),
        ("store_id,chain_id\na,c|d\n", "line 2: column 'chain_id': expected 1 to 64 of"),
        ("store_id,size\na,1\n\nb,big\n", "line 4: column 'size': expected a number of at"),
        ("store_id,size\na,nan\n", "line 2: column 'size': expected a number of at"),
        ("store_id,size\na,1e10\n", "line 2: column 'size': expected a number of at"),
        ("store_id,opened\na,01.02.2026\n", "line 2: column 'opened': expected a date like"),
        ("store_id,retired\na,soon\n", "line 2: column 'retired': expected a date like"),
        ("store_id,opened,retired\na,2026-01-02,2026-01-01\n", "line 2: retired on 2026-01-01, b"),
        ("store_id,time_zone\na,Mars/Phobos\n", "line 2: column 'time_zone': 'Mars/Phobos' is no"),
        ("store_id,time_zone\na,../etc\n", "line 2: column 'time_zone': '../etc' is no IANA"),
        ("store_id\na\nb\na\n", "line 4: store 'a' of chain 'main' stands in line 2 already"),
        ('store_id\n"a\n', "line 2: not CSV"),
        (
            "store_id,size\n" + "".join(f"s{i},kind {i}\n" for i in range(17)),
            "line 2: column 'size': 17 different texts, at most 16",
        ),
    ],
)
def test_a_fault_is_named_by_file_and_line(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TableError) as caught:
        read_stores(path, "main", ["size"] if "size" in text else [])
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"stores.csv: cannot be read: No such file"):
        read_stores(tmp_path / "stores.csv", "main")
    (tmp_path / "stores.csv").write_bytes(b"store_id\ncaf\xe9\n")
    with pytest.raises(TableError, match=r"stores.csv: is not UTF-8 text: byte 12"):
        read_stores(tmp_path / "stores.csv", "main")
