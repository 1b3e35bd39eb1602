//! The PEP nodes of an account with their configuration, item ids and subscribers. Pure state.
//!
//! This is the account's index document ([`document`]) as it is in memory. Payloads are in `ITEMS`, except a node's newest
//! payload if it is small. Each change lists the payloads to be written and deleted with it ([`Write`]), so that index and
//! payloads change in one transaction. Promises that its bounds hold.

pub(crate) mod config;
pub(crate) mod document;
pub(crate) mod payloads;

pub(crate) use config::{Access, Config};

use crate::fault::{Fault, fault};
use crate::form::Form;
use chaski_store::Table;
use chaski_xmpp::{ErrorType, StanzaCondition, StanzaError, ns};
use config::{BadForm, SendLast};

/// The index of an account's personal eventing nodes, one document by the account's key.
pub const NODES: Table = Table::new("nodes");
/// What is too large or too rarely needed to be in memory with the account, by the account's key, `/` and more.
pub const ITEMS: Table = Table::new("items");

/// Most nodes of an account. The old OMEMO has one for each device; clients use some tens.
pub(crate) const NODES_MAX: usize = 200;
/// Most items of a node. Bookmarks are one item each.
pub(crate) const ITEMS_MAX: u16 = 256;
/// Most items of an account: each costs memory while the account is resident.
pub(crate) const ACCOUNT_ITEMS_MAX: usize = 2_048;
/// Longest payload. An avatar of 128 KiB in base64.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 180 * 1024;
/// All payloads of an account.
pub(crate) const ACCOUNT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Names, ids and small payloads: what the index document holds.
pub(crate) const INDEX_BYTES_MAX: usize = 192 * 1024;
/// Longest name of a node and longest id of an item.
pub(crate) const NAME_BYTES_MAX: usize = 256;
/// Longest title.
pub(crate) const TITLE_BYTES_MAX: usize = 256;
/// A payload up to this size is kept in the index while it is its node's newest.
pub(crate) const INLINE_BYTES_MAX: usize = 1_024;
/// Most accounts that have subscribed to a node by name.
pub(crate) const SUBSCRIBERS_MAX: usize = 64;

/// The first character of the names of nodes that other rooms keep here. No client can name these nodes: no XML can contain the
/// character.
pub(crate) const HIDDEN: char = '\u{1}';
/// The hidden node that holds an account's vCard, which is shown by the requests of vCard-temp and vCard4.
pub(crate) const VCARD_NODE: &str = "\u{1}vcard";

/// What an account has published. In order of node name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nodes {
    pub(super) list: Vec<Node>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: Box<str>,
    pub(crate) config: Config,
    /// The oldest first. An item that is published again becomes the newest.
    pub(crate) items: Vec<Item>,
    /// The newest item's payload if it is small.
    pub(crate) inline: Option<Box<str>>,
    /// Bare JIDs that have subscribed to the node explicitly, in addition to those that are notified because of their interests.
    pub(crate) subscribers: Vec<Box<str>>,
}

/// One item, without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) id: Box<str>,
    pub(crate) bytes: u32,
    pub(crate) published_unix_ms: u64,
    /// The payload is in `ITEMS`; otherwise it is [`Node::inline`].
    pub(crate) stored: bool,
}

/// A payload to be written or deleted, in one transaction with the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) node: Box<str>,
    pub(crate) item: Box<str>,
    /// `None`: delete it.
    pub(crate) payload: Option<Box<str>>,
}

/// Why a change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No such node.
    NoNode,
    /// No such item.
    NoItem,
    /// There is a node of this name.
    Exists,
    /// The node is configured otherwise than the publisher wants.
    Precondition,
    /// A name or id that is empty or too long.
    Name,
    /// The payload is too long.
    TooBig,
    /// Too many nodes.
    TooManyNodes,
    /// Too many subscribers of this node.
    TooManySubscribers,
    /// The account has reached a bound on all its nodes together.
    Full,
    /// The form can't be applied.
    Form(BadForm),
}

impl From<BadForm> for Refused {
    fn from(bad: BadForm) -> Self {
        Self::Form(bad)
    }
}

