//! Which other accounts may see a PEP node: by its access model and the owner's privacy settings.
//!
//! The one place where another account's view of a node is decided, for retrieval, discovery and notification alike.

use super::nodes::{Access, Config};
use crate::account::Account;
use crate::account::blocked::blocks_contact;
use crate::account::roster::Contact;
use crate::account::settings::What;
use crate::account::shows::shows;
use chaski_xmpp::ns;

/// Another account, as the owner of the nodes sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer<'a> {
    pub(crate) contact: &'a Contact,
    /// It has a subscription to the owner's presence.
    pub(crate) subscribed: bool,
}

impl<'a> Viewer<'a> {
    /// The viewer with the state that it has in the owner's roster.
    pub(crate) fn of(account: &Account, contact: &'a Contact) -> Self {
        Self { contact, subscribed: account.roster.state(contact).from() }
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

/// Whether the owner shows its photo to the viewer.
pub(crate) fn shows_photo(account: &Account, viewer: Viewer<'_>) -> bool {
    shows(account, What::Photo, viewer.contact)
}

/// Whether the owner shows its status and the rest of its profile to the viewer.
pub(crate) fn shows_text(account: &Account, viewer: Viewer<'_>) -> bool {
    shows(account, What::Status, viewer.contact)
}
