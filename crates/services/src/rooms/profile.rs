//! Profiles: the avatar and the vCard of an account, in all the ways in which clients speak of them.
//!
//! Owns no state of its own: the avatar's bytes stand once, in XEP-0084's data node ([`avatar`]), the vCard without its
//! picture in a node that no client can name ([`vcard`]). The rest is made from there: a vCard's `PHOTO`, the hash in
//! presence (XEP-0153), and the other way round the nodes from a vCard that is set (XEP-0398). Called by [`crate::effects::iq`], by
//! `pep` with each item of an avatar, and by the presence room. Promises: what is handed on as an avatar is base64 of
//! the announced hash, within bounds, and no markup; others see it as the owner's privacy says.

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
