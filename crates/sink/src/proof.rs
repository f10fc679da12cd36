//! Proof that an object in the store holds what it should, by reading it.

use std::sync::Arc;

use arrow::datatypes::Schema;
use costlake_model::ExactSum;
use costlake_model::ledger::DecimalTotals;
use object_store::path::Path;

use crate::digest::Sha256Digest;
use crate::error::Error;
use crate::lake::Lake;
use crate::manifest::ObjectFacts;
use crate::object::PinnedObject;
use crate::scan::ParquetObject;
use crate::totals::{TableTotals, Tally, is_amount};

/// Something that is wrong with an object of the lake.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// There is a manifest, but no object.
    #[error("the object is missing")]
    ObjectMissing,
    /// There is an object, but no manifest.
    #[error("the object has no manifest")]
    ManifestMissing,
    /// The file lies in a table, but is not the one object of a partition.
    #[error("the file does not belong to the table")]
    Foreign,
    /// The length differs.
    #[error("length: expected {expected} bytes, found {found}")]
    Bytes {
        /// The bytes written.
        expected: u64,
        /// The bytes in the store.
        found: u64,
    },
    /// The bytes differ.
    #[error("sha-256: expected {expected}, found {found}")]
    Digest {
        /// The digest of the bytes written.
        expected: Sha256Digest,
        /// The digest of the bytes in the store.
        found: Sha256Digest,
    },
    /// The number of row groups differs.
    #[error("row groups: expected {expected}, found {found}")]
    RowGroups {
        /// Row groups written.
        expected: u64,
        /// Row groups in the store.
        found: u64,
    },
    /// The number of rows differs.
    #[error("rows: expected {expected}, found {found}")]
    Rows {
        /// Rows in the account.
        expected: u64,
        /// Rows in the object.
        found: u64,
    },
    /// The number of values in a decimal column differs.
    #[error("values of {column}: expected {expected}, found {found}")]
    Values {
        /// The column.
        column: String,
        /// Values in the account.
        expected: u64,
        /// Values in the object.
        found: u64,
    },
    /// The exact sum of a decimal column differs.
    #[error("sum of {column}: expected {expected}, found {found}")]
    Sum {
        /// The column.
        column: String,
        /// The stored total in the account.
        expected: ExactSum,
        /// The sum over the object.
        found: ExactSum,
    },
    /// The account has a column that the object lacks.
    #[error("the object has no decimal column {column}")]
    ColumnMissing {
        /// The column.
        column: String,
    },
    /// The object or its manifest cannot be read.
    #[error("the object or its manifest cannot be read")]
    Unreadable(#[source] Box<Error>),
}

/// Compares an object with its facts and totals, and returns all that is wrong.
///
/// If the bytes are not those that were written, the contents are not looked at: the Parquet reader
/// may panic, or take any amount of memory, on damaged bytes.
///
/// # Errors
/// If the store cannot be read.
pub(crate) async fn prove(
    lake: &Lake,
    path: &Path,
    facts: &ObjectFacts,
    totals: &TableTotals,
) -> Result<Vec<Finding>, Error> {
    let Some(object) = PinnedObject::open(&lake.store, path).await? else {
        return Ok(vec![Finding::ObjectMissing]);
    };
    let findings = compare_bytes(&object, facts).await?;
    if !findings.is_empty() {
        return Ok(findings);
    }
    match count(object).await {
        Ok(counted) => Ok(compare_contents(&counted, facts, totals)),
        Err(error @ (Error::Decode { .. } | Error::BrokeOff { .. })) => {
            Ok(vec![Finding::Unreadable(Box::new(error))])
        }
        Err(error) => Err(error),
    }
}

/// Compares length and digest; the digest even of a wrong length, since it tells which version it is.
pub(crate) async fn compare_bytes(
    object: &PinnedObject,
    facts: &ObjectFacts,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    if object.bytes() != facts.bytes {
        findings.push(Finding::Bytes { expected: facts.bytes, found: object.bytes() });
    }
    let digest = object.digest().await?;
    if digest != facts.sha256 {
        findings.push(Finding::Digest { expected: facts.sha256, found: digest });
    }
    Ok(findings)
}

/// What was found by decoding an object.
struct Counted {
    schema: Arc<Schema>,
    row_groups: u64,
    totals: TableTotals,
}

async fn count(object: PinnedObject) -> Result<Counted, Error> {
    let parquet = ParquetObject::open(object).await?;
    let schema = Arc::clone(parquet.schema());
    let row_groups = parquet.row_groups() as u64;
    let amounts =
        (0..schema.fields().len()).filter(|at| is_amount(schema.field(*at).data_type())).collect();
    let mut scan = parquet.scan(schema.as_ref().clone(), amounts)?;
    let mut tally = Tally::default();
    while let Some(batch) = scan.next().await? {
        tally.add(&batch);
    }
    Ok(Counted { schema, row_groups, totals: tally.totals() })
}

fn compare_contents(counted: &Counted, facts: &ObjectFacts, totals: &TableTotals) -> Vec<Finding> {
    let mut findings = Vec::new();
    if counted.row_groups != facts.row_groups {
        findings.push(Finding::RowGroups { expected: facts.row_groups, found: counted.row_groups });
    }
    if counted.totals.rows != totals.rows {
        findings.push(Finding::Rows { expected: totals.rows, found: counted.totals.rows });
    }
    for field in counted.schema.fields().iter().filter(|field| is_amount(field.data_type())) {
        let of =
            |totals: &TableTotals| totals.decimals.get(field.name()).copied().unwrap_or_default();
        findings.extend(compare_column(field.name(), &of(totals), &of(&counted.totals)));
    }
    let missing = totals.decimals.keys().filter(|column| {
        !counted.schema.field_with_name(column).is_ok_and(|field| is_amount(field.data_type()))
    });
    findings.extend(missing.map(|column| Finding::ColumnMissing { column: column.clone() }));
    findings
}

fn compare_column(column: &str, expected: &DecimalTotals, found: &DecimalTotals) -> Vec<Finding> {
    let mut findings = Vec::new();
    if found.values != expected.values {
        findings.push(Finding::Values {
            column: column.to_owned(),
            expected: expected.values,
            found: found.values,
        });
    }
    if found.stored != expected.stored {
        findings.push(Finding::Sum {
            column: column.to_owned(),
            expected: expected.stored,
            found: found.stored,
        });
    }
    findings
}