/// An item to be published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewItem<'a> {
    pub(crate) id: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) now_unix_ms: u64,
}

impl Nodes {
    /// The nodes that clients can name, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.list.iter().filter(|node| !node.name.starts_with(HIDDEN))
    }

    /// Nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The node of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.find(name).ok().map(|at| &self.list[at])
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.list.binary_search_by(|node| (*node.name).cmp(name))
    }

    fn get_mut(&mut self, name: &str) -> Result<&mut Node, Refused> {
        let at = self.find(name).map_err(|_| Refused::NoNode)?;
        Ok(&mut self.list[at])
    }

    /// Makes a node. `form` configures it.
    pub(crate) fn create(
        &mut self,
        name: &str,
        mut config: Config,
        form: Option<&Form>,
    ) -> Result<(), Refused> {
        let Err(at) = self.find(name) else { return Err(Refused::Exists) };
        check_name(name)?;
        if self.list.len() >= NODES_MAX {
            return Err(Refused::TooManyNodes);
        }
        if let Some(form) = form {
            config.apply(form)?;
        }
        self.list.insert(at, Node::new(name, config));
        self.check_size()
    }

    /// Publishes an item; the node is made if there is none. `options` are preconditions, or the new node's
    /// configuration (XEP-0060 §7.1.5).
    pub(crate) fn publish(
        &mut self,
        name: &str,
        item: NewItem<'_>,
        options: Option<&Form>,
        default: Config,
    ) -> Result<Vec<Write>, Refused> {
        check_name(item.id)?;
        if item.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Refused::TooBig);
        }
        match (self.get(name), options) {
            (None, options) => self.create(name, default, options)?,
            (Some(node), Some(options)) if !node.config.meets(options)? => return Err(Refused::Precondition),
            (Some(_), _) => {}
        }
        let writes = self.get_mut(name)?.publish(item);
        self.check_size()?;
        Ok(writes)
    }

    /// Takes items out; those that are not there are passed over. Refused if none of them is there.
    pub(crate) fn retract(&mut self, name: &str, ids: &[&str]) -> Result<Vec<Write>, Refused> {
        let node = self.get_mut(name)?;
        let writes: Vec<_> = ids.iter().filter_map(|id| node.retract(id)).collect();
        if writes.is_empty() { Err(Refused::NoItem) } else { Ok(writes) }
    }

    /// Takes all items out.
    pub(crate) fn purge(&mut self, name: &str) -> Result<Vec<Write>, Refused> {
        let node = self.get_mut(name)?;
        node.inline = None;
        let name = node.name.clone();
        Ok(std::mem::take(&mut node.items).into_iter().map(|item| forget(&name, item.id)).collect())
    }

    /// Deletes a node with its items.
    pub(crate) fn delete(&mut self, name: &str) -> Result<Vec<Write>, Refused> {
        let writes = self.purge(name)?;
        if let Ok(at) = self.find(name) {
            self.list.remove(at);
        }
        Ok(writes)
    }

    /// Changes a node's configuration.
    pub(crate) fn configure(&mut self, name: &str, form: &Form) -> Result<Vec<Write>, Refused> {
        let node = self.get_mut(name)?;
        node.config.apply(form)?;
        let writes = node.trim();
        self.check_size()?;
        Ok(writes)
    }

    /// Lets a node keep so many items, if the node exists. Refused if no node can.
    pub(crate) fn make_room(&mut self, name: &str, items: usize) -> Result<(), Refused> {
        let items = u16::try_from(items).ok().filter(|items| *items <= ITEMS_MAX).ok_or(Refused::Full)?;
        if let Ok(node) = self.get_mut(name) {
            node.config.items_max = node.config.items_max.max(items);
        }
        Ok(())
    }

    /// A bare JID subscribes to the node explicitly. Returns whether it was not subscribed before.
    pub(crate) fn subscribe(&mut self, name: &str, who: &str) -> Result<bool, Refused> {
        let node = self.get_mut(name)?;
        if node.is_subscribed(who) {
            return Ok(false);
        }
        if node.subscribers.len() >= SUBSCRIBERS_MAX {
            return Err(Refused::TooManySubscribers);
        }
        node.subscribers.push(who.into());
        self.check_size()?;
        Ok(true)
    }

    /// A bare JID unsubscribes from the node. Returns whether it was subscribed.
    pub(crate) fn unsubscribe(&mut self, name: &str, who: &str) -> Result<bool, Refused> {
        let node = self.get_mut(name)?;
        let before = node.subscribers.len();
        node.subscribers.retain(|known| **known != *who);
        Ok(node.subscribers.len() < before)
    }

    /// Whether all nodes together keep the bounds. If not, the caller throws this state away.
    fn check_size(&self) -> Result<(), Refused> {
        let (mut items, mut bytes, mut index) = (0, 0, 0);
        for node in &self.list {
            items += node.items.len();
            bytes += node.items.iter().map(|item| item.bytes as usize).sum::<usize>();
            index += node.index_bytes();
        }
        let fits = items <= ACCOUNT_ITEMS_MAX && bytes <= ACCOUNT_BYTES_MAX && index <= INDEX_BYTES_MAX;
        fits.then_some(()).ok_or(Refused::Full)
    }
}

