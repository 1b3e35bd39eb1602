//! The avatar that an account shows (XEP-0084 §4): its items are checked when they are published, and one of the published
//! versions is shown.
//!
//! Pure. The picture's bytes are stored once, in the data node; the photos in vCards and the hashes in presence are derived from
//! it.

mod image;

use super::Account;
use super::nodes::Nodes;
use crate::fault::{Fault, fault};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaski_xmpp::{ElementRef, Stanza, StanzaCondition, ns};
use image::Image;
use sha1::{Digest, Sha1};
use std::fmt::Write as _;

/// Most versions of one avatar.
const INFOS_MAX: usize = 16;

/// The avatar that an account shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Photo {
    /// SHA-1 of its bytes, which is its item's id.
    pub(crate) sha1: [u8; 20],
    /// Its type as its owner says.
    pub(crate) mime: Box<str>,
}

impl Photo {
    /// The hash as XEP-0084 and XEP-0153 write it.
    pub(crate) fn id(&self) -> String {
        hex(&self.sha1)
    }
}

/// The avatar that the account shows.
pub(crate) fn photo(account: &Account) -> Option<Photo> {
    shown(account.nodes.as_deref()?)
}

/// The avatar that these nodes show: the first version in the newest metadata whose bytes are stored.
pub(crate) fn shown(nodes: &Nodes) -> Option<Photo> {
    let (metadata, data) = (nodes.get(ns::AVATAR_METADATA)?, nodes.get(ns::AVATAR_DATA)?);
    let stanza = Stanza::parse(metadata.inline.as_deref()?.as_bytes()).ok()?;
    infos(&stanza.root()).find_map(|info| {
        let id = info.attr("id")?;
        data.item(&id)?;
        let mime = info.attr("type").filter(|mime| is_shown(mime));
        Some(Photo { sha1: unhex(&id)?, mime: mime.as_deref().unwrap_or("image/png").into() })
    })
}

/// Whether this is the media type of a picture, and not of one that can hold a program (SVG).
pub(crate) fn is_shown(mime: &str) -> bool {
    mime.to_ascii_lowercase().strip_prefix("image/").is_some_and(|kind| !kind.starts_with("svg"))
}

pub(crate) fn infos<'a>(metadata: &ElementRef<'a>) -> impl Iterator<Item = ElementRef<'a>> {
    metadata.children().filter(|child| child.is("info", ns::AVATAR_METADATA))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a String can't fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<[u8; 20]> {
    let text = text.as_bytes();
    let mut bytes = [0; 20];
    if text.len() != 40 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

/// A picture as bytes, checked.
pub(crate) struct Picture {
    pub(crate) sha1: [u8; 20],
    pub(crate) bytes: usize,
    /// Its base64 without white space.
    pub(crate) text: String,
    pub(crate) image: Option<Image>,
}

impl Picture {
    /// Reads base64. White space may stand in it.
    pub(crate) fn read(base64: &str) -> Result<Self, Fault> {
        let text: String = base64.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(&text).map_err(|_| malformed("this is no base64"))?;
        let image =
            image::recognise(&bytes).map_err(|_| malformed("this is no picture that can be shown"))?;
        Ok(Self { sha1: Sha1::digest(&bytes).into(), bytes: bytes.len(), text, image })
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.sha1)
    }
}

fn malformed(why: &'static str) -> Fault {
    fault(StanzaCondition::BadRequest, "invalid-payload").with_text(why)
}

/// Checks an avatar item before it is published. Returns the id for it if the client gave none.
pub(crate) fn check(node: &str, id: Option<&str>, payload: &str) -> Result<Option<Box<str>>, Fault> {
    let root = || Stanza::parse(payload.as_bytes()).map_err(|_| malformed("this is no element"));
    match node {
        ns::AVATAR_DATA => check_data(id, &root()?.root()).map(Some),
        ns::AVATAR_METADATA => check_metadata(&root()?.root()).map(|()| None),
        _ => Ok(None),
    }
}

