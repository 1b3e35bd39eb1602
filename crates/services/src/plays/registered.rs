//! A number is registered again: what its new owner finds, what the old key still does (nothing), and what contacts see.

mod contacts;

use super::blocking::block;
use super::moving::{Owner, book, put_book};
use super::*;
use crate::account::credentials::PlainCheck;
use crate::account::network::Network;
use crate::account::nodes::ITEMS;
use crate::account::nodes::NODES;
use crate::account::record::AccountRecord;
use crate::account::roster::document::ROSTERS;
use crate::account::settings::SETTINGS;
use crate::effects::login::Denied;
use crate::effects::turn::command::{
    BookChange, Expected, Kick, Refusal, RemoveAccount, RemoveSilent, SetAccount, ShowAccount, Whom,
};
use crate::rooms::accounts::registration::{
    Confirmation, Kept, Policy, Registered, Registrar, RegistrationError, Request, Transport,
};
use crate::rooms::blocking::REPORTS;
use crate::testing::{Claim, account};
use crate::wire::Closed;
use chaski_promises::Lock;
use chaski_store::records::Put;
use chaski_store::{Engine, Table};
use chaski_xmpp::sasl::token::{self, TokenMechanism};
use chaski_xmpp::stream::{ClientId, TokenProof, TokenUse, Wishes};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::{Arc, MutexGuard};

/// Has the number, and is not in its book.
const FAN: &str = "+15551230098";
/// In each other's books, and blocked.
const RIVAL: &str = "+15551230097";
const MAIL: &str = "for Romeo alone";
const DAY_MS: u64 = 24 * 3_600_000;
const BOOKMARKS: &str = "urn:xmpp:bookmarks:1";
const MOOD: &str = "urn:example:mood";
const TABLES: [Table; 6] = [Table::ACCOUNTS, ROSTERS, SETTINGS, NODES, ITEMS, REPORTS];

struct Play {
    owner: Arc<Owner>,
    registrar: Registrar,
    now: u64,
    is_locked: bool,
    rng: StdRng,
}

impl Play {
    /// Romeo has been away for so long, and mail waits for him.
    fn away(days: u64) -> Self {
        Self::on(Stage::new(2), days)
    }

    fn on(mut stage: Stage, days: u64) -> Self {
        furnish(&mut stage);
        let (records, secret) = (stage.engine.records(), stage.engine.secrets());
        let owner = Owner::of(stage);
        let registrar = Registrar::new(records, secret, owner.owners(), Policy::default());
        let mut play = Self { owner, registrar, now: 0, is_locked: false, rng: StdRng::seed_from_u64(5) };
        play.now = play.record().unwrap().seen_unix_ms + days * DAY_MS;
        play
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.owner.stage.lock().unwrap()
    }

    fn record(&self) -> Option<AccountRecord> {
        let found = self.stage().engine.records().get(Table::ACCOUNTS, ROMEO).unwrap()?;
        Some(AccountRecord::from_json(&found.value).unwrap())
    }

    fn register(&mut self) -> Result<Registered, RegistrationError> {
        let request =
            Request { phone: ROMEO, transport: Transport::Sms, locale: None, client: None, network: None };
        let begun = self.registrar.begin(request, self.now, &mut self.rng)?;
        let confirmation = Confirmation { code: begun.code().digits(), ..Confirmation::default() };
        let claim = self.claim();
        self.stage().claim(ROMEO, claim);
        let registered = self.registrar.confirm(&begun.id, confirmation, self.now, &mut self.rng);
        self.stage().claim(ROMEO, None);
        registered
    }

    /// What everybody can know of who comes with nothing but a code.
    fn claim(&self) -> Option<Claim> {
        let silent_ms = match self.stage().is_there(ROMEO) {
            true => 0,
            false => self.now - self.record()?.seen_unix_ms,
        };
        let lock = match self.is_locked {
            false => Lock::None,
            true if silent_ms < 7 * DAY_MS => Lock::Standing,
            true => Lock::Fallen,
        };
        Some(Claim { proof: false, silent_ms, lock })
    }

    fn lock(&mut self) {
        self.is_locked = true;
        let record = self.registrar.prove(ROMEO, "key", Network::UNKNOWN, self.now).unwrap();
        self.registrar.set_lock(record, Some("4711"), &mut self.rng).unwrap();
    }

