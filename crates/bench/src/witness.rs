//! What the clients of a run see, told to the checker of promises (docs/promises.md), which judges it.
//!
//! Called by the crash test and the soak, whose clients share one witness. It knows accounts by their index in the run, gives
//! every message its name and text, and counts in the checker's stead what `chaski-client` does not tell: of stanzas it tells
//! messages only, so that `h` is the number of messages. A client's own acknowledgement counts once the server has asked again,
//! which it does only when it has the one before.
//! Promises: everything that is told to it is judged; what cannot be known (whether a farewell arrived) is told as less.

use chaski_client::message::Received;
use chaski_promises::event::Showing;
use chaski_promises::{
    Account, Cause, Checker, Content, Device, Event, Knobs, Letter, Lock, Session, StanzaId, digest,
};
use serde::Serialize;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Most accounts: their index is in every text.
pub(crate) const PEERS_MAX: usize = 64;
/// Most violations that are told in words.
const VIOLATIONS_MAX: usize = 20;
/// Without any progress for so long, what is missing will not come any more.
const STALL: Duration = Duration::from_secs(45);
/// How often we look whether all is quiet.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// So long after everything has arrived nothing may move: what was under way again has been acknowledged too.
const QUIET: Duration = Duration::from_secs(1);
/// Two clients are watched by two tasks: what they see may be told in the wrong order within this time.
const SLACK_MS: u64 = 3_000;

/// Locks; a panic elsewhere ends the run anyway.
pub(crate) fn lock(witness: &Mutex<Witness>) -> MutexGuard<'_, Witness> {
    witness.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until everything has arrived and everybody is there to acknowledge it, or nothing moves any more; what is missing then
/// is a violation.
pub(crate) async fn drained(witness: &Mutex<Witness>) {
    let mut last = lock(witness).totals();
    let mut still = Duration::ZERO;
    let is_over = |still: Duration| {
        let witness = lock(witness);
        still >= QUIET && witness.is_settled() && witness.are_all_here()
    };
    while still < STALL && !is_over(still) {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let now = lock(witness).totals();
        still = if now == last { still + LOOK_INTERVAL } else { Duration::ZERO };
        last = now;
    }
    lock(witness).settle();
}

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Messages given to clients for sending.
    pub sent: u64,
    /// Messages for which the server has taken responsibility.
    pub accepted: u64,
    /// Messages that came back with an error.
    pub refused: u64,
    /// Messages that arrived for the first time.
    pub delivered: u64,
    /// Messages that arrived again.
    pub duplicates: u64,
    /// Sessions that went on after a lost connection.
    pub resumed: u64,
    /// Sessions that began.
    pub bound: u64,
    /// Accounts that were removed, or given another key, and used again.
    pub renewed: u64,
}

/// For the progress line.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, accepted, refused, delivered, duplicates, resumed, bound, renewed } = self;
        write!(
            f,
            "sent {sent}, accepted {accepted}, delivered {delivered}, duplicates {duplicates}, \
             sessions {bound} new, {resumed} resumed"
        )?;
        if *refused > 0 || *renewed > 0 {
            write!(f, ", refused {refused}, accounts renewed {renewed}")?;
        }
        Ok(())
    }
}

/// A message that the server has not accepted.
#[derive(Debug, Clone, Copy)]
struct Open {
    mark: u64,
    to: usize,
    letter: Letter,
}

/// One account and its client.
#[derive(Debug, Default)]
struct Peer {
    /// The generation of its key.
    key: u32,
    session: Option<Session>,
    is_here: bool,
    is_gone: bool,
    open: VecDeque<Open>,
    /// Messages of the session that are accepted, shown, surely acknowledged.
    covered: u32,
    shown: u32,
    acknowledged: u32,
    /// What it had been shown when it last answered an `<r/>`.
    answered: u32,
    /// What it has got since its number is its own, to tell repetitions.
    got: HashSet<u64>,
}

/// See the module.
pub(crate) struct Witness {
    seed: u64,
    start: Instant,
    checker: Checker,
    peers: Vec<Peer>,
    last_session: u64,
    last_mark: u64,
    /// Messages under way, by sender and recipient.
    under_way: HashMap<(usize, usize), u64>,
    totals: Totals,
    notes: Vec<String>,
    notes_total: u64,
}

impl Witness {
    /// All accounts have just been made.
    pub(crate) fn new(seed: u64, peers: usize) -> Self {
        let knobs = Knobs { slack_ms: SLACK_MS, verdicts_max: VIOLATIONS_MAX, ..Knobs::default() };
        let mut witness = Self {
            seed,
            start: Instant::now(),
            checker: Checker::new(knobs),
            peers: (0..peers).map(|_| Peer { key: 1, ..Peer::default() }).collect(),
            last_session: 0,
            last_mark: 0,
            under_way: HashMap::new(),
            totals: Totals::default(),
            notes: Vec::new(),
            notes_total: 0,
        };
        (0..peers).for_each(|index| witness.registered(index));
        witness
    }

    fn see(&mut self, event: Event) {
        let at_ms = self.start.elapsed().as_millis() as u64;
        self.checker.see(at_ms, event);
    }

