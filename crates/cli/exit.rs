//! How the program ends: a promise to orchestrators, documented in `docs/exit-codes.md`.

/// The exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, also when there was nothing new.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Authentication or rights.
    Access = 3,
    /// Throttled, busy or unreachable beyond the limits: try later.
    Busy = 4,
    /// A data check failed: conservation, or the contract of a file.
    DataCheck = 5,
    /// Finished, but rows were quarantined.
    Quarantined = 8,
    /// Another run won, or an outcome could not be settled: run again.
    Conflict = 9,
    /// Stopped by Ctrl-C; the state is resumable.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
