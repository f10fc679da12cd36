//! Random bytes of a small nasty alphabet behind a valid header.

use costlake_transform::BlobOptions;
use proptest::prelude::*;

use super::{Feeding, check_account, difference};

fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let bytes: [&'static [u8]; 10] = [
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
        let bytes = [&b"Date,Cost,Currency\n"[..], &bytes].concat();
        let options = || BlobOptions { ordinal: 0, currency: None, chunk_bytes };
        let outputs = [one.read(&bytes, options()), other.read(&bytes, options())];
        for (chunks, summary) in outputs.iter().flatten() {
            check_account(&bytes, chunks, summary);
        }
        let strict = super::cuts_by_bytes_alone(&bytes, chunk_bytes);
        prop_assert_eq!(difference(&outputs[0], &outputs[1], strict), Ok(()));
    }
}
