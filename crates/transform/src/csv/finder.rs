//! The few steps that depend on the processor: where 64 bytes hold which character.
//!
//! All `unsafe` of the reader is here. A pass over text is compiled once for each [`Finder`]; which one
//! runs is decided when the program does, by [`run`].

use super::block::BLOCK;

/// Quotes, commas, line feeds and carriage returns, in this order.
const SOUGHT: [u8; 4] = [b'"', b',', b'\n', b'\r'];

/// Finds characters in blocks. Whichever finder looks, the answer is the same.
pub(super) trait Finder: Copy {
    /// Returns where the block has each of the sought characters: the lowest bit is the first byte.
    fn find(self, block: &[u8; BLOCK]) -> [u64; 4];

    /// Returns, for each bit, the parity of the bits up to and including it.
    fn parity(self, mask: u64) -> u64;

    /// Writes the places of the bits, the lowest one at `base`, in order; what is behind them means
    /// nothing.
    #[inline(always)]
    fn places(self, mut mask: u64, base: u32, places: &mut [u32; BLOCK]) {
        // Four at a time, for a block has few marks, and a loop that ends at any of them is mispredicted.
        let (groups, _) = places.as_chunks_mut::<4>();
        for group in groups {
            for place in group {
                *place = base.wrapping_add(mask.trailing_zeros());
                mask &= mask.wrapping_sub(1);
            }
            if mask == 0 {
                break;
            }
        }
    }
}

/// Work over blocks that is the same for every processor.
pub(super) trait Pass {
    type Output;

    /// Must be `#[inline(always)]`: only then it is compiled for the processor of the finder.
    fn run(self, finder: impl Finder) -> Self::Output;
}

/// Runs a pass with the best finder that the processor has.
#[inline]
pub(super) fn run<P: Pass>(pass: P) -> P::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = x86_64::Avx512::detect() {
        return avx512.run(pass);
    } else if let Some(avx2) = x86_64::Avx2::detect() {
        return avx2.run(pass);
    }
    pass.run(Plain)
}

/// Works on every processor, in ordinary 64-bit arithmetic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain;

impl Finder for Plain {
    #[inline(always)]
    fn find(self, block: &[u8; BLOCK]) -> [u64; 4] {
        let (words, _) = block.as_chunks::<8>();
        SOUGHT.map(|sought| {
            words.iter().rev().fold(0, |mask, word| {
                mask << 8 | equal_bytes(u64::from_le_bytes(*word), u64::from(sought))
            })
        })
    }

    #[inline(always)]
    fn parity(self, mask: u64) -> u64 {
        [1, 2, 4, 8, 16, 32].iter().fold(mask, |mask, shift| mask ^ mask << shift)
    }
}