    /// What the store has under the number, but the account itself.
    fn left(&self) -> Vec<String> {
        let records = self.stage().engine.records();
        let all = TABLES[1..].iter().flat_map(|&table| {
            let page = records.scan(table, "", 1_000).unwrap();
            page.into_iter().map(move |(key, _)| format!("{} {key}", table.name()))
        });
        all.filter(|key| key.contains(ROMEO)).collect()
    }

    /// No mail waits, and nobody is in the book.
    #[track_caller]
    fn assert_empty(&self) {
        let mut stage = self.stage();
        assert_eq!((stage.waiting(ROMEO), book(&mut stage, ROMEO)), (0, 0));
    }

    /// The number's owner logs in and takes what waits.
    fn read(&self, generation: u32) -> Vec<String> {
        let mut stage = self.stage();
        let romeo = stage.connect(ROMEO);
        stage.bind(romeo, ROMEO, generation, Some("new phone")).unwrap();
        stage.send(romeo, "<presence/>");
        let heard = heard(&mut stage, romeo);
        stage.lose(romeo, Closed::Lost);
        heard
    }

    /// What somebody is told of the number's key, who logs in now. Whether its account is told to be new as well.
    fn news_for(&self, local: &str) -> Vec<bool> {
        let mut stage = self.stage();
        let client = stage.login(local, "phone");
        stage.send(client, "<presence/>");
        let got = stage.stanzas(client);
        stage.send(client, "<presence type='unavailable'/>");
        stage.lose(client, Closed::Lost);
        let notices = got.iter().filter(|stanza| stanza.contains("<key-changed"));
        notices.map(|stanza| is_of_new_account(stanza, local)).collect()
    }
}

#[track_caller]
fn is_of_new_account(notice: &str, local: &str) -> bool {
    let start = format!("<message from='{}' id='key-", jid(ROMEO));
    assert!(notice.starts_with(&start) && notice.contains(&format!("' to='{}'>", jid(local))), "{notice}");
    assert!(notice.contains("<stanza-id xmlns='urn:xmpp:sid:0' by='"), "{notice}");
    let element = notice.split_once("<key-changed xmlns='urn:chaski:registration:0' stamp='20").unwrap().1;
    element.split_once("/>").unwrap().0.ends_with("Z' account='new'")
}

/// Romeo has contacts of all kinds, a block list, bookmarks, private data and a mood, and mail waits.
fn furnish(stage: &mut Stage) {
    for local in [JULIET, NURSE, FAN, RIVAL] {
        stage.set_account(local, 1).unwrap();
    }
    let romeo = stage.login(ROMEO, "phone");
    put_book(stage, ROMEO, &[JULIET, NURSE, RIVAL]);
    for local in [JULIET, FAN, RIVAL] {
        put_book(stage, local, &[ROMEO]);
    }
    block(stage, romeo, &[jid(RIVAL)]);
    for (node, item) in [
        (BOOKMARKS, "<conference xmlns='urn:xmpp:bookmarks:1' name='Verona'/>".to_owned()),
        (MOOD, format!("<mood xmlns='urn:example:mood'>{}</mood>", "in love ".repeat(1_000))),
    ] {
        let publish = format!("<publish node='{node}'><item id='1'>{item}</item></publish>");
        let pubsub = format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{publish}</pubsub>");
        stage.send(romeo, &format!("<iq type='set' id='p'>{pubsub}</iq>"));
        assert!(stage.stanzas(romeo).iter().any(|s| s.contains("id='p'") && s.contains("type='result'")));
    }
    let diary = "<diary xmlns='urn:example:diary'>dear diary</diary>";
    stage
        .send(romeo, &format!("<iq type='set' id='d'><query xmlns='jabber:iq:private'>{diary}</query></iq>"));
    stage.command(ROMEO, Kick { resource: None }).unwrap();
    let juliet = stage.login(JULIET, "balcony");
    stage.send(juliet, &chat(ROMEO, MAIL));
    assert_eq!(stage.waiting(ROMEO), 1);
    stage.lose(juliet, Closed::Clean);
}

#[test]
fn within_thirty_days_the_code_is_the_proof_and_everything_stays() {
    let mut play = Play::away(29);
    let before = play.left();
    assert_eq!(play.register().unwrap().kept, Kept::All);
    assert_eq!(play.left(), before);
    assert_eq!(book(&mut play.stage(), ROMEO), 3);
    assert_eq!(play.news_for(JULIET), [false]);
    for other in [NURSE, FAN, RIVAL] {
        assert_eq!(play.news_for(other), [false; 0], "{other} is no contact on both sides, or blocked");
    }
    assert_eq!(play.read(2), [MAIL]);
}

