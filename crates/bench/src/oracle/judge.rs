//! What can be learned from answers: a logistic regression over their bytes, order and time, and how often it is right.
//!
//! Called by [`super::run`]. The model is trained on one half of the answers and judged by the other, both ways round, so that each answer is
//! judged once by a model that has not seen it. Everything follows from a seed. What it may be right by chance is said by the
//! interval of a share (Wilson).

use super::ways::{ACKNOWLEDGEMENT, Answer};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// More is learned than promises.md allows.
pub(super) const RIGHT_MAX: f64 = 0.52;
/// Of the interval that is shown: 95 in 100.
const Z_SHOWN: f64 = 1.96;
/// Of the interval that has to lie above one half for a complaint: with twenty ways of asking, one run in a hundred complains of
/// what is chance. With 10,000 answers this is 51.7 %, and so [`RIGHT_MAX`] decides.
const Z_CERTAIN: f64 = 3.3;
/// Times are also told apart by where they fall among all of a way's: one place each.
const PLACES: usize = 10;
/// Forms of answers that have a feature of their own; the rarer ones share the last.
const FORMS_MAX: usize = 6;
const ROUNDS: usize = 400;
const STEP: f64 = 0.5;
const SHRINKING: f64 = 1e-3;

/// How well one way of asking tells who is registered.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// The way.
    pub way: &'static str,
    /// Answers that were judged; half of them about numbers that have an account.
    pub probes: usize,
    /// The share of right guesses, with its interval of 95 %.
    pub right: f64,
    /// From
    pub low: f64,
    /// to.
    pub high: f64,
    /// The median time of an answer about an account, and about nobody, in microseconds.
    pub somebody_us: u64,
    /// The other.
    pub nobody_us: u64,
    /// Whether the same bytes were heard of both, whatever the times and the place of an acknowledgement among them.
    pub is_same: bool,
    /// An answer that was heard of one kind alone, if there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl Told {
    /// Whether the classifier learns more than is allowed, and more than chance explains.
    pub fn is_learned(&self) -> bool {
        self.right > RIGHT_MAX && interval(self.right, self.probes, Z_CERTAIN).0 > 0.5
    }
}

/// Judges one way.
pub(super) fn judge(way: &'static str, answers: &[Answer], seed: u64) -> Told {
    let (rows, labels) =
        (features(answers), answers.iter().map(|answer| answer.is_somebody).collect::<Vec<_>>());
    let mut order: Vec<usize> = (0..answers.len()).collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    let (one, other) = order.split_at(order.len() / 2);
    let right = right_of(&rows, &labels, one, other) + right_of(&rows, &labels, other, one);
    let share = right as f64 / answers.len().max(1) as f64;
    let (low, high) = interval(share, answers.len(), Z_SHOWN);
    let example = heard_of_one_kind(answers);
    Told {
        way,
        probes: answers.len(),
        right: share,
        low,
        high,
        somebody_us: median(answers, true),
        nobody_us: median(answers, false),
        is_same: example.is_none(),
        example,
    }
}

/// An answer that was heard of accounts and never of nobody, or the other way round. Where the acknowledgement of the question stands in it
/// depends on the moment of a tick, once in thousands of answers: what that tells is for the classifier, which knows the order.
fn heard_of_one_kind(answers: &[Answer]) -> Option<String> {
    let heard = |is_somebody: bool| -> BTreeSet<String> {
        let of_kind = answers.iter().filter(|answer| answer.is_somebody == is_somebody);
        of_kind.map(|answer| acknowledged_first(&answer.form)).collect()
    };
    let (somebody, nobody) = (heard(true), heard(false));
    let alone = somebody.symmetric_difference(&nobody).next()?;
    let whose = if somebody.contains(alone) { "of accounts alone" } else { "of nobody alone" };
    Some(format!("{whose}: {alone}"))
}

/// The same with the acknowledgements in front.
fn acknowledged_first(form: &str) -> String {
    let count = form.matches(ACKNOWLEDGEMENT).count();
    ACKNOWLEDGEMENT.repeat(count) + &form.replace(ACKNOWLEDGEMENT, "")
}

fn median(answers: &[Answer], is_somebody: bool) -> u64 {
    let of_kind = answers.iter().filter(|answer| answer.is_somebody == is_somebody);
    let mut times: Vec<u64> = of_kind.map(|answer| answer.us).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// One row for each answer: bytes, stanzas, which form, the time's logarithm, its rank and its place among all, and the same
/// for who was asked about before.
fn features(answers: &[Answer]) -> Vec<Vec<f64>> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    answers.iter().for_each(|answer| *counts.entry(&answer.form).or_default() += 1);
    let mut forms: Vec<(usize, &str)> = counts.into_iter().map(|(form, count)| (count, form)).collect();
    forms.sort_unstable_by(|a, b| b.cmp(a));
    let mut by_time: Vec<usize> = (0..answers.len()).collect();
    by_time.sort_by_key(|index| answers[*index].us);
    let mut ranks = vec![0.0; answers.len()];
    by_time.iter().enumerate().for_each(|(rank, index)| ranks[*index] = rank as f64 / answers.len() as f64);
    let mut rows: Vec<Vec<f64>> = answers
        .iter()
        .zip(ranks)
        .map(|(answer, rank)| {
            let form = forms.iter().take(FORMS_MAX).position(|(_, form)| *form == answer.form);
            let again = f64::from(u8::from(answer.is_again));
            let log_us = (answer.us.max(1) as f64).ln();
            let mut row =
                vec![answer.bytes as f64, answer.pieces as f64, log_us, log_us * again, rank, rank * again];
            row.extend((0..=FORMS_MAX).map(|place| f64::from(u8::from(form.unwrap_or(FORMS_MAX) == place))));
            let place = ((rank * PLACES as f64) as usize).min(PLACES - 1);
            for asked in [0.0, 1.0] {
                row.extend((0..PLACES).map(|other| f64::from(u8::from(other == place && asked == again))));
            }
            row
        })
        .collect();
    standardise(&mut rows);
    rows
}

