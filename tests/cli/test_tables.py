"""CSV tables: every mistake is named by line and column."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stream_hb.cli.tables import Table, open_table
from stream_hb.errors import TableError


def read(folder: Path, content: str | bytes, columns: Sequence[str] = ("x", "y")) -> Table:
    path = folder / "t.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with open_table(str(path)) as reader:
        return reader.read(columns)


def test_columns_are_found_by_name_in_any_order_among_others(tmp_path: Path) -> None:
    table = read(tmp_path, 'y,note,group,x\n2,"a, b",first,1\n\n4,,"the, second",3e-1\n')
    assert table.names == ["first", "the, second"]
    assert table.columns["x"].tolist() == [1.0, 0.3]
    assert table.columns["y"].tolist() == [2.0, 4.0]
    assert table.lines.tolist() == [2, 4]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfgroup,x,y\na,1,2\n",
        b"group,x,y\r\na,1,2\r\n",
        b" group , x,y\n a , 1 ,2",
        b"\ngroup,x,y\na,1,2\n\n\n",
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, content: bytes) -> None:
    table = read(tmp_path, content)
    assert (table.names, table.columns["x"].tolist()) == (["a"], [1.0])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty; its first line should name the columns"),
        ("\n\n", "is empty"),
        ("group,x,y\n", "has a header but no rows"),
        ("group,x,x,y\na,1,2,3\n", "two columns are called 'x'"),
        ("grup,x,y\na,1,2\n", "no column 'group' (did you mean 'grup'?); it has grup,x,y"),
        ("group,x,y\na,1,2\nb,1\n", "line 3: 2 fields, but the header has 3"),
        ("group,x,y\na,1,2,3\n", "line 2: 4 fields, but the header has 3"),
        ("group,x,y\na,1,2\n\na,3,4\n", "line 4: column 'group': 'a' a second time"),
        ("group,x,y\n,1,2\n", "line 2: column 'group': no group name"),
        ("group,x,y\na,1,two\n", "line 2: column 'y': 'two' is not a number"),
        ('group,x,y\n"a,1,2\n', "not CSV: unexpected end of data"),
        (b"group,x,y\n\xff,1,2\n", "line 1: not UTF-8 text"),
        (b"\x1f\x8b\x08\x00\xff", "not UTF-8 text"),
    ],
)
def test_a_wrong_table_is_one_line_that_says_where(
    tmp_path: Path, content: str | bytes, problem: str
) -> None:
    with pytest.raises(TableError) as caught:
        read(tmp_path, content)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "t.csv"))
    assert "\n" not in str(caught.value)


def test_a_packed_table_is_read_as_it_would_be_unpacked(tmp_path: Path) -> None:
    """As ``convert`` and ``replay`` do; wrong before: it was told that it is no text."""
    path = tmp_path / "t.csv.gz"
    packed = gzip.compress(b"group,x\na,1\nb,2\n")
    path.write_bytes(packed)
    with open_table(str(path)) as reader:
        assert reader.read(["x"]).columns["x"].tolist() == [1, 2]
    for wrong in (packed[:-9], b"group,x\na,1\n"):
        path.write_bytes(wrong)
        with pytest.raises(TableError, match=r"t\.csv\.gz, line \d: not gzip, or cut off"):
            _read_all(path)


def _read_all(path: Path) -> None:
    with open_table(str(path)) as reader:
        reader.read(["x"])


def test_a_file_that_cannot_be_read_is_a_table_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none\.csv: cannot be read: No such file"):
        _open(tmp_path / "none.csv")
    with pytest.raises(TableError, match="cannot be read: Is a directory"):
        _open(tmp_path)


def _open(path: Path) -> None:
    with open_table(str(path)):
        pass


@pytest.mark.parametrize("cell", ["", "NA", "nan", "inf", "-inf"])
def test_a_number_that_is_needed_must_be_there_and_finite(tmp_path: Path, cell: str) -> None:
    table = read(tmp_path, f"group,x,y\na,1,2\nb,{cell},2\n")
    table.require_finite("y")
    table.require_finite("x", where=np.array([True, False]))
    rule = r"line 3 \(group 'b'\): column 'x' should be a finite number, not"
    with pytest.raises(TableError, match=rule):
        table.require_finite("x")


def test_a_long_table_is_read_in_a_breath(tmp_path: Path) -> None:
    content = "group,x,y\n" + "".join(f"{row},{row},1\n" for row in range(100_000))
    table = read(tmp_path, content)
    assert len(table.names) == 100_000
    assert table.columns["x"].sum() == sum(range(100_000))


def test_a_number_whose_square_overflows_is_refused(tmp_path: Path) -> None:
    table = read(tmp_path, "group,x,y\na,-1e100,2\nb,-1e300,2\n")
    with pytest.raises(TableError, match=r"line 3 .* should be at most 1e\+100 in size, not -1e"):
        table.require_finite("x")
