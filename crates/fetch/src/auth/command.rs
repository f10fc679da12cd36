//! Running the Azure CLI, with a bound, and keeping what it said.

use std::ffi::OsStr;
use std::io;
use std::process::{Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use azure_identity::Executor;
use tokio::process::Command;
use tokio::time::timeout;

/// How long the CLI may take. It starts slowly, and asks the authority itself.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// What a shell says of a program that it does not find.
const NOT_FOUND: i32 = 127;

/// Why the CLI gave no token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CommandFailure {
    /// It is not there, nobody is signed in to it, or it does not answer.
    Unavailable(String),
    /// Azure refused the one who is signed in.
    Refused { code: String, message: String },
}

/// Runs one command and keeps how it failed. What it printed on stdout is a token and is not kept.
#[derive(Debug, Default)]
pub(crate) struct CommandRunner {
    failure: Mutex<Option<CommandFailure>>,
}

impl CommandRunner {
    /// How the command failed; `None` if it ended well.
    pub(crate) fn take(&self) -> Option<CommandFailure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, failure: Option<CommandFailure>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

#[async_trait::async_trait]
impl Executor for CommandRunner {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        let Ok(output) = timeout(TIME_LIMIT, command.output()).await else {
            let seconds = TIME_LIMIT.as_secs();
            let reason = format!("the Azure CLI did not answer within {seconds} s");
            self.keep(Some(CommandFailure::Unavailable(reason)));
            return Err(io::ErrorKind::TimedOut.into());
        };
        self.keep(match &output {
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                Some(judged(output.status.code(), &stderr))
            }
            Err(error) => {
                let reason = format!("the Azure CLI could not be started: {}", error.kind());
                Some(CommandFailure::Unavailable(reason))
            }
        });
        output
    }
}

/// Reads what the CLI says on stderr. "Please run az login" is also its advice after a refusal, which
/// has a code.
fn judged(status: Option<i32>, stderr: &str) -> CommandFailure {
    if status == Some(NOT_FOUND) || stderr.contains("' is not recognized") {
        return CommandFailure::Unavailable("`az` was not found on PATH".to_owned());
    }
    let lines = || stderr.lines().map(str::trim);
    let message = lines()
        .find_map(|line| line.strip_prefix("ERROR:"))
        .or_else(|| lines().find(|line| !line.is_empty()))
        .unwrap_or("no reason given");
    let message = crate::text::first_line(message.trim());
    match aadsts_code(stderr) {
        Some(code) => CommandFailure::Refused { code, message },
        None if stderr.contains("az login") => {
            CommandFailure::Unavailable("nobody is signed in: run `az login`".to_owned())
        }
        None => CommandFailure::Refused { code: String::new(), message },
    }
}

fn aadsts_code(text: &str) -> Option<String> {
    let code = &text[text.find("AADSTS")?..];
    let digits = code["AADSTS".len()..].bytes().take_while(u8::is_ascii_digit).count();
    Some(code[.."AADSTS".len() + digits].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stderr_tells_absent_from_refused() {
        let unavailable = |text: &str| CommandFailure::Unavailable(text.to_owned());
        let refused = |code: &str, message: &str| CommandFailure::Refused {
            code: code.to_owned(),
            message: message.to_owned(),
        };
        for (status, stderr, expected) in [
            (127, "/bin/sh: 1: az: not found", unavailable("`az` was not found on PATH")),
            (
                1,
                "ERROR: Please run 'az login' to setup account.\n",
                unavailable("nobody is signed in: run `az login`"),
            ),
            (
                1,
                "WARNING: x\nERROR: AADSTS700082: The refresh token has expired.\nTo sign in, run: az login\n",
                refused("AADSTS700082", "AADSTS700082: The refresh token has expired."),
            ),
            (
                2,
                "ERROR: unrecognized arguments\u{1b}[31m",
                refused("", "unrecognized arguments\\u{1b}[31m"),
            ),
            (1, "", refused("", "no reason given")),
        ] {
            assert_eq!(judged(Some(status), stderr), expected, "{stderr}");
        }
    }
}
