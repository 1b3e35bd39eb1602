//! Writes down what the clients of a stage see, in the words of [`chaski_promises`], and has it judged.
//!
//! It stands where the clients stand: it knows what they send and get, what operators ask for and are told, and nothing of the
//! rooms. Every play is judged at its end by the same rules (see [`Stage::judge`](super::Stage::judge)).

use super::DOMAIN;
use crate::effects::turn::command::{Action, Arrive, Command, SetAccount};
use crate::realm::Limits;
use crate::wire::{SessionId, StreamEnd};
use chaski_promises::event::Showing;
use chaski_promises::{
    Account, Cause, Checker, Content, Device, Event, GapCause, Knobs, Letter, Lock, Rule, Session, StanzaId,
    Timed, digest,
};
use chaski_store::AccountId;
use chaski_xmpp::stanza::MessageType;
use chaski_xmpp::{ElementRef, JidRef, Kind, Stanza, ns};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What the server can't keep yet.
const NOT_YET: &[Rule] = &[];

/// What a client was given to resume by.
struct Ticket {
    session: Session,
    account: Account,
    max_ms: u64,
}

/// What an id in an error stands for.
#[derive(Clone, Copy, PartialEq)]
enum Named {
    /// Of no message that is judged.
    Nothing,
    One(Content),
    /// Of several, and nobody can say which.
    Several,
}

/// What only the observer knows of a session.
struct Line {
    account: Account,
    key: u32,
    /// Its messages, by their ids as they stand in the stanza: for the errors that come back.
    sent: BTreeMap<(String, Account), Named>,
    /// Blocks that were asked for, by the request's id.
    blocks: BTreeMap<String, Vec<Account>>,
    lost_ms: Option<u64>,
}

/// With what somebody comes to register a number that may be another's (A3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Something that only the number's former owner can have.
    pub proof: bool,
    /// How long nobody has been there.
    pub silent_ms: u64,
    /// The former owner's lock.
    pub lock: Lock,
}

impl Claim {
    /// An operator's, or an owner's who has proved to be it.
    const PROVED: Self = Self { proof: true, silent_ms: 0, lock: Lock::None };
}

/// What operators are told.
pub(super) type Answers = Arc<Mutex<Vec<Event>>>;

/// See the module.
pub(super) struct Observer {
    /// The true time.
    pub(super) now_ms: u64,
    checker: Checker,
    history: Vec<Timed>,
    epoch: u64,
    lines: BTreeMap<Session, Line>,
    tickets: BTreeMap<String, Ticket>,
    /// Who is registering a number now, as the play says.
    claims: BTreeMap<Account, Claim>,
    /// What operators were told, by whatever thread, and is not written down yet.
    answers: Answers,
    /// Why nothing is judged.
    unjudged: Option<&'static str>,
}

impl Observer {
    pub(super) fn new(limits: &Limits) -> Self {
        let knobs = Knobs { resume_ms: limits.resume_ms, off: NOT_YET, ..Knobs::default() };
        Self {
            now_ms: 0,
            checker: Checker::new(knobs),
            history: Vec::new(),
            epoch: 0,
            lines: BTreeMap::new(),
            tickets: BTreeMap::new(),
            claims: BTreeMap::new(),
            answers: Answers::default(),
            unjudged: None,
        }
    }

    pub(super) fn see(&mut self, event: Event) {
        self.take_answers();
        self.note(event);
    }

    /// Writes down what operators were told meanwhile.
    pub(super) fn take_answers(&mut self) {
        let answers = std::mem::take(&mut *self.answers.lock().expect("nobody panics with it"));
        answers.into_iter().for_each(|event| self.note(event));
    }

    fn note(&mut self, event: Event) {
        if self.unjudged.is_none() {
            self.history.push(Timed { at_ms: self.now_ms, event });
            self.checker.see(self.now_ms, event);
        }
    }

    /// Where it is written down what an operator is told.
    pub(super) fn answers(&self) -> Answers {
        self.answers.clone()
    }

