//! Contact sync across turns: each job on a phone book reads, writes and updates the roster in steps, and between them waits for
//! the store.
//!
//! See [`crate::rooms::contact_sync`] for what is promised; this file carries it out. An account has one job at a time, and a
//! shard a few. Each job works in slices: [`SPELLED_PER_SLICE`] numbers parsed, [`CHANGE_MAX`] written, [`MATCHES_PER_PAGE`]
//! looked up, [`FOLLOWED_PER_SLICE`] roster items pushed. An account with a job stays in memory and can't be removed meanwhile.

mod again;
mod asking;
mod hints;

use crate::account::acquaintances::Acquaintances;
use crate::account::phone::Home;
use crate::account::quota::{ContactSyncKnobs, Quota};
use crate::account::roster::Contact;
use crate::effects::turn::command::BookChange;
use crate::effects::turn::contact_sync::{Answer, Refused, SyncRequest, SyncWork, Synced};
use crate::owner::context::Context;
use crate::owner::state::Owner;
use crate::owner::state::books::Chunk;
use crate::owner::state::books::Job;
use crate::owner::state::books::Stage;
use crate::realm::Limits;
use crate::rooms::contact_sync::following;
use crate::ticket::Purpose;
use chaski_store::books::{self, CHANGE_MAX, Edit, Query, Standing};
use chaski_store::{AccountId, StoreError};
use std::collections::{HashMap, VecDeque};

/// Phone numbers brought to E.164 in one slice: this takes about a millisecond.
const SPELLED_PER_SLICE: usize = 400;
/// Numbers of a book looked up by one query.
const MATCHES_PER_PAGE: usize = 4_096;
/// Roster items that one job pushes in one slice, …
const FOLLOWED_PER_SLICE: usize = 64;
/// … and the time between two slices.
const FOLLOW_EVERY_MS: u64 = 200;
/// For so many slices a job waits for a client that has much unacknowledged. After that it pushes anyway, and the bound of the
/// client's queue applies.
const PATIENCE: u16 = 300;

impl Owner {
    /// Does something with an account's phone book, now or when its turn comes.
    pub(crate) fn book(&mut self, ctx: &mut Context<'_>, wish: SyncRequest) {
        if wish.want.is_asked_for() {
            self.books.metrics.syncs_total.inc();
        }
        self.join_line(ctx, wish);
        self.start_books(ctx);
    }

    fn join_line(&mut self, ctx: &mut Context<'_>, wish: SyncRequest) {
        let id = wish.account;
        if let Err(wish) = self.books.lines.join(wish) {
            self.books.metrics.busy_total.inc();
            return self.answer_wish(ctx, id, wish.answer, Err(Refused::Busy));
        }
        if let Some(account) = self.directory.present(id) {
            account.ledger.change(|writes| writes.book = true);
        }
    }

    fn start_books(&mut self, ctx: &mut Context<'_>) {
        while let Some(wish) = self.books.lines.next() {
            self.begin_book(ctx, wish);
        }
        self.books.metrics.lines.set(self.books.lines.len() as i64);
    }

    fn begin_book(&mut self, ctx: &mut Context<'_>, wish: SyncRequest) {
        let SyncRequest { account, want, answer } = wish;
        // An account that is being removed counts as gone: its phone book has been deleted, and nobody would delete what was
        // written now.
        let is_there = self.directory.present(account).is_some_and(|account| !account.record.disabled);
        let gone = want.is_asked_for() && !is_there;
        let is_by_key = want.is_by_key();
        let stage = match want {
            SyncWork::Spelled(texts) => {
                let home = Home::of(account);
                Stage::Spelling { home, numbers: Vec::with_capacity(texts.len()), texts: texts.into_iter() }
            }
            SyncWork::Change(change) => Stage::Reading(change),
            SyncWork::Look(number) => Stage::Looking(number),
            SyncWork::LookAtAll | SyncWork::Contacts => Stage::Matching { after: 0 },
            SyncWork::Leave => Stage::Reading(BookChange::Show),
        };
        let synced = Synced { numbers: 0, book: Vec::new(), matches: Vec::new(), spelled: HashMap::new() };
        let (patience, is_void) = (PATIENCE, false);
        let job = Job { account, stage: None, answer, synced, patience, is_by_key, is_void };
        let key = self.books.jobs.insert(job);
        if gone {
            return self.refuse_job(ctx, key, Refused::Gone);
        }
        self.go_on_with(ctx, key, stage);
    }

