//! The configuration of a PEP node: the form of XEP-0060 §16.4.4, as far as a personal node has a use for it.
//!
//! Pure. The same parser serves the configuration form, the form at creation, and publish-options, which are met as preconditions
//! exactly if applying them would change nothing (§7.1.5).

use super::{ITEMS_MAX, TITLE_BYTES_MAX};
use crate::form::Form;
use chaski_xmpp::xml;
use chaski_xmpp::{Writer, ns};
use serde::{Deserialize, Serialize};

/// Who may read a node (XEP-0060 §4.5). The owner always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Access {
    /// Anybody who is not blocked.
    Open,
    /// Accounts with a subscription to the owner's presence.
    Presence,
    /// The owner alone: nobody else can be put on the list.
    Whitelist,
}

/// When the last item is sent without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SendLast {
    /// Never.
    #[serde(rename = "never")]
    Never,
    /// To a new subscriber. For a personal node this is a session that becomes interested, as with `on_sub_and_presence`.
    #[serde(rename = "on_sub")]
    OnSub,
    /// Whenever an interested session becomes available.
    #[serde(rename = "on_sub_and_presence")]
    OnSubAndPresence,
}

/// The configuration of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) access: Access,
    pub(crate) send_last: SendLast,
    /// Items are kept. If false, they are sent to subscribers and forgotten.
    pub(crate) persist: bool,
    pub(crate) items_max: u16,
    pub(crate) notify_retract: bool,
    pub(crate) notify_delete: bool,
    pub(crate) notify_config: bool,
    pub(crate) deliver_payloads: bool,
    pub(crate) deliver_notifications: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<Box<str>>,
}

/// The defaults of XEP-0163 §3: access by presence subscription, one item that is kept, and no configuration needed.
impl Default for Config {
    fn default() -> Self {
        Self {
            access: Access::Presence,
            send_last: SendLast::OnSubAndPresence,
            persist: true,
            items_max: 1,
            notify_retract: true,
            notify_delete: true,
            notify_config: false,
            deliver_payloads: true,
            deliver_notifications: true,
            title: None,
        }
    }
}

/// Why a form was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadForm {
    /// An access model that XEP-0060 knows and that is not supported here.
    Access,
    /// A value that the field can't have.
    Value,
}

impl Access {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Presence => "presence",
            Self::Whitelist => "whitelist",
        }
    }

    fn read(text: &str) -> Result<Self, BadForm> {
        match text {
            "open" => Ok(Self::Open),
            "presence" => Ok(Self::Presence),
            "whitelist" => Ok(Self::Whitelist),
            "authorize" | "roster" => Err(BadForm::Access),
            _ => Err(BadForm::Value),
        }
    }
}

impl SendLast {
    fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnSub => "on_sub",
            Self::OnSubAndPresence => "on_sub_and_presence",
        }
    }

    fn read(text: &str) -> Result<Self, BadForm> {
        [Self::Never, Self::OnSub, Self::OnSubAndPresence]
            .into_iter()
            .find(|value| value.as_str() == text)
            .ok_or(BadForm::Value)
    }
}

