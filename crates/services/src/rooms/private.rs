//! Private XML storage (XEP-0049): elements that an account's clients store for themselves, by name and namespace.
//!
//! Owns a hidden PEP node of the account ([`crate::rooms::pep`]), whose bounds, storing and removal are those of PEP nodes.
//! Called by [`crate::owner::dispatch`] for the account's own sessions only. Promises: nothing is dropped to make room, and no
//! other account learns whether anything is stored.

mod bookmarks;

use crate::account::Account;
use crate::account::nodes::document::read_payload;
use crate::account::nodes::payloads;
use crate::account::nodes::payloads::{Payload, Selection};
use crate::account::nodes::{Access, Config, NewItem, Nodes};
use crate::changes::nodes as nodes_change;
use crate::changes::nodes::Outcome;
use crate::effects::iq::{Door, Reply, Request, Scope, Xep};
use crate::effects::turn::Turn;
use crate::effects::turn::errand::Errand;
use crate::fault;
use crate::fault::Fault;
use crate::wire::SessionId;
use bookmarks::{Bookmarks, Wanted};
use chaski_xmpp::xml;
use chaski_xmpp::{ElementRef, ErrorType, StanzaCondition, StanzaError, ns};

/// Requests that this room answers.
pub(crate) const DOORS: &[Door] = &[Door { ns: ns::PRIVATE, owner: Some(asked), other: None, domain: None }];

/// What this room implements.
pub const SPEC: &[Xep] = &[
    Xep::new(48, "1.2", "Bookmarks", &[]),
    Xep::new(49, "1.2", "Private XML Storage", &[(Scope::Account, ns::PRIVATE)]),
    Xep::new(402, "1.2.0", "PEP Native Bookmarks", &[(Scope::Account, "urn:xmpp:bookmarks:1#compat")]),
    Xep::new(492, "0.2.0", "Chat notification settings", &[])
        .lacking("pushes that would heed them: they are kept with the bookmarks, for clients"),
];

const NODE: &str = "\u{1}private";
/// The hidden node for the rest of XEP-0048's bookmarks, which are not of group chats.
const REST: &str = "\u{1}bookmarks";
/// Longest rest: together with the bookmarks of group chats it still fits into a stanza.
const REST_BYTES_MAX: usize = 16 * 1024;
/// Most elements of an account.
const ELEMENTS_MAX: u16 = 64;
/// Most elements of one request.
const ASKED_MAX: usize = 16;

/// An element that is requested or to be stored.
struct Element {
    /// The id of the item in which it is stored.
    id: String,
    xml: Box<str>,
    /// The element holds bookmarks (XEP-0048), which are stored as PEP items.
    is_bookmarks: bool,
}

impl Element {
    fn read(element: &ElementRef<'_>) -> Result<Self, Fault> {
        let ns = element.ns();
        // §2: an element without a namespace of its own can't be told from others.
        if ns.is_empty() || ns == ns::PRIVATE || ns == ns::CLIENT {
            return Err(StanzaCondition::NotAcceptable.into());
        }
        let is_bookmarks = element.is("storage", bookmarks::STORAGE);
        Ok(Self { id: format!("{} {ns}", element.name()), xml: payloads::standalone(element), is_bookmarks })
    }
}

/// A session requests its account's private data, or stores some.
fn asked(
    turn: &mut Turn<'_>,
    _account: &mut Account,
    _session: SessionId,
    request: &Request<'_>,
    reply: Reply,
) {
    let elements: Result<Vec<_>, Fault> =
        request.child.children().take(ASKED_MAX + 1).map(|child| Element::read(&child)).collect();
    match elements {
        Ok(elements) if elements.is_empty() => reply.error(turn.outbox, StanzaCondition::BadRequest),
        Ok(elements) if elements.len() > ASKED_MAX => {
            reply.error(turn.outbox, StanzaCondition::NotAcceptable)
        }
        Ok(elements) if elements.iter().any(|element| element.is_bookmarks) => match &elements[..] {
            [_] => asked_bookmarks(turn, request, reply),
            _ => reply.error(turn.outbox, StanzaCondition::NotAcceptable),
        },
        Ok(elements) if request.is_get => nodes_change::in_line(turn, reply, move |turn, account, reply| {
            show(turn, account, &elements, reply);
        }),
        Ok(elements) => {
            let now_unix_ms = turn.unix_ms;
            nodes_change::change(turn, reply, move |nodes, _| keep(nodes, &elements, now_unix_ms));
        }
        Err(fault) => reply.error(turn.outbox, fault),
    }
}