    /// Does as much of a job's stage as is possible now, or asks the store for what it needs.
    fn go_on_with(&mut self, ctx: &mut Context<'_>, key: usize, stage: Stage) {
        let Some(job) = self.books.jobs.get_mut(key) else { return };
        let (owner, ticket) = (job.account, Purpose::Book(key).ticket());
        let stage = match stage {
            Stage::Spelling { .. } | Stage::Reading(_) | Stage::Writing { .. } if job.is_void => {
                // The roster still has to follow what the job has written.
                return self.go_on_with(ctx, key, Stage::Matching { after: 0 });
            }
            Stage::Spelling { home, texts, numbers } => return self.spell(ctx, key, home, texts, numbers),
            Stage::Following(changes) => return self.follow_some(ctx, key, changes),
            Stage::Reading(change) => {
                let quota = Quota::key(&self.desk.realm, owner);
                ctx.store.ask_book(Query::Book { owner, quota }, ticket);
                Stage::Reading(change)
            }
            Stage::Writing { mut quota, mut rest } => {
                let Chunk { add, remove } = rest.pop_front().unwrap_or_default();
                self.books.metrics.numbers_added_total.add(add.len() as u64);
                self.books.metrics.numbers_removed_total.add(remove.len() as u64);
                let account = self.directory.present(owner).filter(|_| quota.is_charged(add.len()));
                let put = account.and_then(|account| {
                    let purse = &mut account.rare.get_or_make::<Acquaintances>().purse;
                    quota.take(add.len(), ctx.unix_ms, purse)
                });
                let puts = put.into_iter().collect();
                ctx.store.edit_book(Edit::Change { owner, add, remove, puts }, ticket);
                Stage::Writing { quota, rest }
            }
            Stage::Matching { after } => {
                ctx.store.ask_book(Query::Matches { owner, after, limit: MATCHES_PER_PAGE }, ticket);
                Stage::Matching { after }
            }
            Stage::Looking(number) => {
                ctx.store.ask_book(Query::Look { owner, number }, ticket);
                Stage::Looking(number)
            }
        };
        job.stage = Some(stage);
    }

    /// The store has answered a job, or failed.
    pub(crate) fn book_answered(
        &mut self,
        ctx: &mut Context<'_>,
        key: usize,
        result: Result<books::Answer, StoreError>,
    ) {
        let Some(job) = self.books.jobs.get_mut(key) else { return };
        let (id, stage) = (job.account, job.stage.take());
        match (stage, result) {
            (Some(Stage::Reading(change)), Ok(books::Answer::Book { numbers, quota })) => {
                let record = quota.as_ref().map(|record| record.value.as_slice());
                let account = self.directory.present(id);
                let purse =
                    account.and_then(|account| account.rare.get::<Acquaintances>()).map(|known| &known.purse);
                let mut quota = Quota::read(&self.desk.realm, id, record, purse);
                if matches!(change, BookChange::Adopt(_)) {
                    quota.waive();
                }
                if matches!(job.answer, Answer::Leaving(_)) {
                    job.synced.book.clone_from(&numbers);
                }
                self.plan(ctx, key, &numbers, change, quota);
            }
            (Some(Stage::Writing { quota, rest }), Ok(books::Answer::Changed { accounts })) => {
                self.hint_others(ctx, id, accounts);
                let next = if rest.is_empty() {
                    Stage::Matching { after: 0 }
                } else {
                    Stage::Writing { quota, rest }
                };
                self.go_on_with(ctx, key, next);
            }
            (Some(Stage::Matching { .. }), Ok(books::Answer::Matches { matches, next })) => {
                job.synced.matches.extend(matches);
                match next {
                    Some(after) => self.go_on_with(ctx, key, Stage::Matching { after }),
                    None => self.matched(ctx, key),
                }
            }
            (Some(Stage::Looking(number)), Ok(books::Answer::Look(standing))) => {
                self.looked(ctx, id, number, standing);
                self.finish_job(ctx, key);
            }
            (stage, result) => self.failed(ctx, key, stage, result.err()),
        }
        self.start_books(ctx);
    }

    fn failed(&mut self, ctx: &mut Context<'_>, key: usize, stage: Option<Stage>, error: Option<StoreError>) {
        let Some(job) = self.books.jobs.get(key) else { return };
        let id = job.account;
        tracing::warn!(account = ?id, ?error, "a phone book could not be read or written");
        self.desk.metrics.saves_failed_total.inc();
        if matches!(stage, Some(Stage::Writing { .. })) {
            // Some of the change may have been written, so the roster has to follow that at least.
            self.join_line(ctx, SyncRequest { account: id, want: SyncWork::LookAtAll, answer: Answer::None });
        }
        if matches!(stage, Some(Stage::Looking(_) | Stage::Matching { .. })) && !self.directory.is_absent(id)
        {
            self.books.lost.failed(id);
        }
        self.refuse_job(ctx, key, Refused::Failed);
    }

