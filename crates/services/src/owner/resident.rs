//! Work for an account: done at once if the account is in memory, else parked until its records are loaded.

use crate::account::nodes::Nodes;
use crate::account::record::AccountRecord;
use crate::account::roster::Roster;
use crate::account::settings::{AccountKind, Settings};
use crate::account::{Account, Records};
use crate::budget;
use crate::effects::login::Denied;
use crate::effects::turn::command::Refusal;
use crate::owner::context::Context;
use crate::owner::directory::Resident;
use crate::owner::directory::{Found, TABLES, Work};
use crate::owner::router::Refuse;
use crate::owner::state::Owner;
use crate::rooms::contact_sync::BookMetrics;
use crate::ticket::{Purpose, Stay};
use chaski_store::books::Match;
use chaski_store::{AccountId, StoreError, Versioned};

impl Owner {
    /// Does work for an account: now if the account is in memory, else when its records are loaded. Keeps the order of what one
    /// sender sends.
    pub(crate) fn with_account(&mut self, ctx: &mut Context<'_>, id: AccountId, work: Work) {
        if let Work::RoutedStanza(routed) = &work
            && routed.by != id
            // A stanza that has waited for this load goes before what waits in its sender's line for the same account.
            && !routed.has_waited
            && self.directory.is_behind(routed.by)
        {
            self.desk.spend(budget::READ);
            let found = self.directory.wait(work.asker(id), id, work);
            return self.found(ctx, id, found);
        }
        self.do_or_load(ctx, id, work);
    }

    /// Does work or begins the load for it. Called for work that need not wait, or has waited, in its asker's line.
    fn do_or_load(&mut self, ctx: &mut Context<'_>, id: AccountId, work: Work) {
        if let Work::RoutedStanza(routed) = &work
            && self.directory.is_absent(id)
            && routed.is_for_sessions_only()
        {
            // Most contacts have no session at any time: a presence for them must not cause a read of their records.
            return;
        }
        if let Work::PepNotification(pep_notification) = &work
            && self.directory.is_absent(id)
            && !Self::is_worth_loading(ctx, pep_notification)
        {
            return;
        }
        let found = self.directory.find(id, work);
        self.found(ctx, id, found);
    }

    fn found(&mut self, ctx: &mut Context<'_>, id: AccountId, found: Found) {
        match found {
            Found::Present(work) => self.perform(ctx, work),
            Found::Parked => {}
            Found::Load(load) => {
                self.desk.spend(budget::READ);
                ctx.store.load(id, TABLES, Purpose::Load(id, load).ticket());
            }
            Found::Nobody(work) => {
                self.desk.metrics.loads_spared_total.inc();
                self.perform_for_nobody(ctx, work);
            }
            Found::Overloaded(work) => self.overloaded(ctx, work),
        }
    }

    /// A look-up has ended: goes on with work that waited because its asker had too many look-ups under way.
    pub(crate) fn let_waiting_on(&mut self, ctx: &mut Context<'_>) {
        while let Some((id, work)) = self.directory.next_waiting() {
            self.do_or_load(ctx, id, work);
        }
    }

    /// Refuses work because too much is parked.
    pub(crate) fn overloaded(&mut self, ctx: &mut Context<'_>, work: Work) {
        self.desk.metrics.loads_refused_total.inc();
        self.turn_away(ctx, work, Refuse::Busy);
    }

    fn perform(&mut self, ctx: &mut Context<'_>, work: Work) {
        match work {
            Work::RoutedStanza(routed) => self.receive(ctx, routed),
            Work::Login(question) => self.login_now(ctx, question),
            Work::PepNotification(pep_notification) => self.tell(ctx, &pep_notification),
            Work::Command(command) => self.command_now(ctx, *command),
        }
    }

