//! Who may see a node: its access model, and what the owner shows of itself.
//!
//! The one place where another account's view of a node is decided, for retrieval, discovery and notification alike.

use super::config::{Access, Config, SendLast};
use super::state::{ITEMS_MAX, Node};
use crate::blocking::blocks_contact;
use crate::directory::Account;
use crate::iq::Asker;
use crate::privacy::{What, shows};
use crate::roster::Contact;
use chaski_xmpp::ns;

/// Nodes that are private unless configured otherwise: clients that know no publish-options put secrets there.
const PRIVATE: &[&str] = &[ns::BOOKMARKS, "storage:bookmarks", "storage:rosternotes"];

/// What a new node is like if its publisher does not say.
pub(crate) fn default_config(node: &str) -> Config {
    let access = if PRIVATE.contains(&node) { Access::Whitelist } else { Access::Presence };
    match node {
        // XEP-0402 §3: one item for each room, and none sent unasked.
        ns::BOOKMARKS => {
            Config { access, items_max: ITEMS_MAX, send_last: SendLast::Never, ..Config::default() }
        }
        _ => Config { access, ..Config::default() },
    }
}

/// Whether others are shown anything of a node. A vCard is, by its own requests, though its node has a name that nobody knows.
pub(super) fn is_shown(node: &Node) -> bool {
    let is_private = node.config.access == Access::Whitelist || PRIVATE.contains(&&*node.name);
    !is_private || *node.name == *crate::profile::VCARD_NODE
}

/// Errands of an account beyond which strangers' reads are refused, so that the owner's own find room.
const WAITING_MAX: usize = 16;

/// Whether so much waits for the account that others have to come again.
pub(crate) fn is_busy(account: &Account) -> bool {
    account.errands_waiting() >= WAITING_MAX
}

/// Another account, as the owner of the nodes sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer<'a> {
    pub(crate) contact: &'a Contact,
    /// It has a subscription to the owner's presence.
    pub(crate) subscribed: bool,
}

impl<'a> Viewer<'a> {
    /// As it stands on the owner's roster.
    pub(crate) fn of(account: &Account, contact: &'a Contact) -> Self {
        Self { contact, subscribed: account.roster.state(contact).from() }
    }

    /// Who asks.
    pub(crate) fn asking(asker: &'a Asker) -> Self {
        Self { contact: &asker.contact, subscribed: asker.subscribed }
    }
}

/// Whether the viewer may see this node.
pub(crate) fn may_see(account: &Account, viewer: Viewer<'_>, node: &str, config: &Config) -> bool {
    let opened = match config.access {
        Access::Open => true,
        Access::Presence => viewer.subscribed,
        Access::Whitelist => false,
    };
    opened
        && !blocks_contact(account, viewer.contact)
        && match node {
            ns::AVATAR_DATA | ns::AVATAR_METADATA => shows_photo(account, viewer),
            ns::NICK | ns::VCARD4 => shows_text(account, viewer),
            _ => true,
        }
}

/// Whether the owner shows its picture to the viewer.
pub(crate) fn shows_photo(account: &Account, viewer: Viewer<'_>) -> bool {
    shows(account, What::Photo, viewer.contact)
}

/// Whether the owner shows what it says of itself.
pub(crate) fn shows_text(account: &Account, viewer: Viewer<'_>) -> bool {
    shows(account, What::Status, viewer.contact)
}
