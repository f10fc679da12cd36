//! `costlake simulate`: a local Azure, and its cost files.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use costlake_model::BillingPeriod;
use costlake_sim::generator::{self, EnrollmentConfig, GenerateConfig, Month};
use costlake_sim::server::{ClientCertificate, FaultList, Quota, Server, ServerConfig};
use indicatif::{HumanBytes, HumanCount};

use crate::args::{EnrollmentArgs, RowOrder, SimulateArgs, SimulateCommand};
use crate::error::Error;
use crate::lifecycle;
use crate::output;
use crate::progress::Progress;

/// Runs the simulator until Ctrl-C, or writes cost files.
///
/// # Errors
/// A port that is taken, or files that cannot be written.
pub(crate) async fn simulate(args: &SimulateArgs, progress: &Progress) -> Result<(), Error> {
    match &args.command {
        Some(SimulateCommand::Generate { rows, out, blobs, enrollment }) => {
            let config = GenerateConfig {
                enrollment: EnrollmentConfig { open_month: None, ..enrollment_config(enrollment)? },
                blobs_per_report: *blobs,
                ..GenerateConfig::new(out, *rows)
            };
            generate(config).await
        }
        None => serve(args, progress).await,
    }
}

async fn generate(config: GenerateConfig) -> Result<(), Error> {
    let out = config.out_dir.clone();
    let written =
        tokio::task::spawn_blocking(move || generator::generate_files(&config, |_| {})).await;
    let files = written
        .map_err(|error| Error::Internal(error.to_string()))?
        .map_err(|error| Error::Simulator(Box::new(error)))?;
    let (rows, bytes) =
        files.iter().fold((0, 0), |(rows, bytes), file| (rows + file.rows, bytes + file.bytes));
    output::print_text(&format!(
        "{} files, {} rows, {} in {}\n",
        files.len(),
        HumanCount(rows),
        HumanBytes(bytes),
        out.display()
    ))
}

async fn serve(args: &SimulateArgs, progress: &Progress) -> Result<(), Error> {
    if !args.listen.ip().is_loopback() {
        return Err(Error::usage(
            format!("{} is not on this machine", args.listen),
            "the simulator has no real security: listen on 127.0.0.1",
        ));
    }
    let enrollment = enrollment_config(&args.enrollment)?;
    let config = ServerConfig {
        enrollment: EnrollmentConfig {
            rows_per_month: args.rows_per_month,
            open_month: enrollment.open_month.filter(|_| !args.closed),
            ..enrollment
        },
        prerender: args.prerender,
        port: args.listen.port(),
        polls_before_completion: args.polls,
        retry_after_seconds: args.retry_after,
        blobs_per_report: args.blobs,
        link_lifetime: Some(Duration::from_secs(args.link_lifetime)),
        token_lifetime: Duration::from_secs(args.token_lifetime),
        quota: Quota {
            entity: args.entity_quota,
            tenant: args.tenant_quota,
            window: Duration::from_secs(args.quota_seconds),
        },
        most_rows: args.most_rows,
        months_back: args.months_back,
        has_role: !args.no_role,
        clock_skew_seconds: args.clock_skew,
        client_certificate: args.client_certificate.as_deref().map(certificate).transpose()?,
        faults: args.faults.as_deref().map(faults).transpose()?.unwrap_or_default(),
        ..ServerConfig::default()
    };
    let server = Server::start(config).await.map_err(|error| Error::Simulator(Box::new(error)))?;
    if let Some(path) = &args.env_file {
        write_environment(path, &server.environment())?;
    }
    progress.say(&format!("simulated Azure on {}; Ctrl-C ends it", server.origin()));
    tokio::select! {
        () = server.stopped() => {}
        () = lifecycle::stop_signal() => {}
    }
    server.shutdown().await.map_err(|error| Error::Simulator(Box::new(error)))
}

fn faults(path: &Path) -> Result<FaultList, Error> {
    FaultList::from_json(&read(path)?).map_err(|error| {
        Error::usage(
            format!("{} is no list of faults: {error}", path.display()),
            "see docs/simulator.md for the form",
        )
    })
}

fn certificate(path: &Path) -> Result<ClientCertificate, Error> {
    ClientCertificate::from_pem(&read(path)?).map_err(|error| {
        Error::usage(
            format!("{} cannot be used: {error}", path.display()),
            "give a certificate in PEM, with -----BEGIN CERTIFICATE-----",
        )
    })
}

/// A file that the command line names and that cannot be read is a mistake in the command line.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        Error::usage(format!("{} cannot be read: {error}", path.display()), "check the path")
    })
}

/// Written beside and renamed, so that whoever waits for the file sees all of it.
fn write_environment(path: &Path, pairs: &[(String, String)]) -> Result<(), Error> {
    let mut text = String::new();
    for (name, value) in pairs {
        let _ = writeln!(text, "export {name}='{value}'");
    }
    let failed = |source| Error::File { action: "write", path: path.to_owned(), source };
    let beside = path.with_extension("partial");
    std::fs::write(&beside, text).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

fn enrollment_config(args: &EnrollmentArgs) -> Result<EnrollmentConfig, Error> {
    let first: BillingPeriod = args.first_month.parse().map_err(
        |error: costlake_model::billing_period::ParseBillingPeriodError| {
            Error::usage(error.to_string(), "write --first-month 2025-05")
        },
    )?;
    if !(1..=120).contains(&args.months) {
        return Err(Error::usage(
            format!("{} months cannot be simulated", args.months),
            "write 1 to 120",
        ));
    }
    let first_month = Month::of(first.first_day());
    Ok(EnrollmentConfig {
        seed: args.seed,
        currency: args.currency.clone(),
        first_month,
        month_count: args.months,
        open_month: Some(first_month.plus(args.months - 1)),
        row_order: match args.row_order {
            RowOrder::Source => generator::RowOrder::Source,
            RowOrder::Random => generator::RowOrder::Random,
        },
        ..EnrollmentConfig::default()
    })
}
