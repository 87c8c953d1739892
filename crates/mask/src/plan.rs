//! Which protected columns a result may carry.

use thiserror::Error;

/// A result would carry a protected column that nothing masks.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("column {position} of the result is protected and would leave unmasked")]
pub struct Unmaskable {
    /// Counted from 1.
    pub position: usize,
}

/// The masks of one operation, as its results are checked against them. `K` names a column at its origin.
///
/// Masks that the server applies leave a computed column without an origin. A result column that still has the origin
/// of a protected column is refused, unless policy lets this principal see exactly that column in full.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan<K> {
    cleared: Vec<K>,
}

impl<K: Ord> Plan<K> {
    /// A plan that lets these protected columns through, and no others.
    #[must_use]
    pub fn clearing(columns: impl IntoIterator<Item = K>) -> Self {
        let mut cleared: Vec<K> = columns.into_iter().collect();
        cleared.sort_unstable();
        cleared.dedup();
        Self { cleared }
    }

    /// Checks a result before its first row: each item is a column's protected origin, or `None`.
    pub fn bind(&self, columns: impl IntoIterator<Item = Option<K>>) -> Result<(), Unmaskable> {
        for (index, origin) in columns.into_iter().enumerate() {
            if let Some(origin) = origin
                && self.cleared.binary_search(&origin).is_err()
            {
                return Err(Unmaskable { position: index.saturating_add(1) });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cleared_protected_columns_pass() {
        let plan = Plan::clearing([(7, 2), (7, 1)]);
        assert_eq!(plan.bind([None, Some((7, 1)), Some((7, 2))]), Ok(()));
        assert_eq!(plan.bind([None, Some((7, 3))]), Err(Unmaskable { position: 2 }));
        assert_eq!(Plan::clearing([]).bind([Some((7, 1))]), Err(Unmaskable { position: 1 }));
    }

    proptest::proptest! {
        #[test]
        fn a_result_binds_exactly_if_every_protected_origin_is_cleared(
            cleared in proptest::collection::vec(0_u8..8, 0..6),
            columns in proptest::collection::vec(proptest::option::of(0_u8..8), 0..6),
        ) {
            let all = columns.iter().flatten().all(|column| cleared.contains(column));
            proptest::prop_assert_eq!(Plan::clearing(cleared).bind(columns).is_ok(), all);
        }
    }
}
