//! Phone books at their accounts' owner: whose turn it is, and what a job ([`crate::rooms::contact_sync::job`]) needs next.
//!
//! One job of an account at a time, and a few per shard, in steps. An account with a job stays in memory and can't be removed
//! meanwhile.

mod again;
mod asking;
mod hints;

use crate::effects::turn::contact_sync::{Answer, Refused, SyncRequest};
use crate::owner::context::Context;
use crate::owner::state::Owner;
use crate::rooms::contact_sync::BookMetrics;
use crate::rooms::contact_sync::job::{Input, Job, Next, Step};
use crate::ticket::Purpose;
use chaski_store::books;
use chaski_store::{AccountId, StoreError};

/// How often rosters follow in a slice.
const FOLLOW_EVERY_MS: u64 = 200;

impl Owner {
    /// Something is to be done with an account's book, now or when its turn comes.
    pub(crate) fn book(&mut self, ctx: &mut Context<'_>, request: SyncRequest) {
        if request.want.is_asked_for() {
            self.desk.room_metrics.of::<BookMetrics>().syncs_total.inc();
        }
        self.join_line(ctx, request);
        self.start_books(ctx);
    }

    fn join_line(&mut self, ctx: &mut Context<'_>, request: SyncRequest) {
        let id = request.account;
        if let Err(request) = self.books.lines.join(request) {
            self.desk.room_metrics.of::<BookMetrics>().busy_total.inc();
            return self.answer_sync(ctx, id, request.answer, Err(Refused::Busy));
        }
        if let Some(account) = self.directory.present(id) {
            account.ledger.change(|entries| entries.book = true);
        }
    }

    fn start_books(&mut self, ctx: &mut Context<'_>) {
        while let Some(request) = self.books.lines.next() {
            let key = self.books.jobs.insert(Some(Job::new(request)));
            self.drive(ctx, key, Input::Turn);
        }
        let level = self.books.lines.len() as i64;
        self.desk.room_metrics.of::<BookMetrics>().lines.set(level);
    }

    /// A job goes on until it waits for something.
    fn drive(&mut self, ctx: &mut Context<'_>, key: usize, mut input: Input) {
        while let Some(mut job) = self.books.jobs.get_mut(key).and_then(Option::take) {
            let id = job.account();
            let mut step = Step { tell: Some(Err(Refused::Gone)), next: Next::Over };
            if self.directory.present(id).is_some() {
                self.in_room(ctx, id, |turn, account| step = job.go_on(turn, account, input));
            } else if let Some(number) = job.looks_at().filter(|_| self.directory.is_loading(id)) {
                // What is being loaded may be from before.
                self.books.again.push((id, number));
            }
            if let Some(kept) = self.books.jobs.get_mut(key) {
                *kept = Some(job);
            }
            let Step { tell, next } = step;
            if let Some(result) = tell {
                self.tell_of_job(ctx, key, result);
            }
            let ticket = Purpose::Book(key).ticket();
            match next {
                Next::Ask(query) => return ctx.store.ask_book(query, ticket),
                Next::Edit(edit) => return ctx.store.edit_book(edit, ticket),
                Next::Soon => return self.books.spelling.push_back(key),
                Next::Later => return self.books.following.push_back(key),
                Next::Over => return self.finish_job(ctx, key),
                Next::Failed { looks_again } => {
                    self.desk.metrics.saves_failed_total.inc();
                    if looks_again {
                        self.books.lost.failed(id);
                    }
                    return self.finish_job(ctx, key);
                }
                Next::Again => input = Input::Turn,
            }
        }
    }

    /// The store has answered a job, or failed.
    pub(crate) fn book_answered(
        &mut self,
        ctx: &mut Context<'_>,
        key: usize,
        result: Result<books::Answer, StoreError>,
    ) {
        self.drive(ctx, key, Input::Answer(result));
        self.start_books(ctx);
    }

    /// Tells whoever waits for a job, once.
    fn tell_of_job(&mut self, ctx: &mut Context<'_>, key: usize, result: Result<(), Refused>) {
        let Some(job) = self.books.jobs.get_mut(key).and_then(Option::as_mut) else { return };
        let id = job.account();
        if let Some((answer, synced)) = job.take_answer(result.is_ok()) {
            self.answer_sync(ctx, id, answer, result.map(|()| &synced));
        }
    }

    /// The account's key has been replaced: requests that were made with the old key are answered as if the account were gone,
    /// and write nothing more.
    pub(crate) fn end_asked(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        for request in self.books.lines.withdraw(id) {
            self.answer_sync(ctx, id, request.answer, Err(Refused::Gone));
        }
        let by_key =
            |job: &Option<Job>| job.as_ref().is_some_and(|job| job.account() == id && job.is_by_key());
        let running = self.books.jobs.iter().find(|(_, job)| by_key(job)).map(|(key, _)| key);
        if let Some(key) = running {
            if let Some(job) = self.books.jobs[key].as_mut() {
                job.void();
            }
            self.tell_of_job(ctx, key, Err(Refused::Gone));
        }
    }

    fn finish_job(&mut self, ctx: &mut Context<'_>, key: usize) {
        let Some(job) = self.books.jobs.try_remove(key).flatten() else { return };
        let id = job.account();
        if let Answer::Room { then, by, .. } = job.into_answer() {
            self.in_room(ctx, id, |turn, account| then(turn, account, Ok(None)));
            self.change_is_over(by);
        }
        if self.books.lines.done(id)
            && let Some(account) = self.directory.present(id)
        {
            account.ledger.change(|entries| entries.book = false);
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
                self.drive(ctx, key, Input::Turn);
            }
            self.go_on_telling(ctx);
            self.look_again(ctx);
        }
        if let Some(key) = self.books.spelling.pop_front() {
            self.drive(ctx, key, Input::Turn);
        }
        self.start_books(ctx);
        !self.books.spelling.is_empty()
    }
}
