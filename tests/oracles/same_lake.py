"""Demands that pairs of lakes hold the same tables: the same objects, columns, types and rows in order.

    same_lake.py LAKE OTHER [LAKE OTHER]...
"""

import pathlib
import sys

import duckdb
import pyarrow.parquet as pq


def objects(lake):
    found = sorted(pathlib.Path(lake).glob("*/**/data.parquet"))
    return [path.relative_to(lake) for path in found if "_costlake" not in path.parts]


def check(lake, other):
    names = objects(lake)
    assert names and names == objects(other), f"{names} against {objects(other)}"
    for name in names:
        tables = [pq.ParquetFile(pathlib.Path(root, name)).read() for root in (lake, other)]
        assert tables[0].num_rows > 0 and tables[0].equals(tables[1]), f"pyarrow: {name} differs"
        left, right = (f"(select * from read_parquet('{root}/{name}'))" for root in (lake, other))
        query = f"select count(*) from ({left} except all {right})"
        assert duckdb.execute(query).fetchone() == (0,), f"DuckDB: {name} differs"
    print(f"ok: {len(names)} objects")


for pair in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    check(*pair)
