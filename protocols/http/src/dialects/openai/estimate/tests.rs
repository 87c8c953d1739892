//! Prices; what is estimated of requests is tested with whole requests.

use super::*;

#[test]
fn prices_are_rounded_up_and_do_not_overflow() {
    let model =
        Model { input_micros: 1_250_000, cached_micros: 125_000, output_micros: 10_000_000, ..Model::default() };
    assert_eq!(cost_micros(0, 0, 0, &model), 0);
    assert_eq!(cost_micros(1, 0, 0, &model), 2);
    assert_eq!(cost_micros(1_000_000, 0, 0, &model), 1_250_000);
    assert_eq!(cost_micros(1_000_000, 1_000_000, 0, &model), 125_000);
    assert_eq!(cost_micros(1_000, 2_000, 0, &model), 125);
    assert_eq!(cost_micros(1_000, 500, 100, &model), 625 + 63 + 1_000);
    let dear = Model { input_micros: u64::MAX, output_micros: u64::MAX, ..Model::default() };
    assert_eq!(cost_micros(u64::MAX, 0, u64::MAX, &dear), u64::MAX);
    let estimate = Estimate { input_tokens: 4, output_tokens: 2, bound: Bound::Loose };
    assert_eq!(cost_micros(estimate.input_tokens, 0, estimate.output_tokens, &model), 25);
    assert_eq!(cost_micros(estimate.input_tokens, 0, estimate.output_tokens, &Model::default()), 0);
}
