//! One thing that is done with an account's phone book, in steps: what the store said goes in, what is needed next comes out.
//!
//! A state machine without a store, a clock or a queue: `owner/contact_sync` has the queue, asks the store and calls
//! [`Job::go_on`] with a turn. Each step is short: [`SPELLED_PER_STEP`] numbers read, [`CHANGE_MAX`] written, [`MATCHES_PER_PAGE`] looked up,
//! one roster item followed, [`FOLLOWED_PER_SLICE`] of them before everybody else has their turn.

use super::{BookMetrics, following};
use crate::account::Account;
use crate::account::acquaintances::Acquaintances;
use crate::account::contact_sync_quota::{ContactSyncKnobs, Quota};
use crate::account::phone::Home;
use crate::account::roster::Contact;
use crate::effects::turn::command::BookChange;
use crate::effects::turn::contact_sync::{Answer, Refused, SyncRequest, SyncWork, Synced};
use crate::effects::turn::{Post, Turn};
use chaski_store::books::{self, CHANGE_MAX, Edit, Query, Standing};
use chaski_store::{AccountId, StoreError};
use std::collections::VecDeque;

/// Numbers brought to E.164 in one step: about a millisecond.
const SPELLED_PER_STEP: usize = 400;
/// Numbers of a book looked up by one query.
const MATCHES_PER_PAGE: usize = 4_096;
/// Roster items that one job pushes in one slice.
const FOLLOWED_PER_SLICE: usize = 64;
/// A client that is behind is waited for so many slices; then it is its queue's bound that counts.
const PATIENCE: u16 = 300;

/// See the module.
pub(crate) struct Job {
    account: AccountId,
    /// `None` while it is being worked on.
    stage: Option<Stage>,
    answer: Answer,
    synced: Synced,
    patience: u16,
    /// Items followed in this slice.
    followed: usize,
    /// It was asked for by the account's key.
    is_by_key: bool,
    /// That key is void: what the job has not written it does not write.
    is_void: bool,
}

enum Stage {
    Begins(SyncWork),
    Spelling { home: Home, texts: std::vec::IntoIter<Box<str>>, numbers: Vec<u64> },
    Reading(BookChange),
    Writing { quota: Quota, rest: VecDeque<Chunk> },
    Matching,
    Following(std::vec::IntoIter<(Contact, Option<bool>)>),
    Looking(u64),
}

/// What one transaction changes.
#[derive(Default)]
struct Chunk {
    add: Vec<u64>,
    remove: Vec<u64>,
}

/// With what a job goes on.
pub(crate) enum Input {
    /// Its turn has come.
    Turn,
    /// The store has answered, or not.
    Answer(Result<books::Answer, StoreError>),
}

/// What a job needs next.
pub(crate) enum Next {
    /// Something of the store's.
    Ask(Query),
    /// Something is written.
    Edit(Edit),
    /// A turn at once.
    Again,
    /// A turn when whatever else there is has had its own.
    Soon,
    /// A turn in the next slice.
    Later,
    /// Nothing: it is over.
    Over,
    /// Nothing: the store has failed. Whether the account is to look at its book again.
    Failed { looks_again: bool },
}

/// A step that was made: what whoever waits is told, if it is time to tell, and what is needed next.
pub(crate) struct Step {
    pub(crate) tell: Option<Result<(), Refused>>,
    pub(crate) next: Next,
}

impl From<Next> for Step {
    fn from(next: Next) -> Self {
        Self { tell: None, next }
    }
}

impl Job {
    /// What was asked for.
    pub(crate) fn new(request: SyncRequest) -> Self {
        let SyncRequest { account, want, answer } = request;
        Self {
            account,
            is_by_key: want.is_by_key(),
            stage: Some(Stage::Begins(want)),
            answer,
            synced: Synced::default(),
            patience: PATIENCE,
            followed: 0,
            is_void: false,
        }
    }

    /// Whose book it is.
    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// Whether it was asked for by the account's key.
    pub(crate) fn is_by_key(&self) -> bool {
        self.is_by_key
    }

    /// That key is void now.
    pub(crate) fn void(&mut self) {
        self.is_void = true;
    }

