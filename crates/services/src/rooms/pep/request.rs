//! A `<pubsub/>` request, read into one value that outlives the stanza.
//!
//! Pure. XEP-0060 §§5 to 8. A feature that a personal node has no use for is refused as XEP-0060 prescribes.

use crate::account::nodes::payloads::standalone;
use crate::effects::iq::Request;
use crate::fault::{Fault, fault};
use crate::form::Form;
use chaski_xmpp::{ElementRef, StanzaCondition, StanzaError, ns};

/// Most items of one `retract` or one retrieval by id.
const IDS_MAX: usize = 256;

/// A request, read.
#[derive(Debug)]
pub(crate) enum Ask {
    Items {
        node: Box<str>,
        ids: Vec<Box<str>>,
        most: Option<usize>,
    },
    Subscriptions {
        node: Option<Box<str>>,
    },
    Affiliations {
        node: Option<Box<str>>,
    },
    Publish {
        node: Box<str>,
        item: Option<Box<str>>,
        payload: Box<str>,
        options: Option<Form>,
    },
    Retract {
        node: Box<str>,
        ids: Vec<Box<str>>,
        notify: Option<bool>,
    },
    Create {
        node: Option<Box<str>>,
        form: Option<Form>,
    },
    Subscribe {
        node: Box<str>,
        jid: Box<str>,
    },
    Unsubscribe {
        node: Box<str>,
        jid: Box<str>,
    },
    /// The default configuration of new nodes.
    Default,
    Config {
        node: Box<str>,
    },
    /// `None`: the form was cancelled.
    Configure {
        node: Box<str>,
        form: Option<Form>,
    },
    Delete {
        node: Box<str>,
    },
    Purge {
        node: Box<str>,
    },
    /// The owner asks for the subscriptions of a node.
    Subscribers {
        node: Box<str>,
    },
    /// The owner asks for the affiliations of a node.
    Roles {
        node: Box<str>,
    },
}

impl Ask {
    /// Reads the request.
    pub(crate) fn read(request: &Request<'_>) -> Result<Self, Fault> {
        let pubsub = &request.child;
        let inner = pubsub.children().next().ok_or(StanzaCondition::BadRequest)?;
        let name = inner.name();
        if pubsub.is("pubsub", ns::PUBSUB_OWNER) {
            return owners(request.is_get, name, &inner);
        }
        if !pubsub.is("pubsub", ns::PUBSUB) {
            return Err(StanzaCondition::ServiceUnavailable.into());
        }
        match (request.is_get, name) {
            (true, "items") => items(&inner),
            (true, "subscriptions") => Ok(Self::Subscriptions { node: optional_node(&inner) }),
            (true, "affiliations") => Ok(Self::Affiliations { node: optional_node(&inner) }),
            (true, "default") => Ok(Self::Default),
            (false, "publish") => publish(pubsub, &inner),
            (false, "retract") => retract(&inner),
            (false, "create") => {
                Ok(Self::Create { node: optional_node(&inner), form: form_in(pubsub, "configure") })
            }
            (false, "subscribe") => Ok(Self::Subscribe { node: node(&inner)?, jid: jid(&inner)? }),
            (false, "unsubscribe") => Ok(Self::Unsubscribe { node: node(&inner)?, jid: jid(&inner)? }),
            _ => Err(unsupported()),
        }
    }
}

fn owners(is_get: bool, name: &str, inner: &ElementRef<'_>) -> Result<Ask, Fault> {
    Ok(match (is_get, name) {
        (true, "default") => Ask::Default,
        (true, "configure") => Ask::Config { node: node(inner)? },
        (true, "subscriptions") => Ask::Subscribers { node: node(inner)? },
        (true, "affiliations") => Ask::Roles { node: node(inner)? },
        (false, "configure") => {
            let x = inner.child("x", ns::DATA_FORMS).ok_or(StanzaCondition::BadRequest)?;
            let cancelled = x.attr("type").as_deref() == Some("cancel");
            Ask::Configure { node: node(inner)?, form: (!cancelled).then(|| Form::read(&x)) }
        }
        (false, "delete") => Ask::Delete { node: node(inner)? },
        (false, "purge") => Ask::Purge { node: node(inner)? },
        _ => return Err(unsupported()),
    })
}

fn unsupported() -> Fault {
    fault(StanzaCondition::FeatureNotImplemented, "unsupported")
}

fn optional_node(element: &ElementRef<'_>) -> Option<Box<str>> {
    element.attr("node").filter(|node| !node.is_empty()).map(|node| node.into())
}

fn node(element: &ElementRef<'_>) -> Result<Box<str>, Fault> {
    optional_node(element).ok_or(fault(StanzaCondition::BadRequest, "nodeid-required"))
}

fn jid(element: &ElementRef<'_>) -> Result<Box<str>, Fault> {
    let jid = element.attr("jid").ok_or(fault(StanzaCondition::BadRequest, "jid-required"))?;
    Ok(jid.into())
}

fn form_in(pubsub: &ElementRef<'_>, name: &str) -> Option<Form> {
    let outer = pubsub.child(name, ns::PUBSUB)?;
    Some(Form::read(&outer.child("x", ns::DATA_FORMS)?))
}

/// The ids of the `<item/>`s.
fn ids(element: &ElementRef<'_>) -> Result<Vec<Box<str>>, Fault> {
    let items = element.children().filter(|child| child.is("item", ns::PUBSUB));
    let ids: Vec<Box<str>> =
        items.take(IDS_MAX + 1).filter_map(|item| item.attr("id").map(Into::into)).collect();
    if ids.len() > IDS_MAX { Err(StanzaCondition::NotAcceptable.into()) } else { Ok(ids) }
}

fn items(element: &ElementRef<'_>) -> Result<Ask, Fault> {
    let most = match element.attr("max_items") {
        Some(text) => Some(text.trim().parse().map_err(|_| StanzaError::from(StanzaCondition::BadRequest))?),
        None => None,
    };
    Ok(Ask::Items { node: node(element)?, ids: ids(element)?, most })
}

fn publish(pubsub: &ElementRef<'_>, element: &ElementRef<'_>) -> Result<Ask, Fault> {
    let node = node(element)?;
    let mut items = element.children().filter(|child| child.is("item", ns::PUBSUB));
    let item = items.next().ok_or(fault(StanzaCondition::BadRequest, "item-required"))?;
    if items.next().is_some() {
        return Err(fault(StanzaCondition::NotAllowed, "max-items-exceeded").with_text("one item at a time"));
    }
    let mut payloads = item.children();
    let payload = payloads.next().ok_or(fault(StanzaCondition::BadRequest, "payload-required"))?;
    if payloads.next().is_some() {
        return Err(fault(StanzaCondition::BadRequest, "invalid-payload"));
    }
    let item = item.attr("id").filter(|id| !id.is_empty()).map(Into::into);
    Ok(Ask::Publish {
        node,
        item,
        payload: standalone(&payload),
        options: form_in(pubsub, "publish-options"),
    })
}

fn retract(element: &ElementRef<'_>) -> Result<Ask, Fault> {
    let node = node(element)?;
    let ids = ids(element)?;
    if ids.is_empty() {
        return Err(fault(StanzaCondition::BadRequest, "item-required"));
    }
    let notify = element.attr("notify").map(|value| matches!(&*value, "1" | "true"));
    Ok(Ask::Retract { node, ids, notify })
}
