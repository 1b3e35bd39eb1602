//! A change of number: everything goes with its owner, nothing stays, and nothing is lost wherever it is interrupted.

use super::blocking::block;
use super::*;
use crate::account::credentials::PlainCheck;
use crate::account::name::AccountName;
use crate::account::network::Network;
use crate::account::nodes::ITEMS;
use crate::account::nodes::NODES;
use crate::account::record::AccountRecord;
use crate::account::roster::document::ROSTERS;
use crate::account::settings::SETTINGS;
use crate::effects::owners::Owners;
use crate::effects::turn::command::{Action, BookChange, Call, Carrier, Command, Kick, Refusal, SetAccount};
use crate::rooms::accounts::registration::{
    Confirmation, Policy, Registered, Registrar, RegistrationError, Request, Transport,
};
use crate::testing::account;
use chaski_store::{Engine, Table};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex, MutexGuard};

const NEW: &str = "+15551230077";
const MAIL: &str = "mail waits";
const DAY_MS: u64 = 24 * 3_600_000;
const TABLES: [Table; 5] = [Table::ACCOUNTS, ROSTERS, SETTINGS, NODES, ITEMS];

/// The shards, asked from outside. Fails where the play wants it.
pub(super) struct Owner {
    pub(super) stage: Mutex<Stage>,
    /// How many commands are still answered, and whether the one after them is carried out.
    pub(super) faults: Mutex<Option<(usize, bool)>>,
    /// Whoever writes to Romeo in the moment before his account is marked.
    pub(super) writer: Mutex<Option<Client>>,
}

impl Owner {
    pub(super) fn of(stage: Stage) -> Arc<Self> {
        Arc::new(Self { stage: Mutex::new(stage), faults: Mutex::default(), writer: Mutex::default() })
    }

    pub(super) fn owners(self: &Arc<Self>) -> Owners {
        let owner = self.clone();
        Owners::new(move |command| owner.give(command))
    }

    fn give(&self, command: Command) {
        if let Action::SetAccount(SetAccount { record, .. }, _) = &command.action
            && record.moving_to().is_some()
            && let Some(writer) = self.writer.lock().unwrap().take()
        {
            self.stage.lock().unwrap().send(writer, &chat(ROMEO, MAIL));
        }
        let mut faults = self.faults.lock().unwrap();
        match &mut *faults {
            Some((0, is_done)) => match std::mem::take(is_done) {
                true => self.stage.lock().unwrap().give(command.carried(&Crash)),
                false => command.refuse(crash()),
            },
            Some((left, _)) => {
                *left -= 1;
                self.stage.lock().unwrap().give(command);
            }
            None => self.stage.lock().unwrap().give(command),
        }
    }
}

/// What is done is not told.
struct Crash;

impl Carrier for Crash {
    fn carry<T: Send + 'static>(&self, call: Call<T>) -> Call<T> {
        Box::new(|_| call(Err(crash())))
    }
}

fn crash() -> Refusal {
    Refusal::Unavailable("crash".to_owned())
}

struct Play {
    owner: Arc<Owner>,
    registrar: Registrar,
    now: u64,
    rng: StdRng,
}

impl Play {
    fn new() -> Self {
        let stage = Stage::new(2);
        let (records, secret) = (stage.engine.records(), stage.engine.secrets());
        let owner = Owner::of(stage);
        let registrar = Registrar::new(records, secret, owner.owners(), Policy::default());
        let mut play = Self { owner, registrar, now: 1_700_010_000_000, rng: StdRng::seed_from_u64(5) };
        play.furnish();
        play
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.owner.stage.lock().unwrap()
    }

    /// Romeo has a friend who has him in her phone book, one who has not, one whom he blocks, and a profile.
    fn furnish(&mut self) {
        let mut stage = self.stage();
        let stage = &mut *stage;
        for local in [JULIET, NURSE] {
            stage.set_account(local, 1).unwrap();
        }
        let romeo = stage.login(ROMEO, "phone");
        put_book(stage, ROMEO, &[JULIET, NURSE, "+15551230099"]);
        put_book(stage, JULIET, &[ROMEO]);
        let name = format!("<item jid='{}' name='Love'><group>Verona</group></item>", jid(JULIET));
        let query = format!("<query xmlns='jabber:iq:roster'>{name}</query>");
        stage.send(romeo, &format!("<iq type='set' id='n'>{query}</iq>"));
        block(stage, romeo, &[jid("+15551230098")]);
        // Too large to stand in the index of nodes.
        let mood = format!("<mood xmlns='urn:example:mood'>{}</mood>", "in love ".repeat(1_000));
        let publish = format!("<publish node='urn:example:mood'><item id='1'>{mood}</item></publish>");
        let pubsub = format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{publish}</pubsub>");
        stage.send(romeo, &format!("<iq type='set' id='p'>{pubsub}</iq>"));
        assert!(stage.stanzas(romeo).iter().any(|s| s.contains("id='p'") && s.contains("type='result'")));
        stage.send(romeo, "<presence type='unavailable'/>");
        stage.command(ROMEO, Kick { resource: None }).unwrap();
    }

