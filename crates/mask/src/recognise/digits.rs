//! Digits in groups, and what separates the groups.

/// One group of digits and the separators before it.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    /// Empty before the first group, except for what a number opens with.
    pub(super) separator: &'a [u8],
    pub(super) digits: &'a [u8],
}

/// The groups of a text; none if it has more than `N`.
pub(super) fn groups<const N: usize>(text: &[u8]) -> Option<([Group<'_>; N], usize)> {
    let mut all = [Group { separator: &[], digits: &[] }; N];
    let (mut count, mut rest) = (0, text);
    while !rest.is_empty() {
        let from = rest.iter().position(u8::is_ascii_digit)?;
        let (separator, tail) = rest.split_at_checked(from)?;
        let length = tail.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(tail.len());
        let (digits, tail) = tail.split_at_checked(length)?;
        *all.get_mut(count)? = Group { separator, digits };
        count += 1;
        rest = tail;
    }
    Some((all, count))
}

/// The digits of a text as numbers.
pub(super) fn digits(text: &[u8]) -> impl DoubleEndedIterator<Item = u8> {
    text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte.saturating_sub(b'0'))
}
