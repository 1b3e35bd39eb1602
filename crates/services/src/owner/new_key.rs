//! The shards' part when a number is registered again: contacts are told of the new key, and whatever the old key began is
//! stopped.
//!
//! Requested by [`crate::rooms::accounts::registration`], which decides what becomes of the account. Promises: an account is
//! taken away only if nobody has used it since that was decided. A new key is told to those contacts of the number that have the
//! number as a contact, unless one has blocked the other. Contacts by phone book are taken from the phone books in the store;
//! rosters follow these a moment later, or within a minute, and a full roster does not have all of them.

use crate::account::Account;
use crate::account::blocked;
use crate::account::roster::Contact;
use crate::effects::turn::command::{Command, Contacts, NewKey, Refusal, RemoveSilent, Reply};
use crate::effects::turn::contact_sync::{Refused, Synced};
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use crate::owner::mailbox;
use crate::owner::mailbox::By;
use crate::owner::state::Owner;
use crate::ticket::Purpose;
use chaski_store::books::Match;
use chaski_store::{AccountId, MessageId, StoreError};
use chaski_xmpp::write::Header;
use chaski_xmpp::xml;
use chaski_xmpp::{Kind, Stored, datetime, ns, write};

/// Notices of new keys that wait for the store at the same time, per shard.
const NOTICES_MAX: usize = 4_096;

impl Owner {
    /// Removes an account if the generation of its key and the time when it was last seen are still those for which that was
    /// decided.
    pub(crate) fn remove_silent(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        request: RemoveSilent,
        reply: Reply<()>,
    ) {
        let RemoveSilent { generation, seen_unix_ms } = request;
        let Some(account) = self.directory.present(id) else {
            return self.reply(ctx, reply, Err(Refusal::NoSuchAccount));
        };
        if account.ledger.is_busy() {
            return self.defer(ctx, Command::new(id, request, reply));
        }
        let is_as_it_was = account.sessions.is_empty()
            && account.record.generation() == generation
            && account.record.seen_unix_ms() == seen_unix_ms;
        if !is_as_it_was {
            return self.reply(ctx, reply, Err(Refusal::Conflict));
        }
        self.remove_account(ctx, id, request, reply);
    }

    /// The account's phone book has been read, or could not be: returns the contacts that have the account as a contact in turn
    /// and are not blocked.
    pub(crate) fn contacts_known(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        reply: Reply<Contacts>,
        book: Result<&Synced, Refused>,
    ) {
        let outcome = match (book, self.directory.present(id)) {
            (Ok(synced), Some(account)) => Ok(contacts(account, &synced.matches, &self.desk.realm.domain)),
            (Ok(_), None) => Err(Refusal::NoSuchAccount),
            (Err(refused), _) => Err(refused.into()),
        };
        self.reply(ctx, reply, outcome);
    }

    /// Puts the notice of a contact's new key into the account's mailbox.
    pub(crate) fn tell_of_key(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        key: NewKey,
        reply: Reply<()>,
    ) {
        let Some(account) = self.directory.present(id) else {
            return self.reply(ctx, reply, Err(Refusal::NoSuchAccount));
        };
        let contact = Contact::Phone(key.number);
        let is_contact = key.is_by_books || account.roster.state(&contact).to();
        if !is_contact || blocked::blocks_contact(account, &contact) {
            return self.reply(ctx, reply, Ok(()));
        }
        if self.notices.len() >= NOTICES_MAX {
            return self.reply(ctx, reply, Err(Refusal::Overloaded));
        }
        let mut random = [0; 16];
        ctx.rng.fill_bytes(&mut random);
        let message = MessageId(u128::from_le_bytes(random));
        let stanza = notice(&mut self.desk, account, &contact, key, message);
        let waiting = self.notices.insert(reply);
        let ticket = Purpose::Notice(waiting).ticket();
        // The notice is the server's own, for which there is no share of the mailbox: it counts as the account's own message.
        let message = (message, By { account: id, is_heavy: false, sent_unix_ms: 0 }, stanza);
        if let Err(error) = mailbox::append(&mut self.desk, ctx, account, None, message, ticket) {
            self.noticed(ctx, waiting, Err(error));
        }
    }

    /// A notice is durable, or could not be stored.
    pub(crate) fn noticed(&mut self, ctx: &mut Context<'_>, key: usize, result: Result<(), StoreError>) {
        let Some(reply) = self.notices.try_remove(key) else { return };
        let outcome = result.map_err(|error| Refusal::Unavailable(error.to_string()));
        self.reply(ctx, reply, outcome);
    }
}

/// The contacts by the phone books of both (`matches`, ascending) or by subscriptions both ways, that are not blocked.
fn contacts(account: &Account, matches: &[Match], domain: &str) -> Contacts {
    let is_by_books = |contact: &Contact| match contact {
        Contact::Phone(number) => {
            matches.binary_search_by_key(number, |found| found.number).is_ok_and(|at| matches[at].mutual)
        }
        Contact::Other(_) => false,
    };
    let mutual = matches.iter().filter(|found| found.mutual).map(|found| Contact::Phone(found.number));
    let by_books = mutual.filter(|contact| !blocked::blocks_contact(account, contact));
    let by_subscription = account.roster.items().iter().filter(|item| {
        let (state, contact) = (item.state(), item.contact());
        let is_both = state.subscribed_to() && state.subscribed_from();
        is_both && !is_by_books(contact) && !blocked::blocks_contact(account, contact)
    });
    Contacts {
        by_books: by_books.filter_map(|contact| contact.account(domain)).collect(),
        by_subscription: by_subscription.filter_map(|item| item.contact().account(domain)).collect(),
    }
}

/// The notice `<message><key-changed/></message>` from the contact's bare JID, which no client can have as its `from`.
fn notice(desk: &mut Desk, account: &Account, contact: &Contact, key: NewKey, message: MessageId) -> Stored {
    let from = contact.jid(&desk.realm.domain);
    // Seconds are enough.
    let stamp = datetime::format(key.unix_ms / 1_000 * 1_000);
    let payload = xml(|writer| {
        writer.open_ns("key-changed", ns::REGISTRATION).attr("stamp", &stamp);
        writer.attr_opt("account", key.is_new.then_some("new"));
    });
    let id = format!("key-{:016x}", message.0 as u64);
    let header = Header { from: Some(&from), id: Some(&id), ..Header::default() };
    let body = desk.compose(|out| write::stanza(out, Kind::Message, &header, &payload));
    body.addressed(&account.bare, Some((&account.bare, message.0)), &mut desk.scratch)
}
