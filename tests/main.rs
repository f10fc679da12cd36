//! The program as its users see it: command line in, exit code, texts and lake out.
//!
//! Written from the contract (`docs/format.md`, exit codes, the texts for people), with arithmetic
//! of its own, so that a misreading in the program is not repeated here. Every module is marked as a
//! test, helpers too, so that the lints let it unwrap.

// Programs, the simulator, pipeline files, lakes.
#[cfg(test)]
mod harness;
// Decimal arithmetic that shares nothing with the program.
#[cfg(test)]
mod exact;
// CSV and Parquet as tests read them.
#[cfg(test)]
mod reading;

// The main job: three months, both metrics, again, with other threads, and after a month moved.
#[cfg(test)]
mod main_job;
// Months in parts, settled months, runs that go on, patience.
#[cfg(test)]
mod fetching;
// Definitions, departments and `costlake rollup`, against sums of the CSV files.
#[cfg(test)]
mod rollups;
// Rows and money in are rows and money out.
#[cfg(test)]
mod conservation;
// The same lake in the eyes of DuckDB, pyarrow and Polars.
#[cfg(test)]
mod oracles;
// Public cost files of all generations.
#[cfg(test)]
mod samples;
// FOCUS files against the native reports that they were made from.
#[cfg(test)]
mod focus;
// Columns that change from month to month.
#[cfg(test)]
mod contract;
// Parquet files as input.
#[cfg(test)]
mod parquet_inputs;
// Every way to get it wrong: exit code, text, and a lake that is as it was.
#[cfg(test)]
mod wrong_tries;
// Where cost files are found: patterns, exports of every layout, what is skipped.
#[cfg(test)]
mod inputs;
// Looking without changing: status, verify, schema, plan, completions.
#[cfg(test)]
mod inspect;
// Signing in, rights and destination, tried before a run.
#[cfg(test)]
mod doctor;
// Any small file.
#[cfg(test)]
mod properties;
// Five readers over generated files, and where they disagree.
#[cfg(test)]
mod differential;
// The figures of every sample file, computed elsewhere.
#[cfg(test)]
mod golden;
