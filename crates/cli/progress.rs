//! Progress on stderr: bars on a terminal, lines elsewhere, nothing if nothing is wanted.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use costlake_fetch::{Event, Monitor};
use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};

use crate::args::{Common, ProgressMode};

/// Where progress goes.
pub(crate) struct Progress {
    display: Display,
}

enum Display {
    Bars(MultiProgress),
    Lines,
    Nothing,
}

/// The progress of one report.
pub(crate) struct Bar {
    display: BarDisplay,
    name: String,
    bytes: u64,
    rows: u64,
    started: Instant,
}

enum BarDisplay {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    /// The display that flags and terminal ask for.
    pub(crate) fn new(common: &Common) -> Arc<Self> {
        let mode = if common.quiet { ProgressMode::None } else { common.progress };
        let display = match mode {
            ProgressMode::None => Display::Nothing,
            ProgressMode::Auto if std::io::stderr().is_terminal() => {
                Display::Bars(MultiProgress::new())
            }
            ProgressMode::Auto | ProgressMode::Plain => Display::Lines,
        };
        Arc::new(Self { display })
    }

    /// Says something on a line of its own.
    pub(crate) fn say(&self, line: &str) {
        match &self.display {
            // A terminal that is gone is no reason to stop.
            Display::Bars(bars) => drop(bars.println(line)),
            Display::Lines => to_stderr(line),
            Display::Nothing => {}
        }
    }

    /// Starts a report of so many bytes, if known.
    pub(crate) fn report(&self, name: &str, bytes: Option<u64>) -> Bar {
        let display = match &self.display {
            Display::Bars(bars) => BarDisplay::Bar(bars.add(new_bar(name, bytes))),
            Display::Lines => BarDisplay::Lines,
            Display::Nothing => BarDisplay::Nothing,
        };
        Bar { display, name: name.to_owned(), bytes: 0, rows: 0, started: Instant::now() }
    }
}

fn new_bar(name: &str, bytes: Option<u64>) -> ProgressBar {
    let template = "{prefix:<32} {bar:24} {bytes:>10} {bytes_per_sec:>12} {msg}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = match bytes {
        Some(bytes) => ProgressBar::new(bytes),
        None => ProgressBar::no_length(),
    };
    bar.with_style(style).with_prefix(name.to_owned())
}

impl Bar {
    /// Adds what was read.
    pub(crate) fn advance(&mut self, bytes: u64, rows: u64) {
        self.bytes += bytes;
        self.rows += rows;
        if let BarDisplay::Bar(bar) = &self.display {
            bar.inc(bytes);
            bar.set_message(format!("{} rows, {}", HumanCount(self.rows), self.row_rate()));
        }
    }

    /// Ends the report.
    pub(crate) fn finish(self) {
        match &self.display {
            BarDisplay::Bar(bar) => bar.finish(),
            BarDisplay::Lines => to_stderr(&format!(
                "{}: {} rows, {} in {:.1} s, {}",
                self.name,
                self.rows,
                HumanBytes(self.bytes),
                self.started.elapsed().as_secs_f64(),
                self.row_rate()
            )),
            BarDisplay::Nothing => {}
        }
    }

    fn row_rate(&self) -> String {
        let millis = self.started.elapsed().max(Duration::from_millis(1)).as_millis();
        let rate = u128::from(self.rows) * 1000 / millis;
        format!("{} rows/s", HumanCount(u64::try_from(rate).unwrap_or(u64::MAX)))
    }
}

impl Monitor for Progress {
    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::Submitted { request, .. } => self.say(&format!("{request}: requested")),
            Event::Resumed { request, .. } => {
                self.say(&format!("{request}: asked for before, going on with it"));
            }
            Event::Split { request, parts, why } => {
                self.say(&format!("{why}; asking for {request} in {parts} parts"));
            }
            Event::Paused { wait, .. } => {
                self.say(&format!("Azure asked for patience: {} s more", wait.as_secs()));
            }
            Event::Waiting { request, wait, .. } => {
                self.say(&format!("{request}: not ready, asking again in {} s", wait.as_secs()));
            }
            Event::Completed { request, blobs, blob_bytes } => {
                self.say(&format!("{request}: ready, {blobs} blobs, {}", HumanBytes(*blob_bytes)));
            }
            Event::NoData { request } => self.say(&format!("{request}: no data")),
            Event::Retrying { method, address, attempts, status, wait } => {
                let status =
                    status.map_or_else(String::new, |status| format!(" answered {status},"));
                self.say(&format!(
                    "{method} {address}{status} attempt {attempts}; again in {:.1} s",
                    wait.as_secs_f64()
                ));
            }
            _ => {}
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place that writes progress lines")]
fn to_stderr(line: &str) {
    eprintln!("{line}");
}