    fn registered(&mut self, index: usize) {
        let key = self.peers[index].key;
        let account = account(index);
        self.see(Event::Registered { account, key, proof: true, silent_ms: 0, lock: Lock::None });
    }

    /// A session has begun, or goes on.
    pub(crate) fn connected(&mut self, index: usize, is_resumed: bool) {
        let peer = &mut self.peers[index];
        peer.is_here = true;
        let (key, former) = (peer.key, peer.session);
        match former {
            Some(session) if is_resumed => {
                let (h, arrived) = (peer.covered, peer.shown);
                (peer.acknowledged, peer.answered) = (arrived, arrived);
                self.totals.resumed += 1;
                self.see(Event::Resumed { session, key, h, arrived });
            }
            former => {
                if let Some(session) = former {
                    self.see(Event::ResumeRefused { session });
                }
                self.begin(index);
            }
        }
        self.send_again(index);
    }

    fn begin(&mut self, index: usize) {
        self.totals.bound += 1;
        self.last_session += 1;
        let session = Session(self.last_session);
        let peer = &mut self.peers[index];
        peer.session = Some(session);
        (peer.covered, peer.shown, peer.acknowledged, peer.answered) = (0, 0, 0, 0);
        let key = peer.key;
        let (account, device) = (account(index), Device(index as u64));
        self.see(Event::Began { session, account, device, key });
        self.see(Event::Managed { session });
    }

    /// The client sends again what was not accepted.
    fn send_again(&mut self, index: usize) {
        let Some(session) = self.peers[index].session else { return };
        let letters: Vec<Letter> = self.peers[index].open.iter().map(|open| open.letter).collect();
        for letter in letters {
            self.see(Event::Sent { session, letter: Some(letter) });
        }
    }

    /// The connection is lost; the session may go on.
    pub(crate) fn lost(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if std::mem::take(&mut peer.is_here)
            && let Some(session) = peer.session
        {
            self.see(Event::Lost { session, missing: 0 });
        }
    }

    /// The client has given its session up.
    pub(crate) fn left(&mut self, index: usize) {
        if let Some(session) = self.peers[index].session.take() {
            self.see(Event::Ended { session, cause: Some(Cause::Client) });
        }
    }

    /// The server's process was killed.
    pub(crate) fn crashed(&mut self) {
        self.see(Event::Crashed { power: false });
    }

    /// A new message: its mark, id and text.
    pub(crate) fn send(&mut self, from: usize, to: usize) -> (u64, String, String) {
        self.totals.sent += 1;
        self.last_mark += 1;
        let mark = self.last_mark;
        let id = format!("witness-{:x}-{from}-{to}-{mark}", self.seed);
        let body = body(from, to, mark);
        let content = Content { identity: Some(digest(id.as_bytes())), bytes: digest(body.as_bytes()) };
        let letter = Letter { to: account(to), resource: None, content, kept: true };
        *self.under_way.entry((from, to)).or_default() += 1;
        let peer = &mut self.peers[from];
        peer.open.push_back(Open { mark, to, letter });
        if let (true, Some(session)) = (peer.is_here, peer.session) {
            self.see(Event::Sent { session, letter: Some(letter) });
        }
        (mark, id, body)
    }