#[test]
fn after_thirty_days_of_silence_everything_goes() {
    let mut play = Play::away(31);
    let registered = play.register().unwrap();
    assert_eq!(registered.kept, Kept::Nothing);
    assert_eq!(play.left(), [""; 0]);
    let record = play.record().unwrap();
    assert_eq!(record.credentials.check_plain(&registered.key), PlainCheck::Right);
    assert_eq!(record.created_unix_ms, play.now);
    play.assert_empty();
    assert_eq!(play.read(2), [""; 0]);
    assert_eq!(play.news_for(JULIET), [true], "the number may be somebody else's");
    for other in [NURSE, FAN, RIVAL] {
        assert_eq!(play.news_for(other), [false; 0], "{other}");
    }
}

#[test]
fn a_lock_that_has_fallen_leaves_what_others_saw() {
    let mut play = Play::away(0);
    play.lock();
    play.now += 8 * DAY_MS;
    assert_eq!(play.register().unwrap().kept, Kept::Profile);
    let left = play.left();
    assert!(left.iter().any(|key| key.starts_with("items") && key.contains(MOOD)), "{left:?}");
    assert!(!left.iter().any(|key| key.contains("bookmarks") || key.contains("private")), "{left:?}");
    let nodes = play.stage().engine.records().get(NODES, ROMEO).unwrap().unwrap();
    let nodes = String::from_utf8(nodes.value).unwrap();
    assert!(nodes.contains(MOOD) && !nodes.contains("Verona") && !nodes.contains("diary"), "{nodes}");
    play.assert_empty();
    assert_eq!(play.read(2), [""; 0]);
    assert_eq!(play.news_for(JULIET), [true]);
    // Nobody is blocked any more.
    let mut stage = play.stage();
    let rival = stage.login(RIVAL, "street");
    stage.send(rival, &chat(ROMEO, "En garde!"));
    assert_eq!(stage.waiting(ROMEO), 1);
}

#[test]
fn who_is_online_is_not_silent_whatever_the_record_says() {
    let mut play = Play::away(400);
    let romeo = play.stage().login(ROMEO, "phone");
    assert_eq!(play.register().unwrap().kept, Kept::All);
    assert_eq!(play.stage().closed_with(romeo).unwrap().unwrap().condition, "not-authorized");
}

#[test]
fn a_record_without_a_time_counts_as_seen_when_it_is_first_loaded() {
    let play = Play::away(0);
    let record = play.record().unwrap();
    let mut stage = play.stage();
    let mut json = serde_json::to_value(&record).unwrap();
    for name in ["seen_unix_ms", "registered_unix_ms"] {
        json.as_object_mut().unwrap().remove(name).unwrap();
    }
    let (key, value) = (ROMEO.to_owned(), Some(json.to_string().into_bytes()));
    stage.engine.records().put_all(vec![Put { table: Table::ACCOUNTS, key, value }]).unwrap();
    stage.crash();
    let juliet = stage.login(JULIET, "balcony");
    stage.send(juliet, &chat(ROMEO, "still there?"));
    let now = stage.call(0, |_, ctx| ctx.unix_ms);
    drop(stage);
    assert_eq!(play.record().unwrap().seen_unix_ms, now);
}

#[test]
fn who_only_acknowledges_is_not_silent() {
    let play = Play::away(0);
    let mut stage = play.stage();
    let (romeo, _) = stage.arrive(ROMEO, "phone");
    drop(stage);
    let before = play.record().unwrap().seen_unix_ms;
    let mut stage = play.stage();
    stage.now_ms += DAY_MS;
    stage.acknowledge(romeo, 0);
    drop(stage);
    assert_eq!(play.record().unwrap().seen_unix_ms, before + DAY_MS);
}