    pub(super) fn leave_unjudged(&mut self, why: &'static str) {
        self.unjudged = Some(why);
    }

    pub(super) fn is_judging(&self) -> bool {
        self.unjudged.is_none()
    }

    /// How many stanzas of a session the server has not said that it has handled.
    pub(super) fn uncovered(&self, session: Session) -> usize {
        self.checker.uncovered(session)
    }

    /// Each broken promise with what it was broken by.
    pub(super) fn report(&self) -> String {
        let mut report = String::new();
        for verdict in self.checker.verdicts() {
            report += &format!("{verdict}\n");
            for &place in &verdict.events {
                report += &format!("    {place}: {:?}\n", self.history[place as usize]);
            }
        }
        report
    }

    /// A session of a shard, as the history names it.
    pub(super) fn session(&self, shard: u16, SessionId(id): SessionId) -> Session {
        let name = [self.epoch.to_le_bytes(), u64::from(shard).to_le_bytes(), id.to_le_bytes()];
        Session(digest(name.as_flattened()))
    }

    pub(super) fn crashed(&mut self) {
        self.epoch += 1;
        self.see(Event::Crashed { power: true });
    }

    pub(super) fn began(&mut self, session: Session, full_jid: &str, key: u32) {
        let Some(account) = account_of(full_jid) else { return };
        let line = Line { account, key, sent: BTreeMap::new(), blocks: BTreeMap::new(), lost_ms: None };
        self.lines.insert(session, line);
        self.see(Event::Began { session, account, device: Device(digest(full_jid.as_bytes())), key });
    }

    /// Stream management is on; `resumable`: by this id, for so many milliseconds.
    pub(super) fn managed(&mut self, session: Session, resumable: Option<(&str, u64)>) {
        self.see(Event::Managed { session });
        if let (Some((id, max_ms)), Some(line)) = (resumable, self.lines.get(&session)) {
            self.tickets.insert(id.to_owned(), Ticket { session, account: line.account, max_ms });
        }
    }

    pub(super) fn resumed(&mut self, session: Session, key: u32, h: u32, arrived: u32) {
        if let Some(line) = self.lines.get_mut(&session) {
            (line.lost_ms, line.key) = (None, key);
        }
        self.see(Event::Resumed { session, key, h, arrived });
    }

    /// A resumption was refused to who has proved to be this account.
    pub(super) fn resume_refused(
        &mut self,
        (local, key): (&str, u32),
        previd: &str,
        is_honest: impl Fn(Session) -> bool,
    ) {
        let Some(ticket) = self.tickets.get(previd) else { return };
        let (session, account, max_ms) = (ticket.session, ticket.account, ticket.max_ms);
        let Some(line) = self.lines.get(&session) else { return };
        let (lost_ms, is_its_key) = (line.lost_ms, line.key == key);
        if account_of(local) != Some(account) || !is_its_key || !is_honest(session) {
            return;
        }
        if lost_ms.is_some_and(|lost_ms| lost_ms + max_ms <= self.now_ms) {
            // It had wished for less time than others have.
            self.see(Event::Ended { session, cause: Some(Cause::Client) });
        }
        self.see(Event::ResumeRefused { session });
    }

    pub(super) fn lost(&mut self, session: Session, missing: u32) {
        let now_ms = self.now_ms;
        if let Some(line) = self.lines.get_mut(&session) {
            line.lost_ms = Some(now_ms);
        }
        self.see(Event::Lost { session, missing });
    }

    /// The server has closed the connection.
    pub(super) fn closed(&mut self, session: Session, error: Option<&StreamEnd>) {
        let cause = match error.map(|error| (error.condition, error.text.as_deref())) {
            Some(("policy-violation", Some("ended by an operator"))) => Some(Cause::Operator),
            Some(("undefined-condition" | "unsupported-stanza-type" | "invalid-from", _)) => {
                Some(Cause::Protocol)
            }
            _ => None,
        };
        match cause {
            Some(_) => self.see(Event::Ended { session, cause }),
            // Whether that was for good is told by the next try.
            None => self.lost(session, 0),
        }
    }

