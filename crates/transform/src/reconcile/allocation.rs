//! An amount in parts that add up to it, to the last digit.
//!
//! Largest remainder: each part is first its share, rounded towards zero; the units that are left go, one each, to the
//! largest remainders.
//!
//! | amount | weights | exact shares | parts |
//! |---|---|---|---|
//! | 10 | 1, 1, 1 | 3⅓ each | 4, 3, 3 |
//! | 10 | 1, 2, 4 | 1.43, 2.86, 5.71 | 1, 3, 6 |
//! | -10 | 1, 1, 1 | -3⅓ each | -4, -3, -3 |
//! | 10 | 1, -5, 0 | 10, 0, 0 | 10, 0, 0 |

use std::cmp::Reverse;

use arrow::datatypes::i256;

/// Splits an amount in proportion to weights.
///
/// The amount is in units of its last digit, the weights in any unit: only their ratios count. A weight below 0
/// counts as 0, and gets 0. Each part is less than one unit from its exact share, and has the sign of the amount. Of
/// equal remainders the first ones get the units that are left. `None` where no weight is above 0.
pub fn split(amount: i128, weights: &[i128]) -> Option<Vec<i128>> {
    let weights: Vec<i256> = weights.iter().map(|w| i256::from_i128((*w).max(0))).collect();
    // Below 2^191: no slice has 2^64 weights.
    let total = weights.iter().fold(i256::ZERO, |sum, weight| sum.wrapping_add(*weight));
    if total == i256::ZERO {
        return None;
    }
    let magnitude = i256::from_parts(amount.unsigned_abs(), 0);
    let mut parts = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    for weight in weights {
        // At most 2^127 times 2^127.
        let product = magnitude.wrapping_mul(weight);
        parts.push(product.checked_div(total)?);
        remainders.push(product.checked_rem(total)?);
    }
    hand_out_rest(magnitude, &mut parts, &remainders);
    let signed = |part: i256| if amount < 0 { part.wrapping_neg() } else { part };
    Some(parts.into_iter().map(|part| signed(part).as_i128()).collect())
}

/// Adds one unit to the parts with the largest remainders, until the parts add up to the whole.
fn hand_out_rest(whole: i256, parts: &mut [i256], remainders: &[i256]) {
    let handed_out = parts.iter().fold(i256::ZERO, |sum, part| sum.wrapping_add(*part));
    // Fewer units than there are parts: each remainder is less than a unit.
    let left = whole.wrapping_sub(handed_out).to_i128().and_then(|left| usize::try_from(left).ok());
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|at| Reverse(remainders[*at]));
    for at in order.into_iter().take(left.unwrap_or(0)) {
        parts[at] = parts[at].wrapping_add(i256::ONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(amount: i128, weights: &[i128], expected: &[i128]) {
        assert_eq!(split(amount, weights).as_deref(), Some(expected), "{amount} by {weights:?}");
    }

    #[test]
    fn what_is_left_goes_to_the_largest_remainders_and_then_to_the_first() {
        check(10, &[1, 1, 1], &[4, 3, 3]);
        check(11, &[1, 1, 1], &[4, 4, 3]);
        check(10, &[1, 2, 4], &[1, 3, 6]);
        check(-10, &[1, 1, 1], &[-4, -3, -3]);
        check(10, &[1, -5, 0], &[10, 0, 0]);
        check(1, &[0, 1, 1], &[0, 1, 0]);
        check(0, &[3, 4], &[0, 0]);
        check(7, &[i128::MAX], &[7]);
    }

    #[test]
    fn nobody_to_split_to_is_no_split() {
        for weights in [&[][..], &[0], &[0, -1, i128::MIN]] {
            assert_eq!(split(10, weights), None);
        }
    }

    #[test]
    fn the_largest_amounts_and_weights_do_not_overflow() {
        let parts = split(i128::MIN, &[i128::MAX; 3]).unwrap();
        let third = i128::MIN / 3;
        assert_eq!(parts, [third - 1, third - 1, third]);
        check(i128::MIN, &[0, i128::MAX], &[0, i128::MIN]);
        check(i128::MAX, &[i128::MAX, 1], &[i128::MAX - 1, 1]);
    }
}
