"""A store ten times larger than a window: an epoch of it, in the memory of one window."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

WINDOW, GROUP, ROW = 48 << 20, 2 << 20, 8000
ROWS = 10 * WINDOW // ROW

READER = f"""
import re, sys
from pathlib import Path
from minicaffe.data.source import Order
from minicaffe.data.store import Store

store = Store(sys.argv[1])
assert sum(store.groups.sizes) >= 10 * store.groups.limit == {10 * WINDOW}
order = Order(len(store), 100, True, seed=4, groups=store.groups)
def peak():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) << 10
store.read(0)  # loads pyarrow
store.close()
before = peak()
seen, loads, load = set(), 0, store._load
def counted(*group):
    global loads
    loads += 1
    return load(*group)
store._load = counted
for k in range(len(store) // 100 + 1):
    for place in order.places(k):
        if place.epoch == 0:
            row = store.read(place.index)
            assert int.from_bytes(row["data"][:4], "big") == place.index
            seen.add(place.index)
print(len(seen), loads, len(store.groups.rows), peak() - before)
"""


@pytest.mark.slow
def test_an_epoch_of_a_large_store_needs_the_memory_of_a_window(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    from minicaffe.data.store import index_of

    schema = pyarrow.schema([("data", pyarrow.binary())])
    path = tmp_path / "part-00000.parquet"
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as out:
        for first in range(0, ROWS, GROUP // ROW):
            numbers = range(first, min(first + GROUP // ROW, ROWS))
            rows = [i.to_bytes(4, "big") + bytes(ROW - 4) for i in numbers]
            out.write_table(pyarrow.table({"data": rows}, schema))
    index = index_of(str(tmp_path), [path.name], "", "", WINDOW)
    (tmp_path / "index.json").write_text(index.to_json())
    run = [sys.executable, "-c", READER, str(tmp_path)]
    answer = subprocess.run(run, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    seen, loads, groups, grown = map(int, answer.stdout.split())
    assert seen == ROWS
    assert loads == groups  # each is read once
    assert WINDOW / 2 < grown < 2.5 * WINDOW