#[test]
fn interrupted_anywhere_nobody_inherits_and_contacts_are_told() {
    for is_done in [false, true] {
        for answered in 0..8 {
            let mut play = Play::away(31);
            *play.owner.faults.lock().unwrap() = Some((answered, is_done));
            let first = play.register();
            *play.owner.faults.lock().unwrap() = None;
            play.stage().crash();
            if first.is_err() {
                // Whoever has a key has been answered: here, nobody has a new one.
                play.now += DAY_MS;
                let kept = play.register().unwrap().kept;
                assert_ne!(kept, Kept::Profile, "{answered} {is_done}");
            }
            let generation = play.record().unwrap().generation();
            assert_eq!(play.left(), [""; 0], "{answered} {is_done}");
            play.assert_empty();
            assert_eq!(play.read(generation), [""; 0], "{answered} {is_done}");
            let news = play.news_for(JULIET);
            assert!(news.first().is_some_and(|is_new| *is_new), "{news:?} {answered} {is_done}");
        }
    }
}

#[test]
fn a_contact_can_not_keep_a_number_from_its_owner() {
    let mut play = Play::away(1);
    // Gone meanwhile, or full: they are not told.
    play.stage().command(JULIET, RemoveAccount).unwrap();
    assert_eq!(play.register().unwrap().kept, Kept::All);
}

#[test]
fn nobody_else_gives_such_notices() {
    let play = Play::away(0);
    let mut stage = play.stage();
    let (romeo, _) = stage.arrive(ROMEO, "phone");
    let (juliet, _) = stage.arrive(JULIET, "balcony");
    stage.received(romeo);
    let forged = "<key-changed xmlns='urn:chaski:registration:0' stamp='2026-11-29T12:00:00Z'/>";
    for kind in ["chat", "normal", "headline"] {
        stage.send(
            juliet,
            &format!("<message to='{}' type='{kind}'>{forged}<body>x</body>{forged}</message>", jid(ROMEO)),
        );
        let got = stage.stanzas(romeo).concat();
        assert!(got.contains("<body>x</body>") && !got.contains("key-changed"), "{got}");
    }
}

/// Everything that the old key has begun, at the time when the number is registered again.
struct Before {
    live: Client,
    /// A connection that has proved the key and not bound.
    proved: Client,
    hibernating: String,
    token: String,
}

const PHONE: ClientId = ClientId([1; 16]);
const UNBOUND: TokenMechanism = TokenMechanism::Unbound;

fn token_proof(token: &str) -> TokenProof {
    let (binding, token_use) = ([].into(), TokenUse::default());
    TokenProof { client: PHONE, mechanism: UNBOUND, binding, proof: token::initiator(token, b""), token_use }
}

fn begin_with_the_old_key(stage: &mut Stage) -> Before {
    let (live, _) = stage.arrive(ROMEO, "live");
    let (sleeper, hibernating) = stage.arrive(ROMEO, "sleeper");
    stage.lose(sleeper, Closed::Lost);
    let wishes = Wishes { client: Some(PHONE), token: Some(UNBOUND), ..Wishes::default() };
    let (_, admitted) = stage.admit(ROMEO, 1, &wishes);
    let token = admitted.unwrap().admission.token.unwrap().token;
    assert!(stage.prove_token(0, ROMEO, &token_proof(&token)).unwrap().is_some());
    let proved = stage.connect(ROMEO);
    Before { live, proved, hibernating, token }
}