impl Node {
    pub(super) fn new(name: &str, config: Config) -> Self {
        Self { name: name.into(), config, items: Vec::new(), inline: None, subscribers: Vec::new() }
    }

    /// Its newest item.
    pub(crate) fn last(&self) -> Option<&Item> {
        self.items.last()
    }

    /// The item of this id.
    pub(crate) fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| self.names(item, id))
    }

    /// Whether this is the item's id. The id of an avatar is a hash, which some clients write in upper case.
    pub(crate) fn names(&self, item: &Item, id: &str) -> bool {
        *item.id == *id || (*self.name == *ns::AVATAR_DATA && item.id.eq_ignore_ascii_case(id))
    }

    /// Whether this bare JID has subscribed by name.
    pub(crate) fn is_subscribed(&self, who: &str) -> bool {
        self.subscribers.iter().any(|known| **known == *who)
    }

    fn index_bytes(&self) -> usize {
        let ids: usize = self.items.iter().map(|item| item.id.len() + 24).sum();
        let subscribers: usize = self.subscribers.iter().map(|jid| jid.len()).sum();
        let texts = [self.inline.as_deref(), self.config.title.as_deref()];
        let texts: usize = texts.iter().flatten().map(|text| text.len()).sum();
        self.name.len() + ids + subscribers + texts
    }

    fn publish(&mut self, new: NewItem<'_>) -> Vec<Write> {
        let mut writes = Vec::new();
        if !self.config.persist {
            return writes;
        }
        let replaced = self.items.iter().position(|item| self.names(item, new.id));
        let replaced = replaced.map(|at| self.items.remove(at));
        let was_last_inline = self.inline.take();
        let inline = new.payload.len() <= INLINE_BYTES_MAX;
        // The old payload would otherwise stay in `ITEMS`.
        let left_behind = |old: &Item| old.stored && (inline || *old.id != *new.id);
        writes.extend(replaced.filter(left_behind).map(|old| forget(&self.name, old.id)));
        if inline {
            self.inline = Some(new.payload.into());
        } else {
            writes.push(Write {
                node: self.name.clone(),
                item: new.id.into(),
                payload: Some(new.payload.into()),
            });
        }
        // The payload that was the newest until now moves from the index to `ITEMS`, if its item stays.
        if let (Some(payload), Some(last)) =
            (was_last_inline, self.items.last_mut().filter(|last| !last.stored))
        {
            last.stored = true;
            writes.push(Write { node: self.name.clone(), item: last.id.clone(), payload: Some(payload) });
        }
        self.items.push(Item {
            id: new.id.into(),
            bytes: new.payload.len() as u32,
            published_unix_ms: new.now_unix_ms,
            stored: !inline,
        });
        let dropped = self.trim();
        // A payload that would be written and deleted by the same change need not be written.
        writes.retain(|write| !dropped.iter().any(|other| other.item == write.item));
        writes.extend(dropped);
        writes
    }

    fn retract(&mut self, id: &str) -> Option<Write> {
        let at = self.items.iter().position(|item| self.names(item, id))?;
        if at + 1 == self.items.len() {
            self.inline = None;
        }
        Some(forget(&self.name, self.items.remove(at).id))
    }

    /// Drops the oldest items beyond the node's bound; all of them if the node no longer keeps items.
    fn trim(&mut self) -> Vec<Write> {
        let keep = if self.config.persist { usize::from(self.config.items_max) } else { 0 };
        let surplus = self.items.len().saturating_sub(keep);
        if surplus > 0 && keep == 0 {
            self.inline = None;
        }
        let name = self.name.clone();
        self.items.drain(..surplus).map(|item| forget(&name, item.id)).collect()
    }
}

