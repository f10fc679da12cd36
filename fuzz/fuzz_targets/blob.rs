//! Whole blobs: any bytes, cut anywhere, give the same rows, quarantine and account, or the same refusal;
//! rows and money in are rows and money out.

#![no_main]

use arrow::array::{Array, AsArray};
use arrow::datatypes::Decimal128Type;
use costlake_model::Metric;
use costlake_model::decimal::ExactSum;
use costlake_model::ledger::Ledger;
use costlake_transform::{BlobOptions, BlobReader, BlobSummary, DecodedChunk, Error, quarantine_batch};
use libfuzzer_sys::fuzz_target;

type Output = Result<(Vec<DecodedChunk>, BlobSummary), Error>;

fuzz_target!(|data: &[u8]| {
    let [switches, chunk, piece, text @ ..] = data else { return };
    let options = || BlobOptions {
        ordinal: 0,
        metric: if switches & 1 == 0 { Metric::Actual } else { Metric::Amortized },
        currency: (switches & 2 != 0).then(|| "EUR".to_owned()),
        chunk_bytes: 64 * (usize::from(*chunk) + 1),
    };
    let whole = read(text, usize::MAX, options());
    let pieces = read(text, usize::from(*piece) + 1, options());
    match (&whole, &pieces) {
        (Ok((chunks, summary)), Ok((others, other_summary))) => {
            assert_eq!(summary, other_summary);
            assert_same(chunks, others);
            check_account(chunks, summary, text);
        }
        (Err(error), Err(other)) => assert_eq!(error, other),
        _ => panic!("whole: {:?}, in pieces: {:?}", whole.is_ok(), pieces.is_ok()),
    }
});

fn read(text: &[u8], piece: usize, options: BlobOptions) -> Output {
    let mut reader = BlobReader::new(options);
    let mut chunks = Vec::new();
    for mut input in text.chunks(piece) {
        while let Some(chunk) = reader.feed(&mut input)? {
            chunks.push(chunk);
        }
    }
    let (last, summary) = reader.finish()?;
    chunks.extend(last);
    let decoded = chunks.iter().map(|chunk| chunk.decode()).collect::<Result<_, _>>()?;
    Ok((decoded, summary))
}

fn assert_same(chunks: &[DecodedChunk], others: &[DecodedChunk]) {
    assert_eq!(chunks.len(), others.len());
    for (chunk, other) in chunks.iter().zip(others) {
        assert_eq!(chunk.batch, other.batch);
        assert_eq!(chunk.quarantined, other.quarantined);
        assert_eq!(chunk.ledger, other.ledger);
    }
}

fn check_account(chunks: &[DecodedChunk], summary: &BlobSummary, text: &[u8]) {
    let mut ledger = Ledger::default();
    let mut cost = ExactSum::ZERO;
    for chunk in chunks {
        ledger.merge(&chunk.ledger);
        let rows = chunk.batch.num_rows() as u64;
        assert_eq!(chunk.ledger.published.rows, rows);
        assert_eq!(chunk.ledger.quarantined.rows, chunk.quarantined.len() as u64);
        for column in chunk.batch.columns() {
            column.to_data().validate_full().expect("a sound array");
        }
        let costs = chunk.batch.column_by_name("cost").expect("a cost");
        let costs = costs.as_primitive::<Decimal128Type>();
        cost = costs.iter().flatten().map(ExactSum::from_stored).fold(cost, |sum, cost| sum + cost);
        quarantine_batch(&chunk.quarantined).expect("a batch");
        for row in &chunk.quarantined {
            let at = usize::try_from(row.place.byte_offset).expect("an offset");
            assert_eq!(&text[at..at + row.raw.len()], row.raw, "raw bytes lie at their offset");
        }
    }
    ledger.check().expect("a balance");
    assert_eq!(summary.bytes, text.len() as u64);
    assert_eq!(summary.records, ledger.records);
    let published = ledger.published.decimals.get("cost");
    assert_eq!(published.map_or(ExactSum::ZERO, |totals| totals.stored), cost);
}
