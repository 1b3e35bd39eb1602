//! Quicksy's form of contact sync: `<phone-book xmlns='im.quicksy.synchronization:0'/>`, sent to the domain.
//!
//! ```xml
//! <iq type='get' to='domain' id='1'><phone-book xmlns='im.quicksy.synchronization:0' ver='…'>
//!   <entry number='+4915123456789'/></phone-book></iq>
//! <iq type='result' from='domain' id='1'><phone-book xmlns='im.quicksy.synchronization:0' ver='…'>
//!   <entry number='+4915123456789'><jid>+4915123456789@domain</jid></entry></phone-book></iq>
//! ```
//! The request holds the whole phone book. The result holds the numbers that have accounts, each as it was written; it is empty
//! if the client has that result already, by `ver` ([`super::version`]). A text that is no number is ignored. The size of a
//! stanza bounds a phone book at some 6,000 numbers; larger ones are sent over HTTPS.

use super::version::version;
use crate::account::Account;
use crate::effects::iq::{Door, Reply, Request};
use crate::effects::turn::Turn;
use crate::effects::turn::contact_sync::{Answer, Refused, SyncRequest, SyncWork, Synced};
use crate::effects::turn::outbox::Post;
use crate::wire::SessionId;
use chaski_xmpp::write::StanzaError;
use chaski_xmpp::xml;
use chaski_xmpp::{StanzaCondition, ns};

/// Requests go to the domain.
pub(crate) const DOORS: &[Door] =
    &[Door { ns: ns::QUICKSY_SYNC, owner: None, other: None, domain: Some(asked) }];

/// The request that waits for its answer.
pub(crate) struct Asked {
    reply: Reply,
    version: Option<Box<str>>,
}

/// A session has sent its phone's book.
fn asked(turn: &mut Turn<'_>, account: &mut Account, _: SessionId, request: &Request<'_>, reply: Reply) {
    if !request.gets("phone-book", ns::QUICKSY_SYNC) {
        return reply.error(turn.outbox, StanzaCondition::BadRequest);
    }
    let entries = request.child.children().filter(|child| child.is("entry", ns::QUICKSY_SYNC));
    let numbers = entries.filter_map(|entry| Some(entry.attr("number")?.as_ref().into())).collect();
    let version = request.child.attr("ver").map(|version| version.as_ref().into());
    let asked = Asked { reply, version };
    let answer = Answer::room(move |turn, _, result| asked.answer(turn, result));
    let wish = SyncRequest { account: account.id, want: SyncWork::Spelled(numbers), answer };
    turn.outbox.posts.push(Post::ContactSync(Box::new(wish)));
}

impl Asked {
    /// Sends the session the result or an error.
    pub(crate) fn answer(self, turn: &mut Turn<'_>, result: Result<Option<&Synced>, Refused>) {
        match result {
            Ok(synced) => {
                let empty = Synced::default();
                let synced = synced.unwrap_or(&empty);
                let payload = self.payload(synced, &turn.realm.domain);
                self.reply.result(turn.outbox, &payload);
            }
            Err(refused) => {
                let text = refused.text();
                self.reply.error(turn.outbox, StanzaError::new(refused.condition()).with_text(&text));
            }
        }
    }

    fn payload(&self, synced: &Synced, domain: &str) -> Vec<u8> {
        let entries: Vec<(String, String)> = synced
            .matches
            .iter()
            .map(|found| {
                let e164 = format!("+{}", found.number);
                let jid = format!("{e164}@{domain}");
                (synced.spelled.get(&found.number).map_or(e164, ToString::to_string), jid)
            })
            .collect();
        let current = version(entries.iter().map(|(number, jid)| (number.as_str(), jid.as_str())));
        if self.version.as_deref() == Some(&*current) {
            return Vec::new();
        }
        xml(|writer| {
            writer.open_ns("phone-book", ns::QUICKSY_SYNC).attr("ver", &current);
            for (number, jid) in &entries {
                writer.open("entry").attr("number", number);
                writer.leaf("jid", jid);
                writer.close();
            }
        })
    }
}