    /// The client sends an element.
    pub(super) fn sent(&mut self, session: Session, stanza: &Stanza<'_>) {
        if stanza.kind() == Kind::Nonza {
            if let ("a", Some(h)) = (stanza.name(), number(stanza, "h")) {
                self.see(Event::Acknowledged { session, h });
            }
            return;
        }
        let Some(line) = self.lines.get_mut(&session) else { return };
        let letter = letter(stanza, line.account);
        let to = stanza.to().as_deref().map_or(Some(line.account), account_of);
        if let (Kind::Message, Some(to), Some(id)) = (stanza.kind(), to, stanza.id()) {
            let named = letter.map_or(Named::Nothing, |letter| Named::One(letter.content));
            let known = line.sent.entry((id.into_owned(), to)).or_insert(named);
            let is_another = *known != named && *known != Named::Nothing && named != Named::Nothing;
            *known = if is_another { Named::Several } else { named };
        }
        let by = line.account;
        if let (Some(list), Some(id)) = (stanza.child("block", ns::BLOCKING), stanza.id()) {
            line.blocks.insert(id.into_owned(), blocked(&list));
            // Of a resource, nobody here knows which stanzas are its own: each of that account may be.
            let asked = blocked(&list).into_iter().chain(blocked_resources(&list));
            asked.for_each(|whom| self.see(Event::Blocking { by, whom }));
        }
        if let Some(list) = stanza.child("unblock", ns::BLOCKING) {
            let items = blocked(&list);
            // A block that was not answered yet says nothing any more when it is.
            for line in self.lines.values_mut().filter(|line| line.account == by) {
                line.blocks.clear();
            }
            if list.children().count() == 0 {
                self.see(Event::Unblocked { by, whom: None });
            }
            items.into_iter().for_each(|whom| self.see(Event::Unblocked { by, whom: Some(whom) }));
        }
        self.see(Event::Sent { session, letter });
    }

    /// A client without stream management answers with a receipt.
    pub(super) fn confirmed(&mut self, session: Session) {
        self.see(Event::Confirmed { session });
    }

    /// The server has written an element.
    pub(super) fn written(&mut self, session: Session, stanza: &Stanza<'_>) {
        if stanza.kind() == Kind::Nonza {
            match (stanza.name(), number(stanza, "h")) {
                ("a", Some(h)) => self.see(Event::Covered { session, h }),
                ("enabled", _) => {
                    let max_ms = u64::from(number(stanza, "max").unwrap_or_default()) * 1_000;
                    let id = stanza.attr("id");
                    self.managed(session, id.as_deref().map(|id| (id, max_ms)));
                }
                _ => {}
            }
            return;
        }
        if stanza.kind() == Kind::Message && stanza.has_child("gap", ns::MAILBOX) {
            let own = stanza.child("stanza-id", ns::STANZA_ID).and_then(|own| own.attr("id"));
            let notice = StanzaId(digest(own.unwrap_or_default().as_bytes()));
            self.see(Event::Gap { session, cause: GapCause::Unsaid, notice });
        }
        let Some(line) = self.lines.get_mut(&session) else { return };
        let showing = showing(stanza, line.account);
        let is_answer = stanza.kind() == Kind::Iq && stanza.type_attr().as_deref() == Some("result");
        let blocks = stanza.id().filter(|_| is_answer).and_then(|id| line.blocks.remove(&*id));
        let (by, refused) = (line.account, refused(stanza, line));
        self.see(Event::Shown { session, showing });
        for whom in blocks.unwrap_or_default() {
            self.see(Event::Blocked { by, whom });
        }
        if let Some((to, content)) = refused {
            let is_bound = stanza.child("error", ns::CLIENT).is_some_and(|error| {
                error.children().any(|child| child.is("resource-constraint", ns::STANZA_ERRORS))
            });
            self.see(Event::Refused { session, to, content, is_bound });
        }
    }

