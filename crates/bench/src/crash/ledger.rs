//! What was sent, accepted and received, and the rules between them.
//!
//! A *flow* is all messages from one peer to another, numbered from 1. Rules: the server accepts a flow in order; the first
//! occurrences arrive in order, without a gap, with the bytes that were sent; a later occurrence has the stanza-id of the
//! first; in the end everything that was sent is accepted, and everything accepted has arrived.

use serde::Serialize;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most peers: flows are the square of them.
pub(crate) const PEERS_MAX: usize = 64;
/// Most violations that are told in words.
const VIOLATIONS_MAX: usize = 20;
/// Bits of a mark that hold the number within the flow.
const SEQ_BITS: u32 = 40;

/// Locks; a panic elsewhere ends the run anyway.
pub(crate) fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Messages given to clients for sending.
    pub sent: u64,
    /// Messages for which the server has taken responsibility.
    pub accepted: u64,
    /// Messages that arrived for the first time.
    pub delivered: u64,
    /// Messages that arrived again.
    pub duplicates: u64,
    /// Sessions that went on after a lost connection.
    pub resumed: u64,
    /// Sessions that began.
    pub bound: u64,
}

/// For the progress line.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, accepted, delivered, duplicates, resumed, bound } = self;
        write!(
            f,
            "sent {sent}, accepted {accepted}, delivered {delivered}, duplicates {duplicates}, \
             sessions {bound} new, {resumed} resumed"
        )
    }
}

#[derive(Debug, Default)]
struct Flow {
    sent: u64,
    accepted: u64,
    /// A hash of the stanza-id of each message received, by number.
    stanza_ids: Vec<u64>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    seed: u64,
    peers: usize,
    flows: Vec<Flow>,
    /// Who is connected.
    here: Vec<bool>,
    totals: Totals,
    violations: Vec<String>,
    violations_total: u64,
}

impl Ledger {
    pub(crate) fn new(seed: u64, peers: usize) -> Self {
        let flows = (0..peers * peers).map(|_| Flow::default()).collect();
        let totals = Totals::default();
        let here = vec![false; peers];
        Self { seed, peers, flows, here, totals, violations: Vec::new(), violations_total: 0 }
    }

    fn flow(&mut self, from: usize, to: usize) -> &mut Flow {
        &mut self.flows[from * self.peers + to]
    }

    /// A new message: its mark, id and body.
    pub(crate) fn send(&mut self, from: usize, to: usize) -> (u64, String, String) {
        self.totals.sent += 1;
        let seed = self.seed;
        let flow = self.flow(from, to);
        flow.sent += 1;
        let seq = flow.sent;
        let mark = ((to as u64) << SEQ_BITS) | seq;
        (mark, format!("crash-{seed:x}-{from}-{to}-{seq}"), body(from, to, seq))
    }

    /// How many messages are under way.
    pub(crate) fn under_way(&mut self, from: usize, to: usize) -> u64 {
        let flow = self.flow(from, to);
        flow.sent - flow.stanza_ids.len() as u64
    }

    /// The server accepts.
    pub(crate) fn accepted(&mut self, from: usize, mark: u64) {
        let (to, seq) = ((mark >> SEQ_BITS) as usize, mark & ((1 << SEQ_BITS) - 1));
        self.totals.accepted += 1;
        let flow = self.flow(from, to);
        let expected = flow.accepted + 1;
        flow.accepted = seq;
        if seq != expected {
            self.violation(format!("{from} to {to}: {seq} was accepted where {expected} was due"));
        }
    }

    /// A message with this body arrives at `to` from the account `from`.
    pub(crate) fn received(&mut self, from: usize, to: usize, text: &str, stanza_id: Option<&str>) {
        let Some(seq) = text.split(' ').nth(2).and_then(|seq| seq.parse::<u64>().ok()).filter(|&seq| seq > 0)
        else {
            return self.violation(format!("{from} to {to}: a body that was never sent"));
        };
        if text != body(from, to, seq) || seq > self.flow(from, to).sent {
            return self.violation(format!("{from} to {to}: message {seq} is not what was sent"));
        }
        let Some(stanza_id) = stanza_id else {
            return self.violation(format!("{from} to {to}: message {seq} has no stanza-id of the account"));
        };
        let hash = hash(stanza_id);
        let flow = self.flow(from, to);
        let next = flow.stanza_ids.len() as u64 + 1;
        if seq < next {
            let same = flow.stanza_ids[(seq - 1) as usize] == hash;
            self.totals.duplicates += 1;
            if !same {
                self.violation(format!("{from} to {to}: message {seq} came again with another stanza-id"));
            }
            return;
        }
        if seq > next {
            // Told once: what is missing is filled up, so that the rest can be judged.
            flow.stanza_ids.resize((seq - 1) as usize, 0);
            self.violation(format!(
                "{from} to {to}: {seq} arrived where {next} was due (lost or out of order)"
            ));
        }
        self.flow(from, to).stanza_ids.push(hash);
        self.totals.delivered += 1;
    }