    /// The store has answered a load of an account's records.
    pub(crate) fn loaded(
        &mut self,
        ctx: &mut Context<'_>,
        (id, load): (AccountId, Stay),
        result: Result<Vec<Option<Versioned>>, StoreError>,
        book: &[Match],
    ) {
        if !self.directory.is_awaited(id, load) {
            // This load was begun for an account that has been removed; another load or the making of the account is under way.
            return;
        }
        let account = result
            .map_err(|error| error.to_string())
            .and_then(|records| self.read_account(id, records, book));
        match account {
            Ok(Some(account)) => {
                self.desk.trace(ctx, id, || "comes into memory".to_owned());
                let is_unseen = account.record.seen_unix_ms() == 0;
                let parked = self.directory.loaded(id, Some(account));
                if is_unseen {
                    // The record comes from elsewhere (an import): the account counts as silent from now on at the earliest.
                    self.note_activity(ctx, id);
                }
                for mut work in parked {
                    if let Work::RoutedStanza(routed) = &mut work {
                        routed.has_waited = true;
                    }
                    // A command among the parked work may have dropped the account from memory again; then the rest is parked
                    // anew.
                    self.with_account(ctx, id, work);
                }
            }
            Ok(None) => self.nobody(ctx, id),
            Err(error) => {
                tracing::error!(account = ?id, %error, "an account could not be loaded");
                for work in self.directory.loaded(id, None) {
                    self.turn_away(ctx, work, Refuse::StoreFails);
                }
            }
        }
        self.let_waiting_on(ctx);
    }

    fn read_account(
        &self,
        id: AccountId,
        records: Vec<Option<Versioned>>,
        book: &[Match],
    ) -> Result<Option<Box<Resident>>, String> {
        let mut records = records.into_iter();
        let mut next = || records.next().flatten();
        let (record, roster, settings, nodes) = (next(), next(), next(), next());
        let Some(found) = record else { return Ok(None) };
        let record = AccountRecord::from_json(&found.value).map_err(|error| error.to_string())?;
        if record.name.account() != id {
            return Err("the record is another account's".into());
        }
        let mut roster = match roster {
            None => Roster::default(),
            Some(roster) => Roster::from_document(&roster.value).map_err(|error| error.to_string())?,
        };
        let unlisted = roster.follow_all(book, self.desk.realm.knobs.of());
        self.desk.room_metrics.of::<BookMetrics>().unlisted_total.add(unlisted as u64);
        let settings =
            settings.map(|found| Settings::from_document(&found.value, AccountKind::of(id))).transpose();
        let settings = settings.map_err(|error| error.to_string())?.map(Box::new);
        let nodes = nodes.map(|found| Nodes::from_document(&found.value)).transpose();
        let nodes = nodes.map_err(|error| error.to_string())?.map(Box::new);
        let records = Records { record, roster, settings, nodes };
        Ok(Some(Box::new(Resident::new(Account::new(&self.desk.realm.domain, records)))))
    }

    /// The store has no such account: does the parked work as for nobody.
    fn nobody(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        let mut parked = self.directory.loaded(id, None);
        while let Some(work) = parked.pop_front() {
            self.perform_for_nobody(ctx, work);
            // A command may have begun to make the account: work parked after that command waits for that.
            if self.directory.is_loading(id) {
                return self.directory.park_all(id, parked);
            }
        }
    }

    fn perform_for_nobody(&mut self, ctx: &mut Context<'_>, work: Work) {
        match work {
            Work::RoutedStanza(routed) => self.receive_for_nobody(routed),
            Work::Login(question) => self.tell_verdict(ctx, question.reply_to, Err(Denied::NotAuthorized)),
            Work::PepNotification(_) => {}
            Work::Command(command) => self.command_for_nobody(ctx, *command),
        }
    }

    /// Refuses work that can't be done and can't wait.
    fn turn_away(&mut self, ctx: &mut Context<'_>, work: Work, why: Refuse) {
        match work {
            Work::RoutedStanza(routed) => self.refuse(routed, why),
            Work::Login(question) => self.tell_verdict(ctx, question.reply_to, Err(Denied::Unavailable)),
            Work::PepNotification(_) => self.desk.metrics.pep_notifications_dropped_total.inc(),
            Work::Command(command) => self.refuse_command(ctx, *command, Refusal::Overloaded),
        }
    }
}