impl Config {
    /// Sets the fields that the form names. Fields without a meaning here are ignored, as §8.2.5 allows.
    pub(crate) fn apply(&mut self, form: &Form) -> Result<(), BadForm> {
        for (var, value) in form.fields() {
            match var.strip_prefix("pubsub#").unwrap_or_default() {
                "access_model" => self.access = Access::read(value)?,
                "send_last_published_item" => self.send_last = SendLast::read(value)?,
                "persist_items" => self.persist = flag(value)?,
                "max_items" => self.items_max = items_max(value)?,
                "notify_retract" => self.notify_retract = flag(value)?,
                "notify_delete" => self.notify_delete = flag(value)?,
                "notify_config" => self.notify_config = flag(value)?,
                "deliver_payloads" => self.deliver_payloads = flag(value)?,
                "deliver_notifications" => self.deliver_notifications = flag(value)?,
                "title" if value.len() > TITLE_BYTES_MAX => return Err(BadForm::Value),
                "title" => self.title = (!value.is_empty()).then(|| value.into()),
                // Only the owner publishes in a personal node, whatever publish model a client asks for.
                "publish_model" if value != "publishers" => return Err(BadForm::Value),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the node meets the preconditions in the form.
    pub(crate) fn meets(&self, form: &Form) -> Result<bool, BadForm> {
        let mut wanted = self.clone();
        wanted.apply(form)?;
        Ok(wanted == *self)
    }

    /// Writes the form that shows this configuration.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.open_ns("x", ns::DATA_FORMS).attr("type", "form");
        field(writer, "FORM_TYPE", "hidden", ns::PUBSUB_NODE_CONFIG, &[]);
        field(writer, "pubsub#title", "text-single", self.title.as_deref().unwrap_or_default(), &[]);
        field(
            writer,
            "pubsub#access_model",
            "list-single",
            self.access.as_str(),
            &["open", "presence", "whitelist"],
        );
        let last = &["never", "on_sub", "on_sub_and_presence"];
        field(writer, "pubsub#send_last_published_item", "list-single", self.send_last.as_str(), last);
        field(writer, "pubsub#publish_model", "list-single", "publishers", &["publishers"]);
        field(writer, "pubsub#max_items", "text-single", &self.items_max.to_string(), &[]);
        for (var, value) in [
            ("pubsub#persist_items", self.persist),
            ("pubsub#notify_retract", self.notify_retract),
            ("pubsub#notify_delete", self.notify_delete),
            ("pubsub#notify_config", self.notify_config),
            ("pubsub#deliver_payloads", self.deliver_payloads),
            ("pubsub#deliver_notifications", self.deliver_notifications),
        ] {
            field(writer, var, "boolean", if value { "1" } else { "0" }, &[]);
        }
        writer.close();
    }

    /// The form that shows this configuration, as XML.
    pub(crate) fn form(&self) -> Vec<u8> {
        xml(|writer| self.write(writer))
    }
}

fn field<'o>(writer: &mut Writer<'o>, var: &str, kind: &str, value: &str, options: &[&str]) {
    writer.open("field").attr("var", var).attr("type", kind).leaf("value", value);
    for option in options {
        writer.open("option").leaf("value", option).close();
    }
    writer.close();
}

fn flag(value: &str) -> Result<bool, BadForm> {
    match value.trim() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(BadForm::Value),
    }
}

/// `max` stands for as many items as a node can hold (`config-node-max`); so does any larger number, as clients ask for
/// thousands.
fn items_max(value: &str) -> Result<u16, BadForm> {
    if value == "max" {
        return Ok(ITEMS_MAX);
    }
    let number: u64 = value.trim().parse().map_err(|_| BadForm::Value)?;
    match u16::try_from(number) {
        Ok(0) => Err(BadForm::Value),
        Ok(number) => Ok(number.min(ITEMS_MAX)),
        Err(_) => Ok(ITEMS_MAX),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use chaski_xmpp::Stanza;

    /// A submitted form with these fields.
    pub(crate) fn form(fields: &[(&str, &str)]) -> Form {
        let mut text = String::from("<x xmlns='jabber:x:data' type='submit'>");
        for (var, value) in fields {
            text += &format!("<field var='pubsub#{var}'><value>{value}</value></field>");
        }
        text += "</x>";
        Form::read(&Stanza::parse(text.as_bytes()).unwrap().root())
    }

    #[test]
    fn what_a_form_names_is_changed_and_nothing_else() {
        let mut config = Config::default();
        config.apply(&form(&[("access_model", "open"), ("max_items", "max"), ("unknown", "x")])).unwrap();
        let expected = Config { access: Access::Open, items_max: ITEMS_MAX, ..Config::default() };
        assert_eq!(config, expected);
        config.apply(&form(&[("max_items", "100000000"), ("persist_items", "false")])).unwrap();
        assert_eq!((config.items_max, config.persist), (ITEMS_MAX, false));
    }

    #[test]
    fn preconditions_hold_if_nothing_would_change() {
        let config = Config { access: Access::Whitelist, ..Config::default() };
        assert_eq!(
            config.meets(&form(&[("access_model", "whitelist"), ("persist_items", "true")])),
            Ok(true)
        );
        assert_eq!(config.meets(&form(&[("access_model", "open")])), Ok(false));
        assert_eq!(config.meets(&form(&[])), Ok(true));
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for (var, value, why) in [
            ("access_model", "authorize", BadForm::Access),
            ("access_model", "roster", BadForm::Access),
            ("access_model", "all", BadForm::Value),
            ("max_items", "0", BadForm::Value),
            ("max_items", "-1", BadForm::Value),
            ("persist_items", "maybe", BadForm::Value),
            ("send_last_published_item", "daily", BadForm::Value),
            ("publish_model", "open", BadForm::Value),
        ] {
            assert_eq!(Config::default().apply(&form(&[(var, value)])), Err(why), "{var}={value}");
        }
    }

    #[test]
    fn the_form_reads_back_as_it_was_written() {
        let config = Config {
            title: Some("a<b".into()),
            send_last: SendLast::Never,
            items_max: 7,
            ..Config::default()
        };
        let mut read = Config::default();
        read.apply(&Form::read(&Stanza::parse(&config.form()).unwrap().root())).unwrap();
        assert_eq!(read, config);
    }
}