    /// A session has begun or goes on.
    pub(crate) fn connected(&mut self, peer: usize, resumed: bool) {
        self.here[peer] = true;
        if resumed {
            self.totals.resumed += 1;
        } else {
            self.totals.bound += 1;
        }
    }

    pub(crate) fn disconnected(&mut self, peer: usize) {
        self.here[peer] = false;
    }

    /// Who is not there has acknowledged nothing of what it got last.
    pub(crate) fn are_all_here(&self) -> bool {
        self.here.iter().all(|here| *here)
    }

    pub(crate) fn violation(&mut self, text: String) {
        self.violations_total += 1;
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(text);
        }
    }

    /// The first of them, and how many there are.
    pub(crate) fn violations(&self) -> (&[String], u64) {
        (&self.violations, self.violations_total)
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether everything has arrived.
    pub(crate) fn is_settled(&self) -> bool {
        self.flows.iter().all(|flow| flow.accepted == flow.sent && flow.stanza_ids.len() as u64 == flow.sent)
    }

    /// Nothing more will come: what is missing is missing.
    pub(crate) fn settle(&mut self) {
        for index in 0..self.flows.len() {
            let (from, to) = (index / self.peers, index % self.peers);
            let Flow { sent, accepted, ref stanza_ids } = self.flows[index];
            let received = stanza_ids.len() as u64;
            if received < accepted {
                self.violation(format!("{from} to {to}: {accepted} were accepted, {received} arrived: lost"));
            } else if accepted < sent {
                self.violation(format!("{from} to {to}: {sent} were sent, only {accepted} accepted"));
            }
        }
    }
}

/// What message `seq` of a flow says: of changing length, with some letters beyond ASCII and some to be escaped.
fn body(from: usize, to: usize, seq: u64) -> String {
    let filler = "ñ&ж<語🙂 lorem ";
    let letters = (seq.wrapping_mul(37) % 400) as usize;
    format!("{from} {to} {seq} {}", filler.chars().cycle().take(letters).collect::<String>())
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    // 0 stands for a message that is missing.
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(count: u64) -> (Ledger, Vec<u64>, Vec<String>) {
        let mut ledger = Ledger::new(1, 2);
        let (mut marks, mut bodies) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (mark, id, body) = ledger.send(0, 1);
            assert!(id.len() >= 8);
            marks.push(mark);
            bodies.push(body);
        }
        (ledger, marks, bodies)
    }

    fn judged(ledger: &mut Ledger) -> u64 {
        ledger.settle();
        ledger.violations().1
    }

    #[test]
    fn a_faultless_run_with_duplicates() {
        let (mut ledger, marks, bodies) = sent(3);
        for (index, body) in bodies.iter().enumerate() {
            ledger.received(0, 1, body, Some(&format!("id{index}")));
        }
        ledger.received(0, 1, &bodies[1], Some("id1"));
        assert!(!ledger.is_settled());
        marks.iter().for_each(|&mark| ledger.accepted(0, mark));
        assert!(ledger.is_settled());
        assert_eq!(judged(&mut ledger), 0);
        assert_eq!((ledger.totals().delivered, ledger.totals().duplicates), (3, 1));
    }

    #[test]
    fn every_fault_is_seen() {
        // Lost at the end.
        let (mut ledger, marks, bodies) = sent(2);
        marks.iter().for_each(|&mark| ledger.accepted(0, mark));
        ledger.received(0, 1, &bodies[0], Some("a"));
        assert_eq!(judged(&mut ledger), 1);
        // A gap, which is loss or disorder.
        let (mut ledger, marks, bodies) = sent(2);
        marks.iter().for_each(|&mark| ledger.accepted(0, mark));
        ledger.received(0, 1, &bodies[1], Some("b"));
        assert_eq!(judged(&mut ledger), 1);
        // A duplicate with another stanza-id, a message without one, one that was changed, one that was never sent.
        let (mut ledger, marks, bodies) = sent(1);
        ledger.accepted(0, marks[0]);
        ledger.received(0, 1, &bodies[0], Some("a"));
        ledger.received(0, 1, &bodies[0], Some("b"));
        ledger.received(0, 1, &bodies[0], None);
        ledger.received(0, 1, &format!("{}x", bodies[0]), Some("a"));
        ledger.received(0, 1, &body(0, 1, 2), Some("c"));
        ledger.received(0, 1, "hello", Some("d"));
        assert_eq!(judged(&mut ledger), 5);
        // Accepted out of order; never accepted.
        let (mut ledger, marks, bodies) = sent(2);
        bodies.iter().for_each(|body| ledger.received(0, 1, body, Some("a")));
        ledger.accepted(0, marks[1]);
        assert_eq!(judged(&mut ledger), 1);
        let (mut ledger, _, bodies) = sent(1);
        ledger.received(0, 1, &bodies[0], Some("a"));
        assert_eq!(judged(&mut ledger), 1);
    }
}
