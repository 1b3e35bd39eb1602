//! The edge of a stage: what it would know of connections, and the shards' way out to it.

use super::links::Link;
use super::observer::Observer;
use crate::effects::letter::Envelope;
use crate::effects::login::{Admitted, Granted, Questions, Verdict};
use crate::owner::wire::Wire;
use crate::wire::{ConnId, SessionId, StreamEnd};
use chaski_promises::Session;
use chaski_xmpp::Stanza;
use chaski_xmpp::stream::Access;
use std::collections::{BTreeMap, VecDeque};

/// What the edge would know of a connection.
#[derive(Default)]
pub(super) struct Line {
    pub(super) shard: u16,
    pub(super) session: Option<SessionId>,
    /// The session that it has or had.
    pub(super) last_session: Option<SessionId>,
    /// The key that was proved.
    pub(super) key: u32,
    /// What the client says when it resumes: by which id, and how much has arrived.
    pub(super) claim: Option<(String, u32)>,
    /// Stream management is on, and this connection has been told.
    pub(super) managed: bool,
    pub(super) received: Vec<String>,
    /// Stanzas received since stream management was enabled, resumptions included.
    pub(super) counted: u32,
    /// The highest count that it has acknowledged.
    pub(super) acknowledged: u32,
    pub(super) closed: Option<Option<StreamEnd>>,
    pub(super) unsent_bytes: usize,
    pub(super) wants_confirmation: bool,
    /// It is not read: what its client sends waits.
    pub(super) paused: bool,
    /// The rooms know that it has nothing unsent.
    pub(super) is_told: bool,
    /// Sent meanwhile.
    pub(super) unread: VecDeque<String>,
    pub(super) questions: Questions,
    /// What came of the last of them.
    pub(super) verdict: Option<Verdict>,
}

/// Everything outside of the shards.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) lines: BTreeMap<ConnId, Line>,
    /// By sender and receiver.
    pub(super) envelopes: BTreeMap<(u16, u16), VecDeque<Envelope>>,
    /// They stay there.
    pub(super) envelopes_held: bool,
    /// How the ways from one shard to another are, where they are not well.
    pub(super) links: BTreeMap<(u16, u16), Link>,
    /// Letters that shards have sent.
    pub(super) letters: u64,
    /// Letters may have been lost there.
    pub(super) has_had_bad_links: bool,
    /// Shards that take no envelopes now.
    pub(super) deaf: Vec<u16>,
}

/// One shard's way out.
pub(super) struct StageWire<'a> {
    pub(super) shard: u16,
    pub(super) encodes: bool,
    pub(super) outside: &'a mut Outside,
    pub(super) observer: &'a mut Observer,
}

impl StageWire<'_> {
    fn line(&mut self, conn: ConnId) -> &mut Line {
        self.outside.lines.entry(conn).or_default()
    }

    /// The session of a connection, as the history names it.
    fn session(&mut self, conn: ConnId) -> Option<Session> {
        let line = self.outside.lines.get(&conn)?;
        Some(self.observer.session(line.shard, line.session?))
    }

    /// A resumption was answered.
    fn observe_resumption(&mut self, conn: ConnId, h: u32) {
        let (session, line) = (self.session(conn), self.line(conn));
        let (key, claim) = (line.key, line.claim.take());
        if let (Some(session), Some((_, arrived))) = (session, claim) {
            line.managed = true;
            self.observer.resumed(session, key, h, arrived);
        }
    }

    /// A session was granted.
    fn observe_session(&mut self, conn: ConnId, verdict: &Verdict) {
        let (session, key) = (self.session(conn), self.line(conn).key);
        let (Some(session), Ok(granted)) = (session, verdict) else { return };
        match granted {
            Granted::Credentials(_) | Granted::Token(_) => {}
            Granted::Bound(bound) => self.observer.began(session, &bound.full_jid, key),
            Granted::Resumed(resumed) => self.observe_resumption(conn, resumed.h),
            Granted::Admitted(Admitted { admission, .. }) => match &admission.access {
                Access::Bound { enabled, .. } => {
                    self.observer.began(session, &admission.jid, key);
                    if let Some(enabled) = enabled {
                        let id = enabled.id.as_deref().map(|id| (id, u64::from(enabled.max_s) * 1_000));
                        self.observer.managed(session, id);
                        self.line(conn).managed = true;
                    }
                }
                Access::Resumed { h, .. } => self.observe_resumption(conn, *h),
                Access::Authenticated => {}
            },
        }
    }
}

impl Wire for StageWire<'_> {
    fn write(&mut self, conn: ConnId, element: &[&[u8]]) {
        if self.line(conn).closed.is_none() {
            let bytes = element.concat();
            let stanza = Stanza::parse(&bytes).expect("the rooms write nothing that is not well-formed");
            if let Some(session) = self.session(conn) {
                self.observer.written(session, &stanza);
            }
            let line = self.line(conn);
            let text = String::from_utf8(bytes).expect("well-formed is UTF-8");
            if text.starts_with("<enabled") {
                (line.counted, line.managed) = (0, true);
            } else if !text.contains("urn:xmpp:sm:3") {
                line.counted += 1;
            }
            line.received.push(text);
            line.is_told = false;
        }
    }

    fn unsent_bytes(&self, conn: ConnId) -> usize {
        self.outside.lines.get(&conn).map_or(0, |line| line.unsent_bytes)
    }

    fn pause(&mut self, conn: ConnId) {
        let line = self.line(conn);
        (line.paused, line.is_told) = (true, false);
    }

    fn go_on(&mut self, conn: ConnId) {
        self.line(conn).paused = false;
    }

    fn confirm(&mut self, conn: ConnId) {
        self.line(conn).wants_confirmation = true;
    }

    fn close(&mut self, conn: ConnId, error: Option<StreamEnd>) {
        if let Some(session) = self.session(conn) {
            self.observer.closed(session, error.as_ref());
        }
        let line = self.line(conn);
        line.session = None;
        line.closed.get_or_insert(error);
    }

    fn verdict(&mut self, conn: ConnId, number: u32, verdict: Verdict) {
        let line = self.line(conn);
        if !line.questions.hear(number) {
            return;
        }
        if let Some(session) = verdict.as_ref().ok().and_then(Granted::session) {
            (line.session, line.last_session) = (Some(session), Some(session));
            self.observe_session(conn, &verdict);
        }
        self.line(conn).verdict = Some(verdict);
    }

    fn forward(&mut self, envelope: Envelope) -> Result<(), Envelope> {
        let shard = envelope.to().shard;
        if self.outside.deaf.contains(&shard.0) {
            return Err(envelope);
        }
        let envelope = if self.encodes { written_and_read(&envelope) } else { envelope };
        let pair = (self.shard, shard.0);
        self.outside.letters += 1;
        if self.outside.links.get(&pair) != Some(&Link::Down) {
            self.outside.envelopes.entry(pair).or_default().push_back(envelope);
        }
        Ok(())
    }
}

/// An envelope as it comes out of another process.
fn written_and_read(envelope: &Envelope) -> Envelope {
    let (mut bytes, mut again) = (Vec::new(), Vec::new());
    envelope.encode(&mut bytes);
    let read = Envelope::decode(&bytes).expect("what is written can be read");
    read.encode(&mut again);
    assert_eq!(again, bytes, "and is read as the same");
    read
}
