//! The header of a file, without its rows.

use costlake_model::Metric;
use costlake_transform::header::Binding;
use costlake_transform::{BlobOptions, BlobReader};

use super::{InputFile, open};
use crate::error::Error;
use crate::ingest;

const READ_BYTES: usize = 1 << 16;

/// Reads what the header of a file means, and no more of it than that takes. Of the metrics, the first is
/// taken that the file shows.
///
/// # Errors
/// If the file cannot be read, or is refused by its header.
pub(crate) fn read_binding(file: &InputFile, currency: Option<String>) -> Result<Binding, Error> {
    let is_of_other_metric = |error: &Error| match error {
        Error::Refused { source, .. } => source.lacks_focus_cost(),
        _ => false,
    };
    match binding_of(file, Metric::Actual, currency.clone()) {
        Err(error) if is_of_other_metric(&error) && file.can_be_read_twice() => {
            binding_of(file, Metric::Amortized, currency)
        }
        binding => binding,
    }
}

fn binding_of(
    file: &InputFile,
    metric: Metric,
    currency: Option<String>,
) -> Result<Binding, Error> {
    let name = file.to_string();
    let refused = |source| Error::Refused { file: name.clone(), source };
    let mut source = open(file)?.text;
    let mut reader =
        BlobReader::new(BlobOptions { ordinal: 0, metric, currency, chunk_bytes: 1 << 20 });
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = source.read(&mut buffer);
        let length = read.map_err(|error| ingest::read_error(&name, error))?;
        reader.feed(&mut &buffer[..length]).map_err(refused)?;
        if let Some(binding) = reader.binding() {
            return Ok(binding.as_ref().clone());
        }
        if length == 0 {
            let (_, summary) = reader.finish().map_err(refused)?;
            return summary.binding.map(|binding| binding.as_ref().clone()).ok_or_else(|| {
                Error::Internal("a header was neither bound nor refused".to_owned())
            });
        }
    }
}