/// Returns which bytes of a word equal the one that is sought, in eight bits.
#[inline(always)]
fn equal_bytes(word: u64, sought: u64) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const ALL_BUT_HIGH: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let differing = word ^ (sought * LOW);
    // The high bit of a byte is set if any of its bits is: the sum does not carry into the next byte.
    let unequal = ((differing & ALL_BUT_HIGH) + ALL_BUT_HIGH) | differing;
    let equal = !unequal >> 7 & LOW;
    // Multiplying gathers the low bits of all bytes in the highest byte.
    equal.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "calls of what the processor was asked for, see the safety comments"
)]
mod x86_64 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8,
        _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_set1_epi8, _mm512_add_epi32,
        _mm512_castsi512_si128, _mm512_cmpeq_epi8_mask, _mm512_cvtepu8_epi32,
        _mm512_extracti32x4_epi32, _mm512_loadu_si512, _mm512_maskz_compress_epi8,
        _mm512_set1_epi8, _mm512_set1_epi32, _mm512_storeu_si512,
    };

    use super::{BLOCK, Finder, Pass, SOUGHT};

    /// Proof that the processor has AVX2, and what all processors with AVX2 have.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Avx2 {
        _detected: (),
    }

    /// Proof that the processor has AVX-512 with byte masks and compression, and what `Avx2` says.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Avx512 {
        avx2: Avx2,
    }

    impl Avx2 {
        #[inline]
        pub(super) fn detect() -> Option<Self> {
            let has_all = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("pclmulqdq");
            has_all.then_some(Self { _detected: () })
        }

        pub(super) fn run<P: Pass>(self, pass: P) -> P::Output {
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
            fn with_features<P: Pass>(pass: P, finder: Avx2) -> P::Output {
                pass.run(finder)
            }
            // SAFETY: an `Avx2` exists only where the processor has these features.
            unsafe { with_features(pass, self) }
        }
    }

    impl Avx512 {
        #[inline]
        pub(super) fn detect() -> Option<Self> {
            let has_all = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vbmi2");
            Avx2::detect().filter(|_| has_all).map(|avx2| Self { avx2 })
        }

        pub(super) fn run<P: Pass>(self, pass: P) -> P::Output {
            #[target_feature(
                enable = "avx512f,avx512bw,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq"
            )]
            fn with_features<P: Pass>(pass: P, finder: Avx512) -> P::Output {
                pass.run(finder)
            }
            // SAFETY: an `Avx512` exists only where the processor has these features.
            unsafe { with_features(pass, self) }
        }
    }

    impl Finder for Avx2 {
        #[inline(always)]
        fn find(self, block: &[u8; BLOCK]) -> [u64; 4] {
            // SAFETY: an `Avx2` exists only where the processor has AVX2.
            unsafe { find_256(block) }
        }

        #[inline(always)]
        fn parity(self, mask: u64) -> u64 {
            // SAFETY: an `Avx2` exists only where the processor has PCLMULQDQ and SSE2.
            unsafe { parity(mask) }
        }
    }

    impl Finder for Avx512 {
        #[inline(always)]
        fn find(self, block: &[u8; BLOCK]) -> [u64; 4] {
            // SAFETY: an `Avx512` exists only where the processor has AVX-512F and BW.
            unsafe { find_512(block) }
        }

        #[inline(always)]
        fn parity(self, mask: u64) -> u64 {
            self.avx2.parity(mask)
        }

        #[inline(always)]
        fn places(self, mask: u64, base: u32, places: &mut [u32; BLOCK]) {
            // SAFETY: an `Avx512` exists only where the processor has AVX-512F and VBMI2.
            unsafe { places_512(mask, base, places) }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn find_256(block: &[u8; BLOCK]) -> [u64; 4] {
        let [low, high]: [__m256i; 2] = bytemuck::cast(*block);
        SOUGHT.map(|byte| {
            let sought = _mm256_set1_epi8(byte.cast_signed());
            let bits = |half| _mm256_movemask_epi8(_mm256_cmpeq_epi8(half, sought));
            u64::from(bits(low).cast_unsigned()) | u64::from(bits(high).cast_unsigned()) << 32
        })
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn find_512(block: &[u8; BLOCK]) -> [u64; 4] {
        // SAFETY: the block has 64 bytes, and the load needs no alignment.
        let block = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        SOUGHT.map(|byte| _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(byte.cast_signed())))
    }

    /// Multiplying by all ones without carry gives every bit the parity of those up to it.
    #[target_feature(enable = "pclmulqdq,sse2")]
    #[inline]
    fn parity(mask: u64) -> u64 {
        let mask = _mm_set_epi64x(0, mask.cast_signed());
        let parities = _mm_clmulepi64_si128::<0>(mask, _mm_set1_epi8(-1));
        _mm_cvtsi128_si64(parities).cast_unsigned()
    }

    /// Compresses the numbers of all bits to those of the set ones.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
    #[inline]
    fn places_512(mask: u64, base: u32, places: &mut [u32; BLOCK]) {
        const NUMBERS: [u8; BLOCK] = {
            let mut numbers = [0; BLOCK];
            let mut number = 0_u8;
            while (number as usize) < BLOCK {
                numbers[number as usize] = number;
                number += 1;
            }
            numbers
        };
        let base = _mm512_set1_epi32(base.cast_signed());
        // SAFETY: there are 64 numbers of a byte, and the load needs no alignment.
        let numbers = unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast()) };
        let set = _mm512_maskz_compress_epi8(mask, numbers);
        let (groups, _) = places.as_chunks_mut::<16>();
        let put = |group: &mut [u32; 16], sixteen: __m128i| {
            let wide = _mm512_add_epi32(_mm512_cvtepu8_epi32(sixteen), base);
            // SAFETY: the group has 64 bytes, and the store needs no alignment.
            unsafe { _mm512_storeu_si512(group.as_mut_ptr().cast(), wide) };
        };
        let [first, second, third, fourth] = groups else { return };
        put(first, _mm512_castsi512_si128(set));
        if mask.count_ones() > 16 {
            put(second, _mm512_extracti32x4_epi32::<1>(set));
            put(third, _mm512_extracti32x4_epi32::<2>(set));
            put(fourth, _mm512_extracti32x4_epi32::<3>(set));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a finder says of a block, by itself.
    struct Ask<'a>(&'a [u8; BLOCK]);

    impl Pass for Ask<'_> {
        type Output = Answer;

        #[inline(always)]
        fn run(self, finder: impl Finder) -> Self::Output {
            let found = finder.find(self.0);
            let mut places = [0; BLOCK];
            finder.places(found[0], 1000, &mut places);
            let count = found[0].count_ones() as usize;
            (found, finder.parity(found[0]), places[..count].to_vec())
        }
    }

    /// What is found, the parity of quotes, and their places from 1,000 on.
    type Answer = ([u64; 4], u64, Vec<u32>);

    /// The answers of all finders that work here.
    fn answers(block: &[u8; BLOCK]) -> Vec<Answer> {
        let mut answers = vec![Ask(block).run(Plain)];
        #[cfg(target_arch = "x86_64")]
        {
            answers.extend(x86_64::Avx2::detect().map(|avx2| avx2.run(Ask(block))));
            answers.extend(x86_64::Avx512::detect().map(|avx512| avx512.run(Ask(block))));
        }
        answers
    }

    fn by_bytes(block: &[u8; BLOCK]) -> Answer {
        let bit = |at: usize, is_set: bool| u64::from(is_set) << at;
        let found =
            SOUGHT.map(|sought| (0..BLOCK).fold(0, |mask, at| mask | bit(at, block[at] == sought)));
        let is_odd = |at: usize| (found[0] << (BLOCK - 1 - at)).count_ones() % 2 == 1;
        let places = (1000..).zip(block).filter(|(_, byte)| **byte == b'"').map(|(at, _)| at);
        (found, (0..BLOCK).fold(0, |mask, at| mask | bit(at, is_odd(at))), places.collect())
    }

    #[test]
    fn each_place_is_found() {
        for at in 0..BLOCK {
            for (which, sought) in SOUGHT.into_iter().enumerate() {
                let mut block = [b'x'; BLOCK];
                block[at] = sought;
                let mut expected = [0; 4];
                expected[which] = 1 << at;
                assert!(answers(&block).iter().all(|(found, ..)| *found == expected));
            }
        }
    }

    /// Half a block: of what is sought, of quotes for the most part, or of anything.
    fn half() -> impl Strategy<Value = [u8; 32]> {
        prop_oneof![
            prop::array::uniform32(prop::sample::select(SOUGHT.to_vec())),
            prop::array::uniform32(prop::sample::select(b"\"\"\"\"\"\"\"x".to_vec())),
            prop::array::uniform32(any::<u8>()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn all_finders_agree(first in half(), second in half()) {
            let mut block = [0; BLOCK];
            block[..32].copy_from_slice(&first);
            block[32..].copy_from_slice(&second);
            let expected = by_bytes(&block);
            prop_assert!(answers(&block).iter().all(|answer| *answer == expected));
        }
    }
}