    /// The number that it looks at, if that is what it does.
    pub(crate) fn looks_at(&self) -> Option<u64> {
        match &self.stage {
            Some(Stage::Looking(number) | Stage::Begins(SyncWork::Look(number))) => Some(*number),
            _ => None,
        }
    }

    /// Who is told, once, and of what. Who is told when the roster has followed stays.
    pub(crate) fn take_answer(&mut self, is_done: bool) -> Option<(Answer, Synced)> {
        if is_done && matches!(self.answer, Answer::Room { when_followed: true, .. }) {
            return None;
        }
        let synced = Synced { matches: self.synced.matches.clone(), ..std::mem::take(&mut self.synced) };
        self.synced.matches.clone_from(&synced.matches);
        Some((std::mem::replace(&mut self.answer, Answer::None), synced))
    }

    /// Who is told at the very end.
    pub(crate) fn into_answer(self) -> Answer {
        self.answer
    }

    /// Makes one step.
    pub(crate) fn go_on(&mut self, turn: &mut Turn<'_>, account: &mut Account, input: Input) -> Step {
        let Some(stage) = self.stage.take() else { return Next::Over.into() };
        match input {
            Input::Turn => self.enter(turn, account, stage),
            Input::Answer(result) => self.answered(turn, account, stage, result),
        }
    }

    /// Does what the stage can do now, or says what it needs.
    fn enter(&mut self, turn: &mut Turn<'_>, account: &mut Account, stage: Stage) -> Step {
        let owner = self.account;
        match stage {
            Stage::Begins(work) => self.begin(turn, account, work),
            Stage::Spelling { .. } | Stage::Reading(_) | Stage::Writing { .. } if self.is_void => {
                // Its roster is to follow what was written already.
                self.look_up(0)
            }
            Stage::Spelling { home, texts, numbers } => self.spell(turn, account, home, texts, numbers),
            Stage::Following(changes) => self.follow_one(turn, account, changes),
            Stage::Reading(change) => {
                self.stage = Some(Stage::Reading(change));
                Next::Ask(Query::Book { owner, quota: Quota::key(turn.realm, owner) }).into()
            }
            Stage::Writing { quota, rest } => self.write(turn, account, quota, rest),
            Stage::Matching => self.look_up(0),
            Stage::Looking(number) => {
                self.stage = Some(Stage::Looking(number));
                Next::Ask(Query::Look { owner, number }).into()
            }
        }
    }

    fn begin(&mut self, turn: &mut Turn<'_>, account: &mut Account, work: SyncWork) -> Step {
        // One that is being removed counts as gone: its book has been dropped, and nobody would drop what is written now.
        if work.is_asked_for() && account.record.disabled {
            return refused(Refused::Gone);
        }
        let stage = match work {
            SyncWork::Spelled(texts) => {
                let home = Home::of(self.account);
                Stage::Spelling { home, numbers: Vec::with_capacity(texts.len()), texts: texts.into_iter() }
            }
            SyncWork::Change(change) => Stage::Reading(change),
            SyncWork::Look(number) => Stage::Looking(number),
            SyncWork::LookAtAll | SyncWork::Contacts => Stage::Matching,
            SyncWork::Leave => Stage::Reading(BookChange::Show),
        };
        self.enter(turn, account, stage)
    }

    /// Reads some of the numbers as people wrote them.
    fn spell(
        &mut self,
        turn: &mut Turn<'_>,
        account: &mut Account,
        home: Home,
        mut texts: std::vec::IntoIter<Box<str>>,
        mut numbers: Vec<u64>,
    ) -> Step {
        for text in texts.by_ref().take(SPELLED_PER_STEP) {
            let Some(number) = home.read(&text) else { continue };
            numbers.push(number);
            if text.strip_prefix('+').and_then(|digits| digits.parse().ok()) != Some(number) {
                self.synced.spelled.insert(number, text);
            }
        }
        if texts.len() == 0 {
            return self.enter(turn, account, Stage::Reading(BookChange::Replace(numbers)));
        }
        self.stage = Some(Stage::Spelling { home, texts, numbers });
        Next::Soon.into()
    }

