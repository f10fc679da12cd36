//! The program: reads the command line, runs a command, says how it ended.

mod archive;
mod args;
mod azure;
mod config;
mod contract;
mod convert;
mod doctor;
mod error;
mod exit;
mod facts;
mod ingest;
mod inputs;
mod inspect;
mod journal;
mod lifecycle;
mod memory;
mod month;
mod output;
mod parquet_text;
mod pipe;
mod planner;
mod progress;
mod reconcile;
mod result;
mod rollup;
mod rollups;
mod run;
mod simulate;

use std::path::Path;

use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, Common, LogFormat};
use error::Error;
use exit::ExitCode;
use output::Show;
use progress::Progress;
use result::RunResult;

fn main() -> std::process::ExitCode {
    memory::keep();
    let cli = Cli::parse();
    start_log(&cli.common);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Error::Internal(error.to_string()))).into(),
    };
    let ended = runtime.block_on(dispatch(&cli));
    // Threads that cut and decode stop when nobody takes their results.
    runtime.shutdown_timeout(lifecycle::SHUTDOWN_GRACE);
    end(ended).into()
}

/// Renders an error, if there is one, and chooses the exit code.
#[expect(clippy::print_stderr, reason = "the one place that renders errors for people")]
fn end(ended: Result<ExitCode, Error>) -> ExitCode {
    match ended {
        Ok(code) => code,
        Err(Error::OutputClosed) => ExitCode::Done,
        Err(error) => {
            eprint!("{}", error.render());
            error.exit_code()
        }
    }
}

async fn dispatch(cli: &Cli) -> Result<ExitCode, Error> {
    let format = cli.common.output;
    match &cli.command {
        Command::Run(args) => {
            let (result, mut errors) = run::run(args, Progress::new(&cli.common)).await?;
            errors.extend(finish(&result, format, args.work.result_file.as_deref()).err());
            match errors.len() {
                0 => Ok(code_of(&result)),
                1 => Err(errors.remove(0)),
                _ => Err(Error::Several(errors)),
            }
        }
        Command::Plan(args) => show(&run::plan(args).await?, format),
        Command::Doctor(args) => {
            let diagnosis = lifecycle::interruptible(doctor::doctor(args)).await?;
            even_unread(output::print(&diagnosis, format))?;
            Ok(diagnosis.exit_code())
        }
        Command::Convert(args) => {
            let result = convert::convert(args, Progress::new(&cli.common)).await?;
            finish(&result, format, args.work.result_file.as_deref())?;
            reconcile::check_residual(&result.reconciled)?;
            Ok(code_of(&result))
        }
        Command::Rollup(args) => {
            let result = rollup::rollup(args, &Progress::new(&cli.common)).await?;
            finish(&result, format, args.result_file.as_deref())?;
            reconcile::check_residual(&result.reconciled)?;
            Ok(ExitCode::Done)
        }
        Command::Reconcile(args) => {
            let result = reconcile::reconcile(args).await?;
            finish(&result, format, args.result_file.as_deref())?;
            result.check(args.allow_other)?;
            Ok(ExitCode::Done)
        }
        Command::Status(args) => {
            show(&lifecycle::interruptible(inspect::status(args)).await?, format)
        }
        Command::Verify(args) => {
            let proof = lifecycle::interruptible(inspect::verify(args)).await?;
            even_unread(output::print(&proof, format))?;
            proof.check()?;
            Ok(ExitCode::Done)
        }
        Command::Simulate(args) => {
            let progress = Progress::new(&cli.common);
            simulate::simulate(args, &progress).await?;
            Ok(ExitCode::Done)
        }
        Command::Schema(args) => {
            show(&tokio::task::block_in_place(|| inspect::schema(args))?, format)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "costlake", &mut script);
            output::print_text(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::Done)
        }
    }
}

fn show(result: &dyn Show, format: args::OutputFormat) -> Result<ExitCode, Error> {
    output::print(result, format)?;
    Ok(ExitCode::Done)
}

fn finish(result: &dyn Show, format: args::OutputFormat, file: Option<&Path>) -> Result<(), Error> {
    if let Some(path) = file {
        let text = format!("{:#}\n", result.to_json());
        std::fs::write(path, text).map_err(|source| Error::File {
            action: "write",
            path: path.to_owned(),
            source,
        })?;
    }
    even_unread(output::print(result, format))
}

/// A verdict stands even if nobody reads the text before it.
fn even_unread(printed: Result<(), Error>) -> Result<(), Error> {
    match printed {
        Err(Error::OutputClosed) => Ok(()),
        printed => printed,
    }
}

fn code_of(result: &RunResult) -> ExitCode {
    if result.quarantined_rows() > 0 { ExitCode::Quarantined } else { ExitCode::Done }
}

/// Log lines go to stderr; `RUST_LOG` refines what `-v` asks for.
fn start_log(common: &Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "costlake=info,costlake_fetch=info,costlake_sink=info,warn",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let has_colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none();
    match common.log_format {
        LogFormat::Text => lines.with_ansi(has_colour).init(),
        LogFormat::Json => lines.json().init(),
    }
}