fn forget(node: &str, item: Box<str>) -> Write {
    Write { node: node.into(), item, payload: None }
}

fn check_name(name: &str) -> Result<(), Refused> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX { Err(Refused::Name) } else { Ok(()) }
}

impl Nodes {
    /// The nodes that other accounts may be shown at all: without those that the owner keeps private, such as bookmarks.
    pub(crate) fn shown(&self) -> Self {
        let shown = self.list.iter().filter(|node| is_shown(node));
        Self { list: shown.map(|node| Node { subscribers: Vec::new(), ..node.clone() }).collect() }
    }

    /// The keys of everything that the account's nodes have in `ITEMS`.
    pub(crate) fn item_keys(&self, record_key: &str) -> Vec<String> {
        let mut keys = Vec::new();
        for node in &self.list {
            let stored = node.items.iter().filter(|item| item.stored);
            keys.extend(stored.map(|item| document::item_key(record_key, &node.name, &item.id)));
        }
        keys
    }
}

/// Nodes that are private unless configured otherwise: clients that know no publish-options put secrets there.
const PRIVATE: &[&str] = &[ns::BOOKMARKS, "storage:bookmarks", "storage:rosternotes"];

/// The configuration of a new node whose publisher has sent none.
pub(crate) fn default_config(node: &str) -> Config {
    let access = if PRIVATE.contains(&node) { Access::Whitelist } else { Access::Presence };
    match node {
        // XEP-0402 §3: one item for each bookmark, and none sent without being asked for.
        ns::BOOKMARKS => {
            Config { access, items_max: ITEMS_MAX, send_last: SendLast::Never, ..Config::default() }
        }
        _ => Config { access, ..Config::default() },
    }
}

/// Whether other accounts are shown anything of a node. A vCard is, by requests of its own, though no client can name its node.
fn is_shown(node: &Node) -> bool {
    let is_private = node.config.access == Access::Whitelist || PRIVATE.contains(&&*node.name);
    !is_private || *node.name == *VCARD_NODE
}

/// How a refusal reads on the wire (XEP-0060 §§6-8).
impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        use StanzaCondition as C;
        match refused {
            Refused::NoNode | Refused::NoItem => StanzaError::new(C::ItemNotFound),
            Refused::Exists => StanzaError::new(C::Conflict),
            Refused::Precondition => fault(C::Conflict, "precondition-not-met"),
            Refused::Name => {
                fault(C::NotAcceptable, "invalid-payload").with_text("a name is empty or too long")
            }
            Refused::TooBig => fault(C::NotAcceptable, "payload-too-big"),
            Refused::TooManyNodes => fault(C::PolicyViolation, "max-nodes-exceeded"),
            Refused::TooManySubscribers => fault(C::PolicyViolation, "too-many-subscriptions"),
            Refused::Full => StanzaError::new(C::ResourceConstraint)
                .with_type(ErrorType::Cancel)
                .with_text("the account has published as much as it may"),
            Refused::Form(BadForm::Access) => fault(C::NotAcceptable, "unsupported-access-model"),
            Refused::Form(BadForm::Value) => StanzaError::new(C::NotAcceptable),
        }
    }
}

#[cfg(test)]
mod tests;
