//! Writes cost files and says how long it took.
//!
//! `cargo run --release -p costlake-sim --example generate -- OUT_DIR ROWS [MONTHS]`

use costlake_sim::generator::{GenerateConfig, generate_files};
use std::io::{self, Write};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out_dir = arguments.next().ok_or("OUT_DIR is missing")?;
    let rows = arguments.next().ok_or("ROWS is missing")?.parse()?;
    let mut config = GenerateConfig::new(out_dir, rows);
    if let Some(months) = arguments.next() {
        config.enrollment.month_count = months.parse()?;
    }
    let start = Instant::now();
    let files = generate_files(&config, |_| {})?;
    let seconds = start.elapsed().as_secs_f64();
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    writeln!(io::stdout(), "{} files, {rows} rows, {bytes} bytes, {seconds:.1} s", files.len())?;
    Ok(())
}