    fn begin(&mut self, number: &str) -> (String, String) {
        let request =
            Request { phone: number, transport: Transport::Sms, locale: None, client: None, network: None };
        let begun = self.registrar.begin(request, self.now, &mut self.rng).unwrap();
        let code = begun.code().digits().to_owned();
        (begun.id, code)
    }

    fn change(&mut self, key: &str, id: &str, code: &str) -> Result<Registered, RegistrationError> {
        let confirmation = Confirmation { code, ..Confirmation::default() };
        let old = self.registrar.prove(ROMEO, key, Network::UNKNOWN, self.now)?;
        self.registrar.change_number(old, id, confirmation, self.now, &mut self.rng)
    }

    fn record(&self, local: &str) -> Option<AccountRecord> {
        let found = self.stage().engine.records().get(Table::ACCOUNTS, local).unwrap()?;
        Some(AccountRecord::from_json(&found.value).unwrap())
    }

    /// The keys of what the store has under a number.
    fn left(&self, local: &str) -> Vec<String> {
        let records = self.stage().engine.records();
        let all = TABLES.iter().flat_map(|&table| {
            records
                .scan(table, "", 1_000)
                .unwrap()
                .into_iter()
                .map(move |(key, _)| format!("{} {key}", table.name()))
        });
        all.filter(|key| key.contains(local)).collect()
    }

