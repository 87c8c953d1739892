//! Limits on what an operation may show: rows and bytes, counted as they pass.

use std::sync::atomic::{AtomicU64, Ordering};

use sluice_model::{Code, Controls, Refusal};
use sluice_wire::Frame as _;

use crate::frame::{Extent, Frame};

/// What one operation may still show.
#[derive(Debug)]
pub(crate) struct Meter {
    rows: Option<AtomicU64>,
    bytes: Option<AtomicU64>,
}

/// What of a run of rows may be shown.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Metered {
    All(Frame),
    /// So much, and then no more.
    Part(Option<Frame>),
}

impl Meter {
    /// A meter at its beginning; `None` where nothing is limited.
    pub(crate) fn of(controls: &Controls) -> Option<Self> {
        let Controls { max_rows, max_bytes, .. } = controls;
        let any = max_rows.is_some() || max_bytes.is_some();
        any.then(|| Self { rows: max_rows.map(AtomicU64::new), bytes: max_bytes.map(AtomicU64::new) })
    }

    /// Counts rows, or messages of copied data, and cuts them off where a limit is reached. Bytes are those of the wire.
    pub(crate) fn pass(&self, frame: Frame) -> Metered {
        if frame.extent() != Extent::Whole {
            // A large row counts once, and each of its pieces by its bytes.
            let rows = u64::from(frame.extent() == Extent::First);
            let fits = take(self.rows.as_ref(), rows) && take(self.bytes.as_ref(), length(frame.wire()));
            return if fits { Metered::All(frame) } else { Metered::Part(None) };
        }
        let mut kept = 0;
        while let Some(rest) = frame.wire().get(kept..).filter(|rest| !rest.is_empty()) {
            let Some(size) = message(rest) else { return Metered::Part(None) };
            let fits =
                take(self.rows.as_ref(), 1) && take(self.bytes.as_ref(), u64::try_from(size).unwrap_or(u64::MAX));
            if !fits {
                let tag = frame.tag();
                let bytes = frame.into_bytes().split_to(kept);
                let kept = (!bytes.is_empty()).then(|| Frame::framed(tag, bytes, Extent::Whole));
                return Metered::Part(kept);
            }
            kept += size;
        }
        Metered::All(frame)
    }
}

/// Counts rows, or messages of copied data, on each of some meters: the first that is reached cuts them off.
pub(crate) fn pass<'a>(meters: impl Iterator<Item = &'a Meter>, frame: Frame) -> Metered {
    let mut passed = Metered::All(frame);
    for meter in meters {
        passed = match passed {
            Metered::All(frame) => meter.pass(frame),
            Metered::Part(Some(frame)) => match meter.pass(frame) {
                Metered::All(frame) => Metered::Part(Some(frame)),
                Metered::Part(frame) => Metered::Part(frame),
            },
            Metered::Part(None) => return Metered::Part(None),
        };
    }
    passed
}

/// Takes from what is left; `false` where it is not enough.
fn take(left: Option<&AtomicU64>, amount: u64) -> bool {
    let Some(left) = left else { return true };
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount)).is_ok()
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The length of the message at the front, with its tag.
fn message(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(bytes.get(1..5)?.try_into().ok()?);
    let whole = usize::try_from(length).ok()?.checked_add(1)?;
    (whole <= bytes.len()).then_some(whole)
}

/// The refusal of the rest of a result.
pub(crate) fn exceeded() -> Refusal {
    Refusal::builtin(Code::Limit, "result-limit", "the result is larger than policy allows; the rest of it is withheld")
        .with_hint("Ask for less: fewer rows, or fewer columns.")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn rows(count: usize) -> Frame {
        let one = [b'D', 0, 0, 0, 6, 0, 0];
        Frame::framed(b'D', one.repeat(count).into(), Extent::Whole)
    }

    fn meter(max_rows: Option<u64>, max_bytes: Option<u64>) -> Meter {
        Meter::of(&Controls { max_rows, max_bytes, ..Controls::default() }).unwrap()
    }

    #[test]
    fn rows_pass_up_to_the_limit_and_not_one_more() {
        for limit in [0_u64, 1, 4, 5] {
            let allowed = usize::try_from(limit).unwrap();
            let expected =
                if allowed >= 5 { Metered::All(rows(5)) } else { Metered::Part((allowed > 0).then(|| rows(allowed))) };
            assert_eq!(meter(Some(limit), None).pass(rows(5)), expected, "{limit}");
        }
        let meter = meter(Some(3), None);
        assert_eq!(meter.pass(rows(2)), Metered::All(rows(2)));
        assert_eq!(meter.pass(rows(2)), Metered::Part(Some(rows(1))), "runs count together");
    }

    #[test]
    fn rows_count_on_every_meter_and_the_first_that_is_reached_counts() {
        let (two, three) = (meter(Some(2), None), meter(Some(3), None));
        assert_eq!(pass([].into_iter(), rows(9)), Metered::All(rows(9)));
        assert_eq!(pass([&two, &three].into_iter(), rows(1)), Metered::All(rows(1)));
        assert_eq!(pass([&three, &two].into_iter(), rows(4)), Metered::Part(Some(rows(1))));
        assert_eq!(pass([&three, &two].into_iter(), rows(1)), Metered::Part(None));
    }

    #[test]
    fn bytes_pass_in_whole_rows() {
        assert_eq!(meter(None, Some(14)).pass(rows(2)), Metered::All(rows(2)));
        assert_eq!(meter(None, Some(13)).pass(rows(2)), Metered::Part(Some(rows(1))));
        assert_eq!(meter(None, Some(6)).pass(rows(2)), Metered::Part(None));
        let piece = Frame::framed(b'D', vec![0; 8].into(), Extent::Later);
        assert_eq!(meter(Some(0), Some(8)).pass(piece.clone()), Metered::All(piece.clone()));
        assert_eq!(meter(Some(9), Some(7)).pass(piece), Metered::Part(None));
    }

    #[test]
    fn nothing_is_metered_without_a_limit() {
        assert!(Meter::of(&Controls::default()).is_none());
    }
}
