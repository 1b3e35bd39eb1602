//! Valid histories, each spoiled in one place, in one way: the checker must refuse every one of them, by name.
//!
//! `cargo run -p chaski-promises --example mutants` lists them, and by which rule each is refused. Each is also a test.

mod accounts;
mod messages;
mod trace;

use crate::checker::judge;
use crate::event::{Event, Timed};
use crate::model::play::{self, Random};
use crate::{Knobs, Rule};
use trace::Trace;

/// Spoils a history. `false`: there is no place for it in this one.
pub(crate) type Edit = fn(&mut Spoiled) -> bool;

/// A way to spoil histories.
#[derive(Clone, Copy)]
pub struct Mutant {
    /// What is done.
    pub name: &'static str,
    /// One of these rules must refuse it.
    pub rules: &'static [Rule],
    edit: Edit,
}

/// All of them.
pub fn all() -> Vec<Mutant> {
    messages::MUTANTS.iter().chain(accounts::MUTANTS).copied().collect()
}

impl Mutant {
    /// Spoils the history of a seed. `None`: there is no place for it.
    pub fn of(&self, seed: u64) -> Option<Vec<Timed>> {
        let history = play::history(seed, 120);
        let trace = Trace::of(&history);
        let mut spoiled = Spoiled { history, trace, random: Random::new(seed ^ 0x5eed) };
        (self.edit)(&mut spoiled).then_some(spoiled.history)
    }

    /// The rule that refuses it with this seed, as it should. An error: what the checker said instead.
    pub fn refused(&self, seed: u64) -> Option<Result<Rule, String>> {
        let verdicts = judge(Knobs::default(), &self.of(seed)?);
        let found = verdicts.iter().find(|verdict| self.rules.contains(&verdict.rule));
        Some(match found {
            Some(verdict) => Ok(verdict.rule),
            None => Err(format!("seed {seed}: {verdicts:?}")),
        })
    }
}

/// A history under the knife.
pub(crate) struct Spoiled {
    history: Vec<Timed>,
    trace: Trace,
    random: Random,
}

impl Spoiled {
    /// Puts an event before this place, at the time of the one before it.
    fn insert(&mut self, place: usize, event: Event) {
        let at_ms = self.history[place.saturating_sub(1)].at_ms;
        self.history.insert(place, Timed { at_ms, event });
    }

    /// The stanza that was shown there was another one.
    fn blank(&mut self, place: usize) {
        if let Event::Shown { showing, .. } = &mut self.history[place].event {
            *showing = None;
        }
    }

    /// One of the places where something holds.
    fn place(&mut self, wanted: impl Fn(&Event) -> bool) -> Option<usize> {
        let places: Vec<usize> =
            (0..self.history.len()).filter(|&at| wanted(&self.history[at].event)).collect();
        self.random.pick(&places)
    }

    /// One of the messages for which something holds.
    fn message(&mut self, wanted: impl Fn(&trace::Traced, &Trace, &[Timed]) -> bool) -> Option<usize> {
        let (all, history) = (&self.trace.messages, &self.history);
        let found: Vec<usize> =
            (0..all.len()).filter(|&index| wanted(&all[index], &self.trace, history)).collect();
        self.random.pick(&found)
    }
}

#[cfg(test)]
mod tests;
