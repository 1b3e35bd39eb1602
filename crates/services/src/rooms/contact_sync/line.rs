//! The order of jobs on phone books: one job of an account at a time, and a few accounts at a time.
//!
//! Bounds: see [`Lines::join`]. Pure. Called by [`crate::owner`] (`contact_sync`).

use crate::effects::turn::contact_sync::{Answer, SyncRequest, SyncWork};
use chaski_store::AccountId;
use std::collections::{HashMap, VecDeque};

/// Syncs of one account that may wait: enough for a few devices at the same time.
const ASKED_MAX: usize = 4;
/// Single numbers that one account still has to look at; beyond, it looks at its whole phone book instead.
const LOOKS_MAX: usize = 64;
/// Accounts with a job under way, per shard: their reads compete with everybody's logins for the reader threads.
const RUNNING_MAX: usize = 8;
/// Syncs that wait, per shard, and the numbers in them; beyond, a sync is refused as busy.
const WAITING_MAX: usize = 512;
const WAITING_NUMBERS_MAX: usize = 500_000;

/// See the module.
#[derive(Default)]
pub(crate) struct Lines {
    lines: HashMap<AccountId, Line>,
    /// Accounts with a job that waits and none under way, each once.
    ready: VecDeque<AccountId>,
    running: usize,
    asked: usize,
    numbers: usize,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<SyncRequest>,
    running: bool,
}

impl SyncRequest {
    fn numbers(&self) -> usize {
        match &self.want {
            SyncWork::Spelled(texts) => texts.len(),
            SyncWork::Change(change) => change.numbers(),
            SyncWork::Look(_) | SyncWork::LookAtAll | SyncWork::Leave | SyncWork::Contacts => 0,
        }
    }
}

impl Lines {
    /// Puts a job into its account's line. Gives it back if too much waits; single looks are always taken.
    pub(crate) fn join(&mut self, wish: SyncRequest) -> Result<(), SyncRequest> {
        let id = wish.account;
        if wish.want.is_asked_for() {
            let asked = |line: &Line| line.waiting.iter().filter(|wish| wish.want.is_asked_for()).count();
            let own = self.lines.get(&id).map_or(0, asked);
            // A single sync is taken however large it is, since the form in which it was sent has bounded it.
            let many = self.numbers > 0 && self.numbers + wish.numbers() > WAITING_NUMBERS_MAX;
            if own >= ASKED_MAX || self.asked >= WAITING_MAX || many {
                return Err(wish);
            }
            self.asked += 1;
            self.numbers += wish.numbers();
        }
        let line = self.lines.entry(id).or_insert_with(|| {
            self.ready.push_back(id);
            Line::default()
        });
        match wish.want {
            SyncWork::Look(_) | SyncWork::LookAtAll if line.looks_at_all() => return Ok(()),
            SyncWork::Look(number) if line.looks_at(number) => return Ok(()),
            SyncWork::Look(_) if line.looks() >= LOOKS_MAX => {
                line.waiting.retain(|wish| !matches!(wish.want, SyncWork::Look(_)));
                line.waiting.push_back(SyncRequest {
                    want: SyncWork::LookAtAll,
                    answer: Answer::None,
                    ..wish
                });
            }
            _ => line.waiting.push_back(wish),
        }
        Ok(())
    }

    /// The next job, if one more may be under way.
    pub(crate) fn next(&mut self) -> Option<SyncRequest> {
        while self.running < RUNNING_MAX {
            let id = self.ready.pop_front()?;
            let Some(line) = self.lines.get_mut(&id) else { continue };
            // The job that waited was withdrawn. A look at the whole phone book takes its place, so that the account learns that
            // no job is under way.
            let wish = line.waiting.pop_front();
            let wish =
                wish.unwrap_or(SyncRequest { account: id, want: SyncWork::LookAtAll, answer: Answer::None });
            line.running = true;
            self.running += 1;
            if wish.want.is_asked_for() {
                self.asked -= 1;
                self.numbers -= wish.numbers();
            }
            return Some(wish);
        }
        None
    }

    /// Takes out the jobs that the account's client has asked for and that still wait.
    pub(crate) fn withdraw(&mut self, id: AccountId) -> Vec<SyncRequest> {
        let Some(line) = self.lines.get_mut(&id) else { return Vec::new() };
        let waiting = std::mem::take(&mut line.waiting);
        let (asked, rest): (Vec<_>, _) = waiting.into_iter().partition(|wish| wish.want.is_by_key());
        line.waiting = rest.into();
        self.asked -= asked.len();
        self.numbers -= asked.iter().map(SyncRequest::numbers).sum::<usize>();
        asked
    }