/// Each column gets mean 0 and deviation 1, or 0 if it says nothing. Knows no labels.
fn standardise(rows: &mut [Vec<f64>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let count = rows.len() as f64;
    for column in 0..columns {
        let mean = rows.iter().map(|row| row[column]).sum::<f64>() / count;
        let spread = rows.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / count;
        let scale = if spread > 1e-12 { spread.sqrt().recip() } else { 0.0 };
        rows.iter_mut().for_each(|row| row[column] = (row[column] - mean) * scale);
    }
}

/// How many of `judged` a model guesses right that was trained on `trained`.
fn right_of(rows: &[Vec<f64>], labels: &[bool], trained: &[usize], judged: &[usize]) -> usize {
    let columns = rows.first().map_or(0, Vec::len);
    let (mut weights, mut offset) = (vec![0.0; columns], 0.0);
    for _ in 0..ROUNDS {
        let (mut slope, mut slope_of_offset) = (vec![0.0; columns], 0.0);
        for &index in trained {
            let row = &rows[index];
            let error = likelihood(row, &weights, offset) - f64::from(u8::from(labels[index]));
            slope.iter_mut().zip(row).for_each(|(slope, value)| *slope += error * value);
            slope_of_offset += error;
        }
        let step = STEP / trained.len().max(1) as f64;
        for (weight, slope) in weights.iter_mut().zip(&slope) {
            *weight -= step * slope + STEP * SHRINKING * *weight;
        }
        offset -= step * slope_of_offset;
    }
    judged
        .iter()
        .filter(|&&index| (likelihood(&rows[index], &weights, offset) > 0.5) == labels[index])
        .count()
}

fn likelihood(row: &[f64], weights: &[f64], offset: f64) -> f64 {
    let sum: f64 = row.iter().zip(weights).map(|(value, weight)| value * weight).sum();
    1.0 / (1.0 + (-(sum + offset)).exp())
}

/// Wilson's interval of a share.
fn interval(share: f64, count: usize, z: f64) -> (f64, f64) {
    let count = count.max(1) as f64;
    let middle = share + z * z / (2.0 * count);
    let half = z * (share * (1.0 - share) / count + z * z / (4.0 * count * count)).sqrt();
    let whole = 1.0 + z * z / count;
    ((middle - half) / whole, (middle + half) / whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    /// Answers whose time and form `make` chooses, knowing whether there is an account.
    fn answers(count: usize, mut make: impl FnMut(bool, &mut StdRng) -> (u64, &'static str)) -> Vec<Answer> {
        let mut rng = StdRng::seed_from_u64(1);
        let answer = |index: usize| {
            let is_somebody = index.is_multiple_of(2);
            let (us, form) = make(is_somebody, &mut rng);
            let (bytes, pieces, is_again) = (form.len(), 1, index % 4 > 1);
            Answer { is_somebody, is_again, bytes, pieces, form: form.into(), us }
        };
        (0..count).map(answer).collect()
    }

    #[test]
    fn nothing_is_learned_from_chance() {
        let same = answers(4_000, |_, rng| (rng.random_range(100..200), "<failure/>"));
        let told = judge("same", &same, 7);
        assert!(!told.is_learned() && told.is_same, "{told:?}");
        assert!(told.low < 0.5 && told.high > 0.5 && told.high - told.low < 0.04, "{told:?}");
        let few = judge("few", &same[..100], 7);
        assert!(!few.is_learned(), "{few:?}");
    }

    #[test]
    fn a_little_sooner_is_learned_and_so_are_both_ends() {
        let sooner = answers(4_000, |somebody, rng| {
            (rng.random_range(100..200) + if somebody { 0 } else { 15 }, "<failure/>")
        });
        assert!(judge("sooner", &sooner, 7).is_learned());
        // No sooner or later on the whole: at once or late, where nobody is in between.
        let ends = answers(4_000, |somebody, rng| match (somebody, rng.random_range(0..2)) {
            (true, 0) => (rng.random_range(100..150), "<failure/>"),
            (true, _) => (rng.random_range(250..300), "<failure/>"),
            (false, _) => (rng.random_range(100..300), "<failure/>"),
        });
        assert!(judge("ends", &ends, 7).is_learned());
    }

    #[test]
    fn one_other_answer_is_enough_whatever_the_share() {
        let mut once = answers(400, |_, _| (100, "<failure/>"));
        once[0].form = "<success/>".into();
        let told = judge("once", &once, 7);
        assert!(!told.is_same && !told.is_learned(), "{told:?}");
        assert_eq!(told.example.as_deref(), Some("of accounts alone: <success/>"));
    }

    #[test]
    fn where_an_acknowledgement_stands_is_chance_once_and_learned_if_it_is_always_so() {
        let (before, behind) = ("<a xmlns='urn:xmpp:sm:3' H/><iq/>", "<iq/><a xmlns='urn:xmpp:sm:3' H/>");
        let mut once = answers(400, |_, _| (100, before));
        once[1].form = behind.into();
        let told = judge("once", &once, 7);
        assert!(told.is_same && !told.is_learned(), "{told:?}");
        let always = answers(400, |somebody, _| (100, if somebody { before } else { behind }));
        assert!(judge("always", &always, 7).is_learned());
        once[1].form = "<iq/>".into();
        assert!(!judge("without", &once, 7).is_same);
    }
}