    /// Until it is taken back, whoever gets a key for this account comes with this and nothing else.
    pub(super) fn claim(&mut self, id: AccountId, claim: Option<Claim>) {
        let account = Account(id.to_bits());
        match claim {
            Some(claim) => drop(self.claims.insert(account, claim)),
            None => drop(self.claims.remove(&account)),
        }
    }

    /// Whether a session of the account is connected.
    pub(super) fn is_there(&self, id: AccountId) -> bool {
        let account = Account(id.to_bits());
        self.lines.values().any(|line| line.account == account && line.lost_ms.is_none())
    }

    /// What becomes of a command that was carried out.
    pub(super) fn done(&self, command: &Command) -> Option<Event> {
        let account = Account(command.whom.account.to_bits());
        match &command.action {
            Action::SetAccount(SetAccount { record, .. }, _) | Action::Arrive(Arrive { record, .. }, _) => {
                let Claim { proof, silent_ms, lock } =
                    self.claims.get(&account).copied().unwrap_or(Claim::PROVED);
                Some(Event::Registered { account, key: record.generation(), proof, silent_ms, lock })
            }
            Action::RemoveAccount(..) | Action::RemoveMoved(..) | Action::RemoveSilent(..) => {
                Some(Event::Removed { account })
            }
            _ => None,
        }
    }

    /// An operator, or the registration, has asked for something.
    pub(super) fn asked(&mut self, command: &Command) {
        if let Action::RemoveAccount(..) | Action::RemoveMoved(..) | Action::RemoveSilent(..) = command.action
        {
            self.see(Event::Removing { account: Account(command.whom.account.to_bits()) });
        }
    }
}

fn number(stanza: &Stanza<'_>, name: &str) -> Option<u32> {
    stanza.attr(name)?.parse().ok()
}

/// The account of an address of ours, or of a local part.
fn account_of(address: &str) -> Option<Account> {
    let (local, domain) = match address.contains('@') {
        true => {
            let jid = JidRef::split(address);
            (jid.local?, jid.domain)
        }
        false => (address, DOMAIN),
    };
    let id = (domain == DOMAIN).then(|| AccountId::from_local(local)).flatten()?;
    Some(Account(id.to_bits()))
}

/// The accounts of a list of blocked addresses, without those that are more or less than an account.
fn blocked(list: &ElementRef<'_>) -> Vec<Account> {
    let jids = list.children().filter_map(|item| item.attr("jid"));
    jids.filter(|jid| !jid.contains('/') && jid.contains('@')).filter_map(|jid| account_of(&jid)).collect()
}

/// The accounts of which a list of blocked addresses has a resource.
fn blocked_resources(list: &ElementRef<'_>) -> Vec<Account> {
    let jids = list.children().filter_map(|item| item.attr("jid"));
    let bare = |jid: &str| jid.split_once('/').and_then(|(bare, _)| account_of(bare));
    jids.filter_map(|jid| bare(&jid)).collect()
}