    /// What is to be written, if the quota allows it.
    fn plan(
        &mut self,
        turn: &mut Turn<'_>,
        account: &mut Account,
        (book, change): (&[u64], BookChange),
        quota: Quota,
    ) -> Step {
        let (add, remove) = differences(book, change, self.account);
        let knobs = turn.realm.knobs.of::<ContactSyncKnobs>();
        self.synced.numbers = book.len() + add.len() - remove.len();
        if self.synced.numbers > knobs.numbers.size() && !add.is_empty() {
            return refused(Refused::TooMany);
        }
        if let Err(retry_after_ms) = quota.check(add.len(), turn.unix_ms) {
            turn.metrics.of::<BookMetrics>().quota_reached_total.inc();
            return refused(Refused::Quota { retry_after_ms });
        }
        let rest = chunks(add, remove);
        let next = if rest.is_empty() { Stage::Matching } else { Stage::Writing { quota, rest } };
        self.enter(turn, account, next)
    }

    /// Writes the next chunk, and what of the quota it costs in the same transaction.
    fn write(
        &mut self,
        turn: &Turn<'_>,
        account: &mut Account,
        mut quota: Quota,
        mut rest: VecDeque<Chunk>,
    ) -> Step {
        let Chunk { add, remove } = rest.pop_front().unwrap_or_default();
        let metrics = turn.metrics.of::<BookMetrics>();
        metrics.numbers_added_total.add(add.len() as u64);
        metrics.numbers_removed_total.add(remove.len() as u64);
        let put = quota.is_charged(add.len()).then(|| {
            let purse = &mut account.rare.get_or_make::<Acquaintances>().purse;
            quota.take(add.len(), turn.unix_ms, purse)
        });
        self.stage = Some(Stage::Writing { quota, rest });
        let puts = put.flatten().into_iter().collect();
        Next::Edit(Edit::Change { owner: self.account, add, remove, puts }).into()
    }

    fn look_up(&mut self, after: u64) -> Step {
        self.stage = Some(Stage::Matching);
        Next::Ask(Query::Matches { owner: self.account, after, limit: MATCHES_PER_PAGE }).into()
    }

    fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        account: &mut Account,
        stage: Stage,
        result: Result<books::Answer, StoreError>,
    ) -> Step {
        match (stage, result) {
            (Stage::Reading(change), Ok(books::Answer::Book { numbers, quota })) => {
                let record = quota.as_ref().map(|record| record.value.as_slice());
                let purse = account.rare.get::<Acquaintances>().map(|known| &known.purse);
                let mut quota = Quota::read(turn.realm, self.account, record, purse);
                if matches!(change, BookChange::Adopt(_)) {
                    quota.waive();
                }
                if matches!(self.answer, Answer::Leaving(_)) {
                    self.synced.book.clone_from(&numbers);
                }
                self.plan(turn, account, (&numbers, change), quota)
            }
            (Stage::Writing { quota, rest }, Ok(books::Answer::Changed { accounts })) => {
                turn.outbox.posts.push(Post::Hints(accounts));
                let next = if rest.is_empty() { Stage::Matching } else { Stage::Writing { quota, rest } };
                self.enter(turn, account, next)
            }
            (Stage::Matching, Ok(books::Answer::Matches { matches, next })) => {
                self.synced.matches.extend(matches);
                match next {
                    Some(after) => self.look_up(after),
                    None => self.matched(account),
                }
            }
            (Stage::Looking(number), Ok(books::Answer::Look(standing))) => {
                looked(turn, account, number, standing)
            }
            (stage, result) => self.failed(turn, &stage, result.err()),
        }
    }

    /// It is known who of the book is there: whoever asked is told, and the roster follows.
    fn matched(&mut self, account: &Account) -> Step {
        let tell = Some(Ok(()));
        if matches!(self.answer, Answer::Contacts(_)) {
            return Step { tell, next: Next::Over };
        }
        let changes = account.roster.differences(&self.synced.matches);
        self.stage = Some(Stage::Following(changes.into_iter()));
        Step { tell, next: Next::Again }
    }

    /// The roster follows in one item: each is a change of its own, with a version of its own.
    fn follow_one(
        &mut self,
        turn: &mut Turn<'_>,
        account: &mut Account,
        mut changes: std::vec::IntoIter<(Contact, Option<bool>)>,
    ) -> Step {
        let is_new_slice = self.followed == 0;
        if is_new_slice && self.patience > 0 && changes.len() > 0 && is_behind(turn, account) {
            self.patience -= 1;
            self.stage = Some(Stage::Following(changes));
            return Next::Later.into();
        }
        if let Some((contact, mutual)) = changes.next() {
            follow(turn, account, &contact, mutual);
            self.followed += 1;
        }
        if changes.len() == 0 {
            return Next::Over.into();
        }
        self.stage = Some(Stage::Following(changes));
        if self.followed < FOLLOWED_PER_SLICE {
            return Next::Again.into();
        }
        self.followed = 0;
        Next::Later.into()
    }

    fn failed(&self, turn: &mut Turn<'_>, stage: &Stage, error: Option<StoreError>) -> Step {
        tracing::warn!(account = ?self.account, ?error, "a phone book could not be read or written");
        if matches!(stage, Stage::Writing { .. }) {
            // Some of it may have been written: the roster is to follow that at least.
            let (account, want, answer) = (self.account, SyncWork::LookAtAll, Answer::None);
            turn.outbox.posts.push(Post::ContactSync(Box::new(SyncRequest { account, want, answer })));
        }
        let looks_again = matches!(stage, Stage::Looking(_) | Stage::Matching);
        Step { tell: Some(Err(Refused::Failed)), next: Next::Failed { looks_again } }
    }
}

