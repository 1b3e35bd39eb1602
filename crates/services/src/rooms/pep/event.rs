//! Notifications and results as XML (XEP-0060 §§6.5, 7.1.2, 7.2.2, 8).
//!
//! Pure. A notification has no `to`: it is addressed to each session when it is delivered.

use crate::account::nodes::config::Config;
use crate::effects::news::News;
use chaski_xmpp::xml;
use chaski_xmpp::{Header, Kind, Writer, datetime, ns, write};

/// A payload up to this size is sent with its notification; a larger one is fetched by clients that want it.
const NOTIFIED_BYTES_MAX: usize = 32 * 1024;

/// As XML.
impl News {
    /// The notification as a message of the account `from`. `late`: when the item was published, if that is some time ago.
    pub(crate) fn message(
        &self,
        from: &str,
        node: &str,
        config: &Config,
        late_unix_ms: Option<u64>,
    ) -> Vec<u8> {
        let mut payload = xml(|writer| {
            writer.open_ns("event", ns::PUBSUB_EVENT);
            self.write(writer, node, config);
        });
        if let Some(unix_ms) = late_unix_ms {
            payload.extend(xml(|writer| {
                writer
                    .open_ns("delay", ns::DELAY)
                    .attr("from", from)
                    .attr("stamp", &datetime::format(unix_ms));
            }));
        }
        let header = Header { from: Some(from), type_attr: Some("headline"), ..Header::default() };
        let mut out = Vec::with_capacity(payload.len() + 128);
        write::stanza(&mut out, Kind::Message, &header, &payload);
        out
    }

    fn write(&self, writer: &mut Writer<'_>, node: &str, config: &Config) {
        match self {
            Self::Published { item, payload } => {
                let payload = payload.as_deref().filter(|payload| payload.len() <= NOTIFIED_BYTES_MAX);
                let payload = payload.filter(|_| config.deliver_payloads).unwrap_or_default();
                writer.open("items").attr("node", node);
                writer.open("item").attr("id", item).raw(payload.as_bytes());
            }
            Self::Retracted { items } => {
                writer.open("items").attr("node", node);
                for item in items {
                    writer.open("retract").attr("id", item).close();
                }
            }
            Self::Purged => _ = writer.open("purge").attr("node", node),
            Self::Deleted => _ = writer.open("delete").attr("node", node),
            Self::Configured => _ = writer.open("configuration").attr("node", node),
        }
    }
}

/// The items of a node, as the result of a retrieval.
pub(crate) fn items(node: &str, items: &[(Box<str>, String)]) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("pubsub", ns::PUBSUB).open("items").attr("node", node);
        for (id, payload) in items {
            writer.open("item").attr("id", id).raw(payload.as_bytes()).close();
        }
    })
}

/// The result of publishing, with the id of the item.
pub(crate) fn published(node: &str, item: &str) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("pubsub", ns::PUBSUB).open("publish").attr("node", node).open("item").attr("id", item);
    })
}

/// The result of creating a node whose name the server has chosen.
pub(crate) fn created(node: &str) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("pubsub", ns::PUBSUB).open("create").attr("node", node);
    })
}

/// The configuration of a node, for its owner.
pub(crate) fn configuration(node: Option<&str>, config: &Config) -> Vec<u8> {
    let form = config.form();
    xml(|writer| {
        let name = if node.is_some() { "configure" } else { "default" };
        writer.open_ns("pubsub", ns::PUBSUB_OWNER).open(name).attr_opt("node", node).raw(&form);
    })
}

/// The result that holds one subscription.
pub(crate) fn subscription(node: &str, jid: &str, state: &str) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("pubsub", ns::PUBSUB).open("subscription");
        writer.attr("node", node).attr("jid", jid).attr("subscription", state);
    })
}

/// Subscriptions as pairs of node and bare JID. `of`: the node that the owner has asked about.
pub(crate) fn subscriptions(of: Option<&str>, list: &[(&str, &str)]) -> Vec<u8> {
    xml(|writer| {
        let ns = if of.is_some() { ns::PUBSUB_OWNER } else { ns::PUBSUB };
        writer.open_ns("pubsub", ns).open("subscriptions").attr_opt("node", of);
        for (node, jid) in list {
            writer.open("subscription").attr_opt("node", of.is_none().then_some(*node));
            writer.attr("jid", jid).attr("subscription", "subscribed").close();
        }
    })
}

/// The nodes whose owner is the asker.
pub(crate) fn affiliations(nodes: &[&str]) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("pubsub", ns::PUBSUB).open("affiliations");
        for node in nodes {
            writer.open("affiliation").attr("node", node).attr("affiliation", "owner").close();
        }
    })
}

/// The affiliations at a node: only the owner has one.
pub(crate) fn roles(node: &str, owner: &str) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("pubsub", ns::PUBSUB_OWNER).open("affiliations").attr("node", node);
        writer.open("affiliation").attr("jid", owner).attr("affiliation", "owner");
    })
}