/// What a message is made of. `None`: it is none that is kept for who is away, or one that the server may change.
fn content(message: &Stanza<'_>) -> Option<Content> {
    let is_plain = matches!(message.message_type(), MessageType::Chat | MessageType::Normal);
    let is_state = |child: &ElementRef<'_>| {
        let ns = child.ns();
        ns == ns::CHAT_STATES || ns == ns::HINTS || child.is("thread", ns::CLIENT)
    };
    let is_bare_state = message.has_child_in(ns::CHAT_STATES) && message.children().all(|c| is_state(&c));
    let is_kept = !message.has_child("no-store", ns::HINTS)
        && (!is_bare_state || message.has_child("store", ns::HINTS));
    // A message of nothing but read marks may be swallowed.
    let is_worth = |child: &ElementRef<'_>| !is_ours(child) && !is_state(child);
    let is_mark = message.children().any(|c| is_read_mark(&c)) && !message.children().any(|c| is_worth(&c));
    // A client that sends something of this kind has it left out.
    let from = message.from();
    let is_from_account = from.as_deref().is_some_and(|from| JidRef::split(from).resource.is_none());
    let is_copy = is_from_account && message.has_child_in(ns::CARBONS);
    if message.kind() != Kind::Message || !is_plain || !is_kept || is_mark || is_copy {
        return None;
    }
    let origin = message.child("origin-id", ns::STANZA_ID).and_then(|origin| origin.attr("id"));
    let id = origin.or_else(|| message.id().filter(|id| id.chars().count() >= 8));
    let mut bytes = message.type_attr().unwrap_or_default().as_bytes().to_vec();
    for child in message.children().filter(|child| !is_ours(child)) {
        bytes.extend_from_slice(child.bytes());
    }
    Some(Content { identity: id.map(|id| digest(id.as_bytes())), bytes: digest(&bytes) })
}

/// Read marks go as their owner's settings say (P3).
fn is_read_mark(child: &ElementRef<'_>) -> bool {
    child.ns() == ns::MARKERS && (child.name() == "displayed" || child.name() == "acknowledged")
}

/// Whether a child of a message is the server's to add or to take.
fn is_ours(child: &ElementRef<'_>) -> bool {
    let is_ours = |jid: &str| {
        let mut scratch = String::new();
        JidRef::parse(jid, &mut scratch).map_or(true, |jid| jid.domain.ends_with(DOMAIN))
    };
    let is_late = child.is("delay", ns::DELAY) || child.is("x", ns::LEGACY_DELAY);
    let is_delay = is_late && child.attr("from").is_some_and(|from| is_ours(&from));
    // A notice of a new key or of a gap is given by the server alone.
    let is_notice = child.is("key-changed", ns::REGISTRATION) || child.is("gap", ns::MAILBOX);
    is_notice
        || is_delay
        || child.is("stanza-id", ns::STANZA_ID)
        || child.ns() == ns::CARBONS
        || is_read_mark(child)
}

fn letter(stanza: &Stanza<'_>, own: Account) -> Option<Letter> {
    let content = content(stanza)?;
    let to = stanza.to();
    let account = to.as_deref().map_or(Some(own), account_of)?;
    let resource = to.as_deref().and_then(|to| JidRef::split(to).resource).map(|r| digest(r.as_bytes()));
    Some(Letter { to: account, resource, content, kept: true })
}

fn showing(stanza: &Stanza<'_>, own: Account) -> Option<Showing> {
    if stanza.has_child("key-changed", ns::REGISTRATION) {
        return None;
    }
    let content = content(stanza)?;
    let from = account_of(&stanza.from()?)?;
    let ids = stanza.children().filter(|child| child.is("stanza-id", ns::STANZA_ID));
    let mut ours = ids.filter(|child| child.attr("by").is_some_and(|by| account_of(&by) == Some(own)));
    let stanza_id = ours.next().and_then(|child| child.attr("id")).map(|id| StanzaId(digest(id.as_bytes())));
    let delayed = stanza.children().any(|child| child.is("delay", ns::DELAY));
    Some(Showing { from, content, stanza_id, delayed })
}

/// Whose message has come back, and which if the error says it.
fn refused(stanza: &Stanza<'_>, line: &Line) -> Option<(Account, Option<Content>)> {
    if stanza.kind() != Kind::Message || stanza.message_type() != MessageType::Error {
        return None;
    }
    let to = stanza.from().as_deref().and_then(account_of)?;
    match stanza.id() {
        Some(id) => match line.sent.get(&(id.into_owned(), to))? {
            Named::Nothing => None,
            Named::One(content) => Some((to, Some(*content))),
            Named::Several => Some((to, None)),
        },
        None => Some((to, None)),
    }
}