/// Requests for XEP-0048 bookmarks, which are stored as those of XEP-0402.
fn asked_bookmarks(turn: &mut Turn<'_>, request: &Request<'_>, reply: Reply) {
    let wanted = (!request.is_get).then(|| request.child.children().next()).flatten();
    let wanted = wanted.map(|storage| Wanted::read(&storage));
    let now_unix_ms = turn.unix_ms;
    nodes_change::in_line(turn, reply, move |turn, account, reply| {
        let rooms = selection(account, ns::BOOKMARKS);
        let rest = selection(account, REST);
        let mut keys = rooms.keys.clone();
        keys.extend(rest.keys.iter().cloned());
        let kept = move |read: &[Option<String>]| {
            let (read_rooms, read_rest) = read.split_at(rooms.keys.len().min(read.len()));
            let rooms = rooms.with(read_rooms).into_iter().map(|(jid, payload)| (jid.into(), payload));
            let rest = rest.with(read_rest).into_iter().next().map(|(_, rest)| rest);
            (Bookmarks::from_iter(rooms), rest.unwrap_or_default())
        };
        nodes_change::change_reading(turn, reply, keys, move |nodes, _, read| {
            let (kept, rest) = kept(read);
            let Some(wanted) = wanted else {
                let storage = bookmarks::storage(&kept, &rest);
                let payload = xml(|writer| {
                    writer.open_ns("query", ns::PRIVATE).raw(storage.as_bytes());
                });
                return Ok(Outcome { payload, ..Outcome::default() });
            };
            if wanted.rest.len() > REST_BYTES_MAX {
                return Err(StanzaCondition::NotAcceptable.into());
            }
            let mut outcome = wanted.put(nodes, &kept, now_unix_ms)?;
            if *wanted.rest != *rest {
                let item = NewItem { id: "rest", payload: &wanted.rest, now_unix_ms };
                outcome.writes.extend(nodes.publish(REST, item, None, secret(1))?);
            }
            Ok(Outcome { payload: Vec::new(), ..outcome })
        });
    });
}

/// The items of one node.
fn selection(account: &Account, node: &str) -> Selection {
    let node = account.nodes.as_deref().and_then(|nodes| nodes.get(node));
    node.map(|node| Selection::new(account.id, node, node.items.iter())).unwrap_or_default()
}

fn secret(items_max: u16) -> Config {
    Config { access: Access::Whitelist, items_max, ..Config::default() }
}

fn keep(nodes: &mut Nodes, elements: &[Element], now_unix_ms: u64) -> Result<Outcome, Fault> {
    let mut outcome = Outcome::default();
    for Element { id, xml, .. } in elements {
        let kept = nodes.get(NODE);
        let is_new = kept.is_none_or(|node| node.item(id).is_none());
        if is_new && kept.is_some_and(|node| node.items.len() >= usize::from(ELEMENTS_MAX)) {
            return Err(StanzaError::new(StanzaCondition::ResourceConstraint).with_type(ErrorType::Cancel));
        }
        let item = NewItem { id, payload: xml, now_unix_ms };
        outcome.writes.extend(nodes.publish(NODE, item, None, secret(ELEMENTS_MAX))?);
    }
    Ok(outcome)
}

/// Answers with what is stored; an element that is not stored is returned as it was requested (§2.2: an empty element).
fn show(turn: &mut Turn<'_>, account: &Account, elements: &[Element], reply: Reply) {
    let node = account.nodes.as_deref().and_then(|nodes| nodes.get(NODE));
    let found = elements.iter().filter_map(|element| node?.item(&element.id));
    if found.map(|item| item.bytes as usize).sum::<usize>() > payloads::ANSWER_BYTES_MAX {
        let fewer = StanzaError::new(StanzaCondition::NotAcceptable).with_text("too much for one answer");
        return reply.error(turn.outbox, fewer);
    }
    let mut keys = Vec::new();
    let mut parts: Vec<(Box<str>, Option<usize>)> = Vec::new();
    for element in elements {
        let found = node.and_then(|node| Some(payloads::payload(account.id, node, node.item(&element.id)?)));
        match found {
            Some(Payload::Here(xml)) => parts.push((xml, None)),
            Some(Payload::Stored(key)) => {
                keys.push(key);
                parts.push((element.xml.clone(), Some(keys.len() - 1)));
            }
            None => parts.push((element.xml.clone(), None)),
        }
    }
    turn.outbox.errand(Errand::read(keys, move |turn, _, found| {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                reply.error(turn.outbox, fault::not_kept(&error));
                return None;
            }
        };
        let payload = xml(|writer| {
            writer.open_ns("query", ns::PRIVATE);
            for (xml, place) in &parts {
                let read = place.and_then(|at| read_payload(&found.get(at)?.as_ref()?.value));
                writer.raw(read.as_deref().unwrap_or(xml).as_bytes());
            }
        });
        reply.result(turn.outbox, &payload);
        None
    }));
}
