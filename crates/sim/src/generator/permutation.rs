//! A random order of any number of things that takes no memory: each position is computed alone.

use super::random::Random;

/// Scrambles the numbers below a bound among themselves.
///
/// A Feistel network of four rounds permutes the smallest square of a power of two that holds the bound;
/// what it puts above the bound is put through it again until it falls below (cycle walking).
pub(super) struct Permutation {
    bound: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

const ROUNDS: usize = 4;

impl Permutation {
    /// Returns the order of `bound` things, at most 2^62, that belongs to a seed and a place.
    pub(super) fn new(bound: u64, seed: u64, place: &[u64]) -> Self {
        let mut random = Random::at(seed, place);
        let bits = u64::BITS - bound.saturating_sub(1).leading_zeros();
        Self {
            bound,
            half_bits: bits.div_ceil(2).max(1),
            keys: [(); ROUNDS].map(|()| random.next()),
        }
    }

    /// Returns the thing at each position, in order of position.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        (0..self.bound).map(|position| self.at(position))
    }

    fn at(&self, position: u64) -> u64 {
        let mut number = self.scrambled(position);
        while number >= self.bound {
            number = self.scrambled(number);
        }
        number
    }

    fn scrambled(&self, number: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (number >> self.half_bits, number & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (Random::at(key, &[right]).next() & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_occurs_once() {
        for bound in [0, 1, 2, 3, 4, 5, 63, 64, 65, 1_000, 70_000] {
            let mut numbers: Vec<u64> = Permutation::new(bound, 1, &[2]).iter().collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..bound), "{bound}");
        }
    }

    #[test]
    fn the_order_is_that_of_its_place() {
        let order = |place: u64| Permutation::new(1_000, 1, &[place]).iter().collect::<Vec<_>>();
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let followers = order(1).windows(2).filter(|pair| pair[0] + 1 == pair[1]).count();
        assert!(followers < 10, "{followers} of 1,000 follow the one before them");
    }
}