    fn assert_moved(&mut self, registered: &Registered) {
        assert_eq!(self.left(ROMEO), [""; 0]);
        let record = self.record(NEW).unwrap();
        assert_eq!(record.credentials.check_plain(&registered.key), PlainCheck::Right);
        assert!(!record.disabled && record.has_moved_from(&AccountName::parse(ROMEO).unwrap()));
        let tables: Vec<_> =
            self.left(NEW).iter().map(|key| key.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(tables, ["accounts", "rosters", "settings", "nodes", "items"]);
        let mut stage = self.stage();
        let stage = &mut *stage;
        assert_eq!((book(stage, NEW), book(stage, JULIET), book(stage, NURSE)), (3, 2, 0));
        let generation = record.generation();
        let (juliet, new) = (stage.login(JULIET, "phone"), stage.connect(NEW));
        stage.bind(new, NEW, generation, None).unwrap();
        stage.send(new, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
        let roster = stage.stanzas(new).pop().unwrap();
        assert!(roster.contains("name='Love'") && roster.contains("<group>Verona</group>"), "{roster}");
        assert!(roster.contains(NURSE) && !roster.contains(ROMEO), "{roster}");
        stage.send(juliet, "<presence/>");
        stage.received(juliet);
        stage.send(new, "<presence/>");
        let got = stage.stanzas(juliet);
        assert!(got.iter().any(|s| s.starts_with("<presence") && s.contains(NEW)), "{got:?}");
        stage.send(juliet, &chat(NEW, "still here?"));
        assert_eq!(heard(stage, new), ["still here?"]);
        // Whoever gets the old number inherits nothing.
        stage.set_account(ROMEO, 9).unwrap();
        assert_eq!(book(stage, ROMEO), 0);
    }
}

pub(super) fn put_book(stage: &mut Stage, local: &str, numbers: &[&str]) {
    let numbers = numbers.iter().map(|local| account(local).to_bits()).collect();
    stage.command(local, BookChange::Replace(numbers)).unwrap();
}

pub(super) fn book(stage: &mut Stage, local: &str) -> usize {
    stage.command(local, BookChange::Show).unwrap().numbers
}

#[test]
fn everything_goes_with_its_owner_and_contacts_follow() {
    let mut play = Play::new();
    let (id, code) = play.begin(NEW);
    let registered = play.change("key", &id, &code).unwrap();
    play.assert_moved(&registered);
    let again = play.change("key", &id, &code).err();
    assert_eq!(again, Some(RegistrationError::Used));
}

#[test]
fn nobody_changes_who_proves_only_one_number() {
    let mut play = Play::new();
    let (id, code) = play.begin(NEW);
    assert_eq!(play.change("no key", &id, &code).err(), Some(RegistrationError::NotAuthorized));
    let wrong = format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000);
    let refused = play.change("key", &id, &wrong).err();
    assert_eq!(refused, Some(RegistrationError::WrongCode { guesses_left: 4 }));
    assert!(!play.record(ROMEO).unwrap().disabled);
    assert_eq!(play.left(NEW), [""; 0]);
}

#[test]
fn a_number_that_is_somebodys_is_not_taken() {
    let mut play = Play::new();
    for taken in [JULIET, ROMEO] {
        let (id, code) = play.begin(taken);
        assert_eq!(play.change("key", &id, &code).err(), Some(RegistrationError::NumberTaken));
    }
    assert!(!play.record(ROMEO).unwrap().disabled);
}

#[test]
fn messages_that_wait_come_first() {
    let mut play = Play::new();
    let juliet = play.stage().login(JULIET, "phone");
    play.stage().send(juliet, &chat(ROMEO, MAIL));
    let (id, code) = play.begin(NEW);
    assert_eq!(play.change("key", &id, &code).err(), Some(RegistrationError::MessagesWait));
    assert!(!play.record(ROMEO).unwrap().disabled);
    let romeo = play.stage().login(ROMEO, "phone");
    play.stage().send(romeo, "<presence/>");
    assert_eq!(heard(&mut play.stage(), romeo), [MAIL]);
    play.stage().send(romeo, "<a xmlns='urn:xmpp:sm:3' h='1'/>");
}

#[test]
fn a_message_that_comes_after_the_first_look_stops_the_change() {
    let mut play = Play::new();
    let juliet = play.stage().login(JULIET, "phone");
    *play.owner.writer.lock().unwrap() = Some(juliet);
    let (id, code) = play.begin(NEW);
    assert_eq!(play.change("key", &id, &code).err(), Some(RegistrationError::MessagesWait));
    assert!(!play.record(ROMEO).unwrap().disabled && play.record(NEW).is_none());
    let romeo = play.stage().login(ROMEO, "phone");
    play.stage().send(romeo, "<presence/>");
    assert_eq!(heard(&mut play.stage(), romeo), [MAIL]);
}

#[test]
fn a_message_that_comes_too_late_goes_back_to_its_sender() {
    let mut play = Play::new();
    let (id, code) = play.begin(NEW);
    // Interrupted after the old account was marked.
    *play.owner.faults.lock().unwrap() = Some((4, false));
    assert!(play.change("key", &id, &code).is_err());
    assert!(play.record(ROMEO).unwrap().moving_to().is_some());
    let juliet = play.stage().login(JULIET, "phone");
    play.stage().send(juliet, &chat(ROMEO, MAIL));
    let got = play.stage().stanzas(juliet);
    assert!(got.iter().any(|s| s.contains("type='error'")), "{got:?}");
    assert_eq!(play.stage().waiting(ROMEO), 0);
    *play.owner.faults.lock().unwrap() = None;
    let registered = play.change("key", &id, &code).unwrap();
    play.assert_moved(&registered);
}

#[test]
fn asked_again_after_a_crash_anywhere_it_is_finished() {
    for is_done in [false, true] {
        for answered in 0..10 {
            let mut play = Play::new();
            let (id, code) = play.begin(NEW);
            *play.owner.faults.lock().unwrap() = Some((answered, is_done));
            let first = play.change("key", &id, &code);
            *play.owner.faults.lock().unwrap() = None;
            play.stage().crash();
            play.now += DAY_MS;
            let registered = match first {
                Ok(registered) => registered,
                // All was done but for the answer.
                Err(_) if play.record(ROMEO).is_none() => continue,
                Err(_) => {
                    let (id, code) = play.begin(NEW);
                    play.change("key", &id, &code)
                        .unwrap_or_else(|e| panic!("{e} after {answered} {is_done}"))
                }
            };
            play.assert_moved(&registered);
        }
    }
}

#[test]
fn who_registers_the_old_number_after_a_crash_gets_the_account_or_an_empty_one() {
    for (answered, is_done, has_moved) in
        [(3, true, false), (4, false, false), (4, true, true), (6, true, true)]
    {
        let mut play = Play::new();
        let (id, code) = play.begin(NEW);
        *play.owner.faults.lock().unwrap() = Some((answered, is_done));
        assert!(play.change("key", &id, &code).is_err());
        *play.owner.faults.lock().unwrap() = None;
        play.stage().crash();
        play.now += DAY_MS;
        let (id, code) = play.begin(ROMEO);
        let confirmation = Confirmation { code: &code, ..Confirmation::default() };
        let registered = play.registrar.confirm(&id, confirmation, play.now, &mut play.rng).unwrap();
        assert_eq!(registered.is_new(), has_moved);
        let record = play.record(ROMEO).unwrap();
        assert!(!record.disabled && record.moving_to().is_none());
        let expected = if has_moved { (0, 3) } else { (3, 0) };
        let new = if has_moved { book(&mut play.stage(), NEW) } else { play.left(NEW).len() };
        assert_eq!((book(&mut play.stage(), ROMEO), new), expected, "{answered} {is_done}");
    }
}
