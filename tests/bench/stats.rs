//! Medians and percentiles.

/// The median; NaN of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    if values.len().is_multiple_of(2) { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) } else { at(middle) }
}

/// A percentile of sorted values, by nearest rank.
pub(crate) fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(f64::NAN, |value| f64::from(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let sorted: Vec<u32> = (1..=200).collect();
        assert!((percentile(&sorted, 50) - 100.0).abs() < 1e-9);
        assert!((percentile(&sorted, 99) - 198.0).abs() < 1e-9);
        assert!((percentile(&[7], 99) - 7.0).abs() < 1e-9);
        assert!(percentile(&[], 50).is_nan());
    }
}