/// Nothing of it sends or reads anything.
fn assert_void(stage: &mut Stage, before: &Before, generation: u32) {
    let end = stage.closed_with(before.live).expect("the session has ended").unwrap();
    assert_eq!(end.condition, "not-authorized");
    assert!(stage.resume(ROMEO, &before.hibernating, 0).1.is_err());
    assert_eq!(stage.prove_token(0, ROMEO, &token_proof(&before.token)).unwrap(), None);
    assert_eq!(stage.bind(before.proved, ROMEO, 1, None).unwrap_err(), Denied::NotAuthorized);
    let wishes = Wishes { client: Some(PHONE), ..Wishes::default() };
    assert_eq!(stage.admit(ROMEO, 1, &wishes).1.unwrap_err(), Denied::NotAuthorized);

    // Who has proved the old key does not get the session of the new one either, and were its id known.
    let romeo = stage.connect(ROMEO);
    stage.bind(romeo, ROMEO, generation, Some("new phone")).unwrap();
    stage.send(romeo, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = stage.received(romeo).pop().unwrap();
    let id = enabled.split_once("id='").unwrap().1.split_once('\'').unwrap().0.to_owned();
    assert!(stage.resume(ROMEO, &id, 0).1.is_err(), "by a connection that proved the old key");
    assert!(stage.closed_with(romeo).is_none());
}

#[test]
fn a_new_key_voids_the_old_one() {
    for days in [1, 31] {
        let mut play = Play::away(0);
        let before = begin_with_the_old_key(&mut play.stage());
        if days == 31 {
            // Nothing of this is there after so long but what a wrong clock leaves, and the token.
            play.stage().command(ROMEO, Kick { resource: None }).unwrap();
            play.now = play.record().unwrap().seen_unix_ms + 31 * DAY_MS;
        }
        let registered = play.register().unwrap();
        assert_eq!(registered.kept, if days == 31 { Kept::Nothing } else { Kept::All });
        let record = play.record().unwrap();
        assert!(record.tokens.is_empty(), "no device has a token");
        if days == 1 {
            assert_void(&mut play.stage(), &before, record.generation());
        }
        let old = play.registrar.prove(ROMEO, "key", Network::UNKNOWN, play.now).err();
        assert_eq!(old, Some(RegistrationError::NotAuthorized));
        let (owners, old) = (play.owner.owners(), by_key(1));
        assert_eq!(owners.ask(old, BookChange::Show), Err(Refusal::NoSuchAccount));
        assert_eq!(owners.ask(old, RemoveAccount), Err(Refusal::NoSuchAccount));
        assert!(owners.ask(by_key(record.generation()), BookChange::Show).is_ok());
    }
}

fn by_key(generation: u32) -> Whom {
    Whom { account: account(ROMEO), key: Some(generation) }
}

#[test]
fn what_is_asked_by_the_old_key_while_the_new_one_is_written_is_refused() {
    let play = Play::away(1);
    let mut stage = play.stage();
    let mut record = stage.command(ROMEO, ShowAccount).unwrap().record;
    record.credentials.generation = 2;
    stage.hold_store(true);
    let set = stage.begin(ROMEO, SetAccount { record, expected: Expected::Generation(1) });
    let removed = stage.begin_if(by_key(1), RemoveAccount);
    let shown = stage.begin_if(by_key(1), BookChange::Show);
    stage.hold_store(false);
    assert!(set.lock().unwrap().take().unwrap().is_ok());
    assert_eq!(removed.lock().unwrap().take(), Some(Err(Refusal::NoSuchAccount)));
    assert_eq!(shown.lock().unwrap().take(), Some(Err(Refusal::NoSuchAccount)));
    assert!(stage.credentials(0, ROMEO).unwrap().is_some(), "the account is there");
}

#[test]
fn a_silent_account_is_removed_only_as_it_was_seen() {
    let play = Play::away(31);
    let record = play.record().unwrap();
    let silent = |generation, seen_unix_ms| RemoveSilent { generation, seen_unix_ms };
    let mut stage = play.stage();
    for action in [silent(2, record.seen_unix_ms), silent(1, record.seen_unix_ms - 1)] {
        assert_eq!(stage.command(ROMEO, action).err(), Some(Refusal::Conflict));
    }
    let romeo = stage.login(ROMEO, "phone");
    assert_eq!(stage.command(ROMEO, silent(1, record.seen_unix_ms)).err(), Some(Refusal::Conflict));
    stage.lose(romeo, Closed::Clean);
    assert!(stage.command(ROMEO, silent(1, record.seen_unix_ms)).is_ok());
    assert!(stage.credentials(0, ROMEO).unwrap().is_none());
}

#[test]
fn what_the_old_key_has_begun_with_the_phone_book_ends_with_it() {
    let play = Play::away(1);
    let mut stage = play.stage();
    let mut record = stage.command(ROMEO, ShowAccount).unwrap().record;
    record.credentials.generation = 2;
    let add = |number| BookChange::Change { add: vec![number], remove: Vec::new() };
    stage.hold_store(true);
    let asked = [1, 2, 3, 4].map(|last| stage.begin_if(by_key(1), add(15_551_230_050 + last)));
    let set = stage.begin(ROMEO, SetAccount { record, expected: Expected::Generation(1) });
    stage.hold_store(false);
    assert!(set.lock().unwrap().take().unwrap().is_ok());
    let mut outcomes: Vec<_> = asked.iter().map(|asked| asked.lock().unwrap().take().unwrap()).collect();
    assert_eq!(outcomes.pop().unwrap().err(), Some(Refusal::NoSuchAccount));
    let added = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(book(&mut stage, ROMEO) <= 3 + added + 1, "what was on its way to the disk at most");
    // The line goes on for the new key.
    put_book(&mut stage, ROMEO, &[JULIET]);
    assert_eq!(book(&mut stage, ROMEO), 1);
}