    /// How many messages are under way.
    pub(crate) fn under_way(&self, from: usize, to: usize) -> u64 {
        self.under_way.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Whether there is an account to send to.
    pub(crate) fn is_there(&self, index: usize) -> bool {
        !self.peers[index].is_gone
    }

    /// The server accepts, in order.
    pub(crate) fn accepted(&mut self, index: usize, marks: &[u64]) {
        for &mark in marks {
            match self.peers[index].open.pop_front() {
                Some(open) if open.mark == mark => {}
                _ => self.note(format!("peer {index}: a message was accepted where another was due")),
            }
            self.totals.accepted += 1;
        }
        let peer = &mut self.peers[index];
        peer.covered = peer.covered.wrapping_add(marks.len() as u32);
        if let Some(session) = peer.session {
            let h = peer.covered;
            self.see(Event::Covered { session, h });
        }
    }

    /// A message came; it may be an error.
    pub(crate) fn received(&mut self, index: usize, received: &Received) {
        let Some(session) = self.peers[index].session else { return };
        let from = index_of(&received.from).filter(|&from| from < self.peers.len());
        let (Some(from), Some(id)) = (from, &received.id) else {
            return self.note(format!("peer {index}: a message from nobody"));
        };
        let identity = digest(id.as_bytes());
        if received.error.is_some() {
            return self.refused(session, index, from, identity);
        }
        let Some(body) = &received.body else { return };
        let content = Content { identity: Some(identity), bytes: digest(body.as_bytes()) };
        let stanza_id = received.stanza_id.as_ref().map(|id| StanzaId(digest(id.as_bytes())));
        let peer = &mut self.peers[index];
        peer.shown = peer.shown.wrapping_add(1);
        if peer.got.insert(content.bytes) {
            self.totals.delivered += 1;
            self.arrived(from, index);
        } else {
            self.totals.duplicates += 1;
        }
        let delayed = received.delayed.is_some();
        let showing = Showing { from: account(from), content, stanza_id, delayed };
        self.see(Event::Shown { session, showing: Some(showing) });
    }

    fn refused(&mut self, session: Session, index: usize, to: usize, identity: u64) {
        self.totals.refused += 1;
        self.arrived(index, to);
        let is_it = |open: &&Open| open.letter.content.identity == Some(identity);
        let content = self.peers[index].open.iter().find(is_it).map(|open| open.letter.content);
        // Nobody blocks anybody here.
        self.see(Event::Refused { session, to: account(to), content, is_bound: false });
    }

    fn arrived(&mut self, from: usize, to: usize) {
        if let Some(count) = self.under_way.get_mut(&(from, to)) {
            *count = count.saturating_sub(1);
        }
    }

    /// The client has answered so many `<r/>`s during a call that began when it had handled all it was shown before.
    pub(crate) fn answered(&mut self, index: usize, times: u64, shown_before: u32) {
        let peer = &mut self.peers[index];
        let sure = match times {
            0 => return,
            1 => peer.answered,
            _ => shown_before,
        };
        peer.answered = shown_before;
        if let (true, Some(session)) = (sure != peer.acknowledged, peer.session) {
            peer.acknowledged = sure;
            self.see(Event::Acknowledged { session, h: sure });
        }
    }

    /// How many messages its session has been shown.
    pub(crate) fn shown(&self, index: usize) -> u32 {
        self.peers[index].shown
    }

    /// The account is going to be removed, or given another key.
    pub(crate) fn leaving(&mut self, index: usize) {
        self.peers[index].is_gone = true;
        self.see(Event::Removing { account: account(index) });
    }

    /// That was answered.
    pub(crate) fn removed(&mut self, index: usize) {
        self.see(Event::Removed { account: account(index) });
        let peer = &mut self.peers[index];
        (peer.session, peer.is_here) = (None, false);
        peer.open.clear();
        self.under_way.retain(|&(from, to), _| from != index && to != index);
    }

    /// There is an account of this number again.
    pub(crate) fn made(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        peer.key += 1;
        peer.is_gone = false;
        peer.got.clear();
        self.totals.renewed += 1;
        self.registered(index);
    }

    /// It has another key, and all else of before.
    pub(crate) fn key_changed(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        peer.key += 1;
        (peer.session, peer.is_here, peer.is_gone) = (None, false, false);
        let key = peer.key;
        self.totals.renewed += 1;
        self.see(Event::KeyChanged { account: account(index), key });
    }

    /// How many are connected.
    pub(crate) fn here(&self) -> usize {
        self.peers.iter().filter(|peer| peer.is_here).count()
    }

    /// Who is not there has acknowledged nothing of what it got last.
    pub(crate) fn are_all_here(&self) -> bool {
        self.peers.iter().all(|peer| peer.is_here)
    }

    /// Whether everything was accepted or refused, and everything accepted has arrived.
    pub(crate) fn is_settled(&self) -> bool {
        let none_waits = |index| self.checker.waiting(account(index)) == 0;
        self.peers.iter().all(|peer| peer.open.is_empty()) && (0..self.peers.len()).all(none_waits)
    }

    /// Nothing more will come: what is missing is missing.
    pub(crate) fn settle(&mut self) {
        for index in 0..self.peers.len() {
            self.see(Event::Drained { account: account(index) });
            let open = self.peers[index].open.iter().fold(HashMap::new(), |mut open, sent| {
                *open.entry(sent.to).or_insert(0u64) += 1;
                open
            });
            for (to, count) in open {
                self.note(format!("{index} to {to}: {count} messages were sent and never accepted"));
            }
        }
    }

    /// Something is wrong that the checker can't see.
    pub(crate) fn note(&mut self, text: String) {
        self.notes_total += 1;
        if self.notes.len() < VIOLATIONS_MAX {
            self.notes.push(text);
        }
    }

    /// The first of what is wrong, and how much there is.
    pub(crate) fn violations(&self) -> (Vec<String>, u64) {
        let verdicts = self.checker.verdicts().iter().map(ToString::to_string);
        let all = self.notes.iter().cloned().chain(verdicts).take(VIOLATIONS_MAX).collect();
        (all, self.notes_total + self.checker.verdicts_total())
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }
}

fn account(index: usize) -> Account {
    Account(index as u64)
}

/// The account that a JID is of: see [`crate::accounts::Number`].
fn index_of(jid: &str) -> Option<usize> {
    jid.strip_prefix("+1999")?.split('@').next()?.parse().ok()
}

/// What a message says: of changing length, with some letters beyond ASCII and some to be escaped.
fn body(from: usize, to: usize, mark: u64) -> String {
    let filler = "ñ&ж<語🙂 lorem ";
    let letters = (mark.wrapping_mul(37) % 400) as usize;
    format!("{from} {to} {mark} {}", filler.chars().cycle().take(letters).collect::<String>())
}

#[cfg(test)]
mod tests;
