//! Figures of many rounds in three numbers.

use serde::Serialize;

/// The median, and between which numbers the middle half lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Summary {
    /// Of at least one number; `None` of none, and of what is no number.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        if sorted.iter().any(|sample| sample.is_nan()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        Some(Self { median: at(&sorted, 0.5)?, low: at(&sorted, 0.25)?, high: at(&sorted, 0.75)? })
    }

    /// Half of what the middle half spans.
    pub(crate) fn spread(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// The quotients of two figures round by round: what disturbs a round disturbs both.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Option<Summary> {
    Summary::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
}

/// What one figure is above another, round by round.
pub(crate) fn differences(ours: &[f64], theirs: &[f64]) -> Option<Summary> {
    Summary::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs))
}

/// What share one difference is of another. Differences may come out as anything on a noisy machine, and a quotient of such
/// numbers says nothing: `None` if the middle half of theirs reaches down to zero, if that of ours spans more than theirs is,
/// or if ours is not above zero.
pub(crate) fn share(ours: Summary, theirs: Summary) -> Option<Summary> {
    let known = theirs.low > 0.0 && ours.median > 0.0 && ours.high - ours.low < theirs.median;
    known.then(|| Summary {
        median: ours.median / theirs.median,
        low: ours.low / theirs.high,
        high: ours.high / theirs.low,
    })
}

/// What stands at this share of a sorted list, between two neighbours by linear interpolation.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index of a list of rounds"
)]
fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)?) as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these numbers are exact")]
mod tests {
    use super::*;

    #[test]
    fn one_disturbed_round_does_not_move_the_median() {
        let quiet = Summary::of([10.0, 11.0, 12.0, 13.0, 14.0]).unwrap();
        assert_eq!(quiet, Summary { median: 12.0, low: 11.0, high: 13.0 });
        assert_eq!(Summary::of([14.0, 900.0, 12.0, 11.0, 10.0]).unwrap().median, 12.0);
        assert_eq!(quiet.spread(), 1.0);
    }

    #[test]
    fn an_even_number_of_rounds_has_its_median_in_the_middle() {
        assert_eq!(Summary::of([1.0, 2.0, 4.0, 8.0]).unwrap().median, 3.0);
        assert_eq!(Summary::of([7.0]).unwrap(), Summary { median: 7.0, low: 7.0, high: 7.0 });
    }

    #[test]
    fn nothing_and_what_is_no_number_have_no_median() {
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([1.0, f64::NAN]), None);
        assert_eq!(ratios(&[0.0], &[0.0]), None);
    }

    #[test]
    fn figures_are_compared_within_their_round() {
        // The machine is half as fast in the second round, for both.
        assert_eq!(ratios(&[10.0, 20.0, 10.0], &[40.0, 80.0, 40.0]).unwrap().median, 0.25);
        assert_eq!(differences(&[10.0, 20.0, 11.0], &[9.0, 19.0, 10.0]).unwrap().median, 1.0);
    }

    #[test]
    fn differences_that_noise_has_made_are_not_compared() {
        let summary = |low, median, high| Summary { median, low, high };
        let theirs = summary(4.0, 5.0, 8.0);
        assert_eq!(share(summary(1.0, 2.0, 3.0), theirs), Some(summary(0.125, 0.4, 0.75)));
        assert_eq!(share(summary(-2.0, 2.0, 3.0), theirs), None, "ours may be anything");
        assert_eq!(share(summary(1.0, 2.0, 3.0), summary(-1.0, 5.0, 8.0)), None, "theirs may be nothing");
        assert_eq!(share(summary(-1.0, -0.5, 0.5), theirs), None, "nobody takes time away");
    }
}
