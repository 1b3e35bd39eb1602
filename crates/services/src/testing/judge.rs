//! The end of a play: everything is made well again, every account is drained, and what its clients have seen is judged.

use super::{Client, Stage, account};
use crate::account::record::AccountRecord;
use crate::effects::turn::command::Kick;
use crate::realm::Pressure;
use crate::wire::{Closed, SessionId};
use chaski_promises::{Account, Event, Session};
use chaski_store::{Engine, Table};
use chaski_xmpp::Stanza;

/// A backlog comes in windows; more than so many there are in no play.
const WINDOWS_MAX: usize = 10_000;
/// What does not move for so many seconds does not move.
const TRIES_MAX: u32 = 10;
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

impl Stage {
    /// This play is not judged: its reason is written beside the call.
    pub fn leave_unjudged(&mut self, why: &'static str) {
        self.observer.leave_unjudged(why);
    }

    /// Judges what was seen so far by docs/promises.md. Fails with what was broken.
    pub fn judge(&self) {
        let report = self.observer.report();
        assert!(report.is_empty(), "promises were broken:\n{report}");
    }

    /// Ends the play: the store and the queues are well, whoever is there is told how far the server is, and of every account
    /// that somebody can log in to a new device gets what is left. Then it is judged.
    pub fn end(&mut self) {
        if !self.observer.is_judging() {
            return;
        }
        self.engine.recover();
        self.outside.deaf.clear();
        let links_were_bad = self.outside.has_had_bad_links;
        self.mend_links();
        self.pressure = Pressure::None;
        for line in self.outside.lines.values_mut() {
            line.unsent_bytes = 0;
        }
        self.hold_store(false);
        self.complete_held();
        self.mend_disk();
        if links_were_bad {
            self.await_letters();
        }
        self.ask_everybody();
        for (local, generation) in self.inhabitants() {
            self.drain(&local, generation);
        }
        self.judge();
        // Once is enough.
        self.observer.leave_unjudged("it was judged");
    }

    /// Whoever is connected asks how far the server is, and must be told that it has handled everything.
    fn ask_everybody(&mut self) {
        let lines = self.outside.lines.iter();
        let there = lines.filter(|(_, line)| line.managed && line.session.is_some() && line.closed.is_none());
        for conn in there.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            let client = Client(conn);
            self.send(client, REQUEST);
            // What waits behind what was not acknowledged goes on with it.
            let (mut left, mut tries) = (self.uncovered(client), 0);
            while left > 0 && tries < TRIES_MAX {
                self.acknowledge_at_most(client, 0);
                self.pass(1_000);
                self.send(client, REQUEST);
                let before = std::mem::replace(&mut left, self.uncovered(client));
                tries = if left < before { 0 } else { tries + 1 };
            }
            if let Some(session) = self.named(client) {
                self.observer.see(Event::Quiet { session });
            }
        }
    }

    /// The session of a connection that is open.
    fn named(&self, client: Client) -> Option<Session> {
        let line = self.outside.lines.get(&client.0).filter(|line| line.closed.is_none())?;
        Some(self.observer.session(line.shard, line.session?))
    }

    /// How many stanzas the server owes an answer for.
    fn uncovered(&self, client: Client) -> usize {
        self.named(client).map_or(0, |session| self.observer.uncovered(session))
    }

    /// Accounts and the generations of their keys, without those that nobody can log in to.
    fn inhabitants(&mut self) -> Vec<(String, u32)> {
        let records = match &mut self.disk {
            Some(disk) => disk.records(Table::ACCOUNTS),
            None => {
                let records = self.engine.records().scan(Table::ACCOUNTS, "", usize::MAX).unwrap_or_default();
                records.into_iter().map(|(_, record)| record.value).collect()
            }
        };
        let records = records.into_iter().filter_map(|record| AccountRecord::from_json(&record).ok());
        let open = records.filter(|record| !record.disabled && record.moving_to().is_none());
        open.map(|record| (record.name.to_string(), record.generation())).collect()
    }

    /// A new device takes what is left, and acknowledges until nothing more comes.
    fn drain(&mut self, local: &str, generation: u32) {
        let kicked = self.begin(local, Kick { resource: None });
        if !matches!(*kicked.lock().expect("nobody panics with it"), Some(Ok(_))) {
            return;
        }
        let client = self.connect(local);
        if self.bind(client, local, generation, Some("the last device")).is_err() {
            return;
        }
        self.send(client, "<enable xmlns='urn:xmpp:sm:3'/>");
        self.send(client, "<presence/>");
        for _ in 0..WINDOWS_MAX {
            let h = self.counted(client);
            if self.acknowledged(client) == h && self.waiting(local) == 0 {
                break;
            }
            if self.acknowledged(client) == h {
                // Nothing more comes of what waits: a retry may be due.
                self.pass(2_000);
                if self.counted(client) == h {
                    break;
                }
            }
            self.acknowledge_at_most(client, 0);
        }
        let account = Account(account(local).to_bits());
        self.observer.see(Event::Drained { account });
        self.lose(client, Closed::Clean);
    }

    /// The server reads what a client has sent.
    pub(super) fn observe_sent(&mut self, shard: u16, session: SessionId, stanza: &Stanza<'_>) {
        let session = self.observer.session(shard, session);
        self.observer.now_ms = self.now_ms;
        self.observer.sent(session, stanza);
    }

    /// A resumption was refused, to a client that said that it has got so many stanzas.
    pub(super) fn observe_refusal(&mut self, who: (&str, u32), previd: &str, h: u32) {
        let (lines, epoch_session) = (&self.outside.lines, |shard, id| self.observer.session(shard, id));
        // What it has counted is known as long as a connection of the session is.
        let counted: Vec<_> = lines
            .values()
            .filter_map(|line| {
                Some((epoch_session(line.shard, line.last_session?), line.acknowledged, line.counted))
            })
            .collect();
        self.observer.now_ms = self.now_ms;
        self.observer.resume_refused(who, previd, |session| {
            counted
                .iter()
                .any(|(of, acknowledged, counted)| *of == session && (*acknowledged..=*counted).contains(&h))
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}