/// How the account stands with one number is known.
fn looked(turn: &mut Turn<'_>, account: &mut Account, number: u64, standing: Standing) -> Step {
    let Standing { holds, registered, held } = standing;
    let mutual = (holds && registered).then_some(held);
    follow(turn, account, &Contact::Phone(number), mutual);
    Next::Over.into()
}

fn refused(why: Refused) -> Step {
    Step { tell: Some(Err(why)), next: Next::Over }
}

fn follow(turn: &mut Turn<'_>, account: &mut Account, contact: &Contact, mutual: Option<bool>) {
    if following::follow(turn, account, contact, mutual).is_err() {
        turn.metrics.of::<BookMetrics>().unlisted_total.inc();
        tracing::warn!(account = ?account.id, "a roster is full; not all of the phone book is listed");
    }
}

/// Whether a session that will get the pushes has half a queue of stanzas that it has not acknowledged.
fn is_behind(turn: &Turn<'_>, account: &Account) -> bool {
    let most = turn.realm.limits.queue_stanzas / 2;
    account.sessions.iter().any(|session| session.presence.is_interested() && session.queue.len() > most)
}

/// What is to be added to a book (ascending) and removed from it. Nobody is in their own book.
fn differences(book: &[u64], change: BookChange, owner: AccountId) -> (Vec<u64>, Vec<u64>) {
    let tidy = |mut numbers: Vec<u64>| {
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| owner.phone_number() != Some(*number));
        numbers
    };
    let lacks = |set: &[u64], number: &u64| set.binary_search(number).is_err();
    match change {
        BookChange::Show => (Vec::new(), Vec::new()),
        BookChange::Replace(wanted) => {
            let wanted = tidy(wanted);
            let remove = book.iter().copied().filter(|number| lacks(&wanted, number)).collect();
            (wanted.into_iter().filter(|number| lacks(book, number)).collect(), remove)
        }
        BookChange::Adopt(add) => {
            (tidy(add).into_iter().filter(|number| lacks(book, number)).collect(), Vec::new())
        }
        BookChange::Change { add, remove } => {
            let (add, mut remove) = (tidy(add), tidy(remove));
            remove.retain(|number| lacks(&add, number) && !lacks(book, number));
            (add.into_iter().filter(|number| lacks(book, number)).collect(), remove)
        }
    }
}

fn chunks(add: Vec<u64>, remove: Vec<u64>) -> VecDeque<Chunk> {
    let removing = remove.chunks(CHANGE_MAX).map(|some| Chunk { add: Vec::new(), remove: some.to_vec() });
    let adding = add.chunks(CHANGE_MAX).map(|some| Chunk { add: some.to_vec(), remove: Vec::new() });
    removing.chain(adding).collect()
}