    /// The account's job has ended. `true`: no further job of it waits.
    pub(crate) fn done(&mut self, id: AccountId) -> bool {
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.running) else { return false };
        line.running = false;
        self.running -= 1;
        if line.waiting.is_empty() {
            self.lines.remove(&id);
            return true;
        }
        self.ready.push_back(id);
        false
    }

    /// Accounts with a job that waits or is under way.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }
}

impl Line {
    fn looks(&self) -> usize {
        self.waiting.iter().filter(|wish| matches!(wish.want, SyncWork::Look(_))).count()
    }

    /// Whether a look at this number waits already.
    fn looks_at(&self, number: u64) -> bool {
        self.waiting.iter().any(|wish| matches!(wish.want, SyncWork::Look(waiting) if waiting == number))
    }

    fn looks_at_all(&self) -> bool {
        self.waiting.iter().any(|wish| matches!(wish.want, SyncWork::LookAtAll))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::turn::command::BookChange;

    fn account(last: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + last).unwrap()
    }

    fn sync(last: u64, numbers: u64) -> SyncRequest {
        let want = SyncWork::Change(BookChange::Replace((0..numbers).collect()));
        SyncRequest { account: account(last), want, answer: Answer::None }
    }

    fn look(last: u64, number: u64) -> SyncRequest {
        SyncRequest { account: account(last), want: SyncWork::Look(number), answer: Answer::None }
    }

    #[test]
    fn one_at_a_time_of_an_account_and_everybody_in_turn() {
        let mut lines = Lines::default();
        for wish in [sync(1, 5), sync(1, 6), sync(2, 7)] {
            assert!(lines.join(wish).is_ok());
        }
        assert_eq!(lines.next().unwrap().numbers(), 5);
        assert_eq!(lines.next().unwrap().account, account(2));
        assert!(lines.next().is_none());
        assert!(!lines.done(account(1)));
        assert_eq!(lines.next().unwrap().numbers(), 6);
        assert!(lines.done(account(1)) && lines.done(account(2)));
        assert!(!lines.done(account(2)), "not twice");
        assert_eq!((lines.len(), lines.running, lines.asked, lines.numbers), (0, 0, 0, 0));
    }

    #[test]
    fn what_is_too_much_comes_back() {
        let mut lines = Lines::default();
        for _ in 0..ASKED_MAX {
            assert!(lines.join(sync(1, 1)).is_ok());
        }
        assert!(lines.join(sync(1, 1)).is_err(), "for one account");
        assert!(lines.join(sync(2, WAITING_NUMBERS_MAX as u64)).is_err(), "in numbers");
        for last in 2..2 + (WAITING_MAX - ASKED_MAX) as u64 {
            assert!(lines.join(sync(last, 1)).is_ok());
        }
        assert!(lines.join(sync(100_000, 1)).is_err(), "for the shard");
        assert!(lines.join(look(100_000, 1)).is_ok(), "looks are always taken");
        let started = std::iter::from_fn(|| lines.next()).count();
        assert_eq!(started, RUNNING_MAX);
    }

    #[test]
    fn what_is_withdrawn_counts_no_more_and_the_rest_goes_on() {
        let mut lines = Lines::default();
        for wish in [sync(1, 5), look(1, 7), sync(1, 6), sync(2, 3)] {
            assert!(lines.join(wish).is_ok());
        }
        assert_eq!(lines.withdraw(account(1)).len(), 2);
        assert_eq!((lines.asked, lines.numbers), (1, 3));
        assert_eq!(lines.withdraw(account(2)).len(), 1);
        assert!(matches!(lines.next().unwrap().want, SyncWork::Look(7)));
        assert!(matches!(lines.next().unwrap().want, SyncWork::LookAtAll), "somebody has to end the line");
        assert!(lines.done(account(1)) && lines.done(account(2)));
        assert_eq!((lines.len(), lines.running, lines.asked, lines.numbers), (0, 0, 0, 0));
    }

    #[test]
    fn many_looks_become_one() {
        let mut lines = Lines::default();
        for number in (0..LOOKS_MAX as u64).chain(0..LOOKS_MAX as u64) {
            assert!(lines.join(look(1, number)).is_ok());
        }
        assert_eq!(lines.lines[&account(1)].waiting.len(), LOOKS_MAX, "each number once");
        for number in 1_000..2_000 {
            assert!(lines.join(look(1, number)).is_ok());
        }
        assert_eq!(lines.lines[&account(1)].waiting.len(), 1);
        assert!(matches!(lines.next().unwrap().want, SyncWork::LookAtAll));
        assert!(lines.join(look(1, 7)).is_ok());
        assert!(!lines.done(account(1)), "what came while it looked is looked at again");
    }
}