fn check_data(id: Option<&str>, data: &ElementRef<'_>) -> Result<Box<str>, Fault> {
    if !data.is("data", ns::AVATAR_DATA) {
        return Err(malformed("an item of this node is <data/>"));
    }
    let picture = Picture::read(&data.text())?;
    match id {
        Some(id) if !id.eq_ignore_ascii_case(&picture.id()) => {
            Err(malformed("the id is the content's SHA-1"))
        }
        // The id is kept as it was written, perhaps in upper case: clients ask for the picture by the id in the metadata.
        Some(id) => Ok(id.into()),
        None => Ok(picture.id().into()),
    }
}

fn check_metadata(metadata: &ElementRef<'_>) -> Result<(), Fault> {
    if !metadata.is("metadata", ns::AVATAR_METADATA) {
        return Err(malformed("an item of this node is <metadata/>"));
    }
    let infos: Vec<_> = infos(metadata).take(INFOS_MAX + 1).collect();
    let is_picture = |info: &ElementRef<'_>| info.attr("type").is_none_or(|mime| is_shown(&mime));
    let is_right = infos.len() <= INFOS_MAX
        && infos
            .iter()
            .all(|info| info.attr("id").is_some_and(|id| unhex(&id).is_some()) && is_picture(info));
    is_right
        .then_some(())
        .ok_or(malformed("an <info/> needs the picture's SHA-1 as id and a type of pictures"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::nodes::{Config, NewItem};

    const EMPTY: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

    fn metadata(infos: &str) -> String {
        format!("<metadata xmlns='urn:xmpp:avatar:metadata'>{infos}</metadata>")
    }

    #[test]
    fn shown_is_the_newest_whose_bytes_are_there() {
        let mut nodes = Nodes::default();
        let mut publish = |node: &str, id: &str, payload: &str| {
            let item = NewItem { id, payload, now_unix_ms: 1 };
            nodes.publish(node, item, None, Config::default()).unwrap();
            shown(&nodes)
        };
        let info = format!("<info id='{EMPTY}' type='image/webp'/>");
        assert_eq!(publish(ns::AVATAR_METADATA, EMPTY, &metadata(&info)), None, "no bytes yet");
        let photo = publish(ns::AVATAR_DATA, EMPTY, "<data xmlns='urn:xmpp:avatar:data'/>").unwrap();
        assert_eq!((photo.id().as_str(), &*photo.mime), (EMPTY, "image/webp"));
        assert_eq!(publish(ns::AVATAR_METADATA, "none", &metadata("")), None);
    }

    const NONE: &str = "<metadata xmlns='urn:xmpp:avatar:metadata'/>";

    fn data(text: &str) -> String {
        format!("<data xmlns='urn:xmpp:avatar:data'>{text}</data>")
    }

    #[test]
    fn an_items_id_is_its_contents_hash() {
        assert_eq!(check(ns::AVATAR_DATA, Some(EMPTY), &data("")), Ok(Some(EMPTY.into())));
        assert_eq!(check(ns::AVATAR_DATA, None, &data(" \n")), Ok(Some(EMPTY.into())));
        assert!(check(ns::AVATAR_DATA, Some("x"), &data("")).is_err());
        assert!(check(ns::AVATAR_DATA, None, &data("=")).is_err());
        assert_eq!(check("urn:other", Some("x"), "<a/>"), Ok(None));
    }

    #[test]
    fn metadata_has_hashes_and_types_of_pictures() {
        let good = format!("<info id='{EMPTY}' type='image/png' bytes='0'/>");
        assert_eq!(check(ns::AVATAR_METADATA, None, &metadata(&good)), Ok(None));
        assert_eq!(check(ns::AVATAR_METADATA, None, NONE), Ok(None));
        assert!(check(ns::AVATAR_METADATA, None, &metadata(&good.repeat(INFOS_MAX + 1))).is_err());
        for bad in ["<info/>", "<info id='zz39a3ee5e6b4b0d3255bfef95601890afd80709'/>"] {
            assert!(check(ns::AVATAR_METADATA, None, &metadata(bad)).is_err(), "{bad}");
        }
        for mime in ["text/html", "image/svg+xml", "IMAGE/SVG", "image"] {
            let info = format!("<info id='{EMPTY}' type='{mime}'/>");
            assert!(check(ns::AVATAR_METADATA, None, &metadata(&info)).is_err(), "{mime}");
        }
    }
}
