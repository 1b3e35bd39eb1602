//! Profiles: the avatar and the vCard of an account, by all the XEPs with which clients publish and read them.
//!
//! Owns no state of its own: the avatar's bytes are stored once, in XEP-0084's data node ([`avatar`]); the vCard without its
//! picture in a hidden node ([`vcard`]). Everything else is derived: a vCard's `PHOTO`, the hash in presence (XEP-0153), and, the
//! other way round, the avatar's nodes from a vCard that a client sets (XEP-0398). Called by [`crate::owner::dispatch`].
//! Promises: what is handed on as an avatar is base64 of the announced hash, within bounds, and no markup; other accounts see it
//! as the owner's privacy settings allow.

mod avatar;
mod vcard;

use crate::effects::iq::{Door, Scope, Xep};
use chaski_xmpp::ns;

/// Requests that this room answers.
pub(crate) const DOORS: &[Door] = &[Door {
    ns: ns::VCARD,
    owner: Some(vcard::asked_by_owner),
    other: Some(vcard::asked_by_other),
    domain: None,
}];

/// What this room implements.
pub const SPEC: &[Xep] = &[
    Xep::new(54, "1.3.0", "vcard-temp", &[(Scope::Everywhere, ns::VCARD)]),
    Xep::new(84, "1.1.4", "User Avatar", &[]),
    Xep::new(153, "1.1.1", "vCard-Based Avatars", &[]),
    Xep::new(292, "0.12.0", "vCard4 Over XMPP", &[]),
    Xep::new(
        398,
        "1.0.0",
        "User Avatar to vCard-Based Avatars Conversion",
        &[(Scope::Account, ns::AVATAR_CONVERSION)],
    ),
];