    /// Parses some of the phone numbers as people wrote them.
    fn spell(
        &mut self,
        ctx: &mut Context<'_>,
        key: usize,
        home: Home,
        mut texts: std::vec::IntoIter<Box<str>>,
        mut numbers: Vec<u64>,
    ) {
        let Some(job) = self.books.jobs.get_mut(key) else { return };
        for text in texts.by_ref().take(SPELLED_PER_SLICE) {
            let Some(number) = home.read(&text) else { continue };
            numbers.push(number);
            if text.strip_prefix('+').and_then(|digits| digits.parse().ok()) != Some(number) {
                job.synced.spelled.insert(number, text);
            }
        }
        if texts.len() == 0 {
            return self.go_on_with(ctx, key, Stage::Reading(BookChange::Replace(numbers)));
        }
        job.stage = Some(Stage::Spelling { home, texts, numbers });
        self.books.spelling.push_back(key);
    }

    /// Works out what is to be written to the phone book, if the quota allows it.
    fn plan(&mut self, ctx: &mut Context<'_>, key: usize, book: &[u64], change: BookChange, quota: Quota) {
        let Some(job) = self.books.jobs.get_mut(key) else { return };
        let (add, remove) = differences(book, change, job.account);
        let knobs = self.desk.realm.knobs.of::<ContactSyncKnobs>();
        job.synced.numbers = book.len() + add.len() - remove.len();
        if job.synced.numbers > knobs.numbers.size() && !add.is_empty() {
            return self.refuse_job(ctx, key, Refused::TooMany);
        }
        if let Err(retry_after_ms) = quota.check(add.len(), ctx.unix_ms) {
            self.books.metrics.quota_reached_total.inc();
            return self.refuse_job(ctx, key, Refused::Quota { retry_after_ms });
        }
        let rest = chunks(add, remove);
        let next =
            if rest.is_empty() { Stage::Matching { after: 0 } } else { Stage::Writing { quota, rest } };
        self.go_on_with(ctx, key, next);
    }

    /// The store has said which numbers of the phone book have accounts: the request is answered, and the roster follows.
    fn matched(&mut self, ctx: &mut Context<'_>, key: usize) {
        let only_asks = self.books.jobs.get(key).is_some_and(|job| matches!(job.answer, Answer::Contacts(_)));
        self.tell_of_job(ctx, key, Ok(()));
        if only_asks {
            return self.finish_job(ctx, key);
        }
        let Some(job) = self.books.jobs.get(key) else { return };
        let account = self.directory.present(job.account);
        let changes = account.map(|account| account.roster.differences(&job.synced.matches));
        self.go_on_with(ctx, key, Stage::Following(changes.unwrap_or_default().into_iter()));
    }

    fn follow_some(
        &mut self,
        ctx: &mut Context<'_>,
        key: usize,
        mut changes: std::vec::IntoIter<(Contact, Option<bool>)>,
    ) {
        let Some(job) = self.books.jobs.get_mut(key) else { return };
        let (id, mut unlisted) = (job.account, 0);
        let behind = job.patience > 0
            && changes.len() > 0
            && is_behind(&mut self.directory, id, &self.desk.realm.limits);
        if behind {
            job.patience -= 1;
        } else {
            for (contact, mutual) in changes.by_ref().take(FOLLOWED_PER_SLICE) {
                unlisted += usize::from(!self.follow(ctx, id, &contact, mutual));
            }
        }
        if unlisted > 0 {
            tracing::warn!(account = ?id, unlisted, "a roster is full; not all of the phone book is listed");
        }
        if changes.len() == 0 {
            return self.finish_job(ctx, key);
        }
        let Some(job) = self.books.jobs.get_mut(key) else { return };
        job.stage = Some(Stage::Following(changes));
        self.books.following.push_back(key);
    }

    /// Has the roster follow one match of the phone book. False: the roster is full.
    fn follow(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        contact: &Contact,
        mutual: Option<bool>,
    ) -> bool {
        let mut listed = true;
        self.in_room(ctx, id, |turn, account| {
            listed = following::follow(turn, account, contact, mutual).is_ok();
        });
        if !listed {
            self.books.metrics.unlisted_total.inc();
        }
        listed
    }

