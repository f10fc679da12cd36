#!/usr/bin/env bash
# The whole pipeline against the simulated Azure: costs pulled, converted, published, rolled up.
# `make demo` builds the program and calls this. Everything it writes is below target/demo.

set -euo pipefail
cd "$(dirname "$0")/.."

costlake=${COSTLAKE_BIN:-target/debug/costlake}
demo=target/demo
ready_within_seconds=30

if [ ! -x "$costlake" ]; then
    echo "$costlake is not there: run 'make build' first" >&2
    exit 2
fi

rm -rf "$demo"
mkdir -p "$demo"

"$costlake" simulate --listen 127.0.0.1:0 --env-file "$demo/env" 2>"$demo/simulator.log" &
simulator=$!
end_simulator() {
    kill "$simulator" 2>/dev/null || true
    wait "$simulator" 2>/dev/null || true
}
trap end_simulator EXIT

# The file is renamed into place when the simulator answers, so whoever sees it sees all of it.
deadline=$((SECONDS + ready_within_seconds))
until [ -f "$demo/env" ]; do
    if ! kill -0 "$simulator" 2>/dev/null; then
        echo "the simulator ended before it was ready:" >&2
        cat "$demo/simulator.log" >&2
        exit 1
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
        echo "the simulator was not ready within $ready_within_seconds seconds" >&2
        exit 1
    fi
    sleep 0.1
done
# shellcheck source=/dev/null
. "$demo/env"

# What is set for a real job must not reach the demo.
unset COSTLAKE_CONFIG COSTLAKE_LAKE COSTLAKE_PERIOD COSTLAKE_METRIC

echo "costlake run -c pipelines/demo.toml"
"$costlake" run -c pipelines/demo.toml
echo
echo "The same again: the same bill gives the same bytes, so there is nothing to publish."
"$costlake" run -q -c pipelines/demo.toml | tail -n 1
echo
echo "Why the two differ, per department and per commitment:"
"$costlake" reconcile -c pipelines/demo.toml --period 2025-07
echo
echo "Every object, read back and proven against its manifest:"
"$costlake" verify -c pipelines/demo.toml | tail -n 1

lake=$PWD/$demo/lake
cat <<TEXT

The Parquet lies in $demo/lake:
$(cd "$demo/lake" && find . -name '*.parquet' | cut -d/ -f2 | LC_ALL=C sort | uniq -c | sed 's|^ *\([0-9]*\) \(.*\)|  \2: \1 objects|')

Open it with DuckDB or with Polars:

  duckdb -c "SELECT department_name, sum(actual_cost) AS actual, sum(amortized_cost) AS amortized FROM read_parquet('$lake/department_month/**/*.parquet', hive_partitioning = true) GROUP BY ALL ORDER BY ALL"

  python -c "import polars as pl; print(pl.scan_parquet('$lake/department_month/**/*.parquet', hive_partitioning=True).group_by('department_name').agg(pl.sum('actual_cost', 'amortized_cost')).sort('department_name').collect())"

This was the development build, the one that the tests use. 'make release' builds the fast one.
TEXT
