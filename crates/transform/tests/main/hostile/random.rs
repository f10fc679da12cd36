//! Random bytes of a small nasty alphabet behind a valid header.

use costlake_model::Metric;
use costlake_transform::BlobOptions;
use proptest::prelude::*;

use super::{Feeding, check_account, difference, difference_in_rows};

fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let bytes: [&'static [u8]; 12] = [
        b"a",
        b"1",
        b".",
        b",",
        b"\"",
        b"\r",
        b"\n",
        b"\xef\xbb\xbf",
        b"\xff",
        b"07/01/2025,1,EUR\n",
        b"2025-07-01,1,EUR\n",
        b"Date,Cost,",
    ];
    prop::collection::vec(prop::sample::select(bytes.to_vec()), 0..160)
        .prop_map(|pieces| pieces.concat())
}

fn cuts() -> impl Strategy<Value = Feeding> {
    prop::collection::vec(any::<u16>().prop_map(usize::from), 0..40).prop_map(Feeding::At)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn any_bytes_behind_a_header_balance_in_any_feeding(
        bytes in nasty(),
        one in cuts(),
        other in cuts(),
        chunk_bytes in prop::sample::select(vec![64_usize, 256, 4096]),
    ) {
        check([&b"Date,Cost,Currency\n"[..], &bytes].concat(), &one, &other, chunk_bytes)?;
    }

    #[test]
    fn any_bytes_around_a_header_read_the_same_in_any_feeding(
        before in nasty(),
        after in nasty(),
        one in cuts(),
        other in cuts(),
        chunk_bytes in prop::sample::select(vec![64_usize, 256, 4096]),
    ) {
        let bytes = [&before[..before.len().min(40)], b"\nDate,Cost,Currency\n", &after].concat();
        check(bytes, &one, &other, chunk_bytes)?;
    }
}

fn check(
    bytes: Vec<u8>,
    one: &Feeding,
    other: &Feeding,
    chunk_bytes: usize,
) -> Result<(), TestCaseError> {
    let options = |chunk_bytes| BlobOptions {
        ordinal: 0,
        metric: Metric::Actual,
        currency: None,
        chunk_bytes,
    };
    let outputs =
        [one.read(&bytes, options(chunk_bytes)), other.read(&bytes, options(chunk_bytes))];
    for (chunks, summary) in outputs.iter().flatten() {
        check_account(&bytes, chunks, summary);
    }
    prop_assert_eq!(difference(&outputs[0], &outputs[1]), Ok(()));
    let one_chunk = one.read(&bytes, options(1 << 20));
    prop_assert_eq!(difference_in_rows(&outputs[0], &one_chunk), Ok(()));
    Ok(())
}