    /// The store has said whether the account has this number in its phone book, whether the number has an account, and whether
    /// that account has this one.
    fn looked(&mut self, ctx: &mut Context<'_>, id: AccountId, number: u64, standing: Standing) {
        if self.directory.is_loading(id) {
            // The records that are being loaded may be from before this change.
            return self.books.again.push((id, number));
        }
        let mutual = (standing.holds && standing.registered).then_some(standing.held);
        if !self.follow(ctx, id, &Contact::Phone(number), mutual) {
            tracing::warn!(account = ?id, "a roster is full; an account of the phone book is not listed");
        }
    }

    fn refuse_job(&mut self, ctx: &mut Context<'_>, key: usize, why: Refused) {
        self.tell_of_job(ctx, key, Err(why));
        self.finish_job(ctx, key);
    }

    /// Answers the request that a job was made for, once.
    fn tell_of_job(&mut self, ctx: &mut Context<'_>, key: usize, result: Result<(), Refused>) {
        let Some(job) = self.books.jobs.get_mut(key) else { return };
        let id = job.account;
        if result.is_ok() && matches!(job.answer, Answer::Room { when_followed: true, .. }) {
            // The request is answered when the roster has followed.
            return;
        }
        let answer = std::mem::replace(&mut job.answer, Answer::None);
        let matches = std::mem::take(&mut job.synced.matches);
        let spelled = std::mem::take(&mut job.synced.spelled);
        let book = std::mem::take(&mut job.synced.book);
        let synced = Synced { numbers: job.synced.numbers, book, matches, spelled };
        self.answer_wish(ctx, id, answer, result.map(|()| &synced));
        if let Some(job) = self.books.jobs.get_mut(key) {
            job.synced.matches = synced.matches;
        }
    }

    /// The account's key has been replaced: requests that were made with the old key are answered as if the account were gone,
    /// and write nothing more.
    pub(crate) fn end_asked(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        for wish in self.books.lines.withdraw(id) {
            self.answer_wish(ctx, id, wish.answer, Err(Refused::Gone));
        }
        let running = self.books.jobs.iter().find(|(_, job)| job.account == id && job.is_by_key);
        if let Some((key, _)) = running {
            self.books.jobs[key].is_void = true;
            self.tell_of_job(ctx, key, Err(Refused::Gone));
        }
    }

    fn finish_job(&mut self, ctx: &mut Context<'_>, key: usize) {
        let Some(job) = self.books.jobs.try_remove(key) else { return };
        let id = job.account;
        if let Answer::Room { then, by, .. } = job.answer {
            self.in_room(ctx, id, |turn, account| then(turn, account, Ok(None)));
            self.change_is_over(by);
        }
        if self.books.lines.done(id)
            && let Some(account) = self.directory.present(id)
        {
            account.ledger.change(|writes| writes.book = false);
            self.do_deferred(ctx, id);
        }
    }

    /// Goes on with jobs that work in slices. `true`: call again after other work has been done.
    pub(crate) fn books_tick(&mut self, ctx: &mut Context<'_>) -> bool {
        if ctx.now_ms >= self.books.follow_at_ms {
            self.books.follow_at_ms = ctx.now_ms + FOLLOW_EVERY_MS;
            for (account, number) in std::mem::take(&mut self.books.again) {
                self.look(ctx, account, number);
            }
            for key in std::mem::take(&mut self.books.following) {
                self.slice(ctx, key);
            }
            self.go_on_telling(ctx);
            self.look_again(ctx);
        }
        if let Some(key) = self.books.spelling.pop_front() {
            self.slice(ctx, key);
        }
        self.start_books(ctx);
        !self.books.spelling.is_empty()
    }

    fn slice(&mut self, ctx: &mut Context<'_>, key: usize) {
        if let Some(stage) = self.books.jobs.get_mut(key).and_then(|job| job.stage.take()) {
            self.go_on_with(ctx, key, stage);
        }
    }
}

/// Whether some session that gets roster pushes has half a queue of unacknowledged stanzas.
fn is_behind(directory: &mut crate::owner::directory::Directory, id: AccountId, limits: &Limits) -> bool {
    let Some(account) = directory.present(id) else { return false };
    let behind = |session: &&crate::account::session::Session| {
        session.presence.is_interested() && session.queue.len() > limits.queue_stanzas / 2
    };
    account.sessions.iter().find(behind).is_some()
}

/// The numbers to be added to a phone book (ascending) and to be removed from it. An account's own number is never in its phone
/// book.
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
