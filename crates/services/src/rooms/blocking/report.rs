//! Reports to the operator: a client blocks a JID and says why (XEP-0377).
//!
//! Kept in one document per reporter in `REPORTS`, under the reporter's record key: the last [`REPORTS_MAX`] of each
//! reporter, so that nobody can fill the disk with reports. `chaski ctl report list` shows them. A report holds what the reporter
//! wrote, the ids of messages, and the URLs of files on this server; never the messages themselves, which the server does not
//! keep. Whether such a file exists is not checked, so that nobody can learn it by reporting. The document is deleted with the
//! reporter's account.

use crate::account::blocks::Entry;
use crate::effects::iq::{Scope, Xep};
use crate::realm::uploads::Uploads;
use chaski_store::AccountId;
use chaski_xmpp::{ElementRef, ns};
use serde::{Deserialize, Serialize};

/// What this file implements. The namespace is announced by [`super::SPEC`].
pub(super) const NS: &str = "urn:xmpp:reporting:1";
/// The namespace of an earlier version, which Gajim 1.7 still uses: there the reason is an element.
const OLD_NS: &str = "urn:xmpp:reporting:0";
/// The declaration of XEP-0377.
pub(super) const XEP: Xep =
    Xep::new(377, "0.4.1", "Blocking Command Reports", &[(Scope::Domain, NS), (Scope::Domain, OLD_NS)]);

/// Most reports of one reporter that are kept: the newest.
const REPORTS_MAX: usize = 50;
/// Longest text of a report in characters; the rest is cut off.
const TEXT_CHARS_MAX: usize = 1_000;
/// Longest reason or id in characters; others are left out.
const ID_CHARS_MAX: usize = 128;
/// Most ids of messages in one report.
const IDS_MAX: usize = 20;
/// Most URLs in one report that are looked at.
const LINKS_MAX: usize = 32;
/// Longest URL.
const LINK_BYTES_MAX: usize = 512;
/// Most URLs that are kept: the first that lead to files of this server.
const FILES_MAX: usize = 8;
const OOB_NS: &str = "jabber:x:oob";

const FORMAT: u32 = 1;

/// The report about a JID that a client blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    reason: String,
    text: String,
    messages: Vec<String>,
    links: Vec<String>,
}

/// A report as kept and as shown to the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it was made.
    pub unix_ms: u64,
    /// The reporter: a number or a service name.
    pub reporter: String,
    /// The blocked JID: a number of this server (`+15551230001`) or a JID.
    pub about: String,
    /// The reason: `urn:xmpp:reporting:spam`, `urn:xmpp:reporting:abuse` or what the client has sent.
    pub reason: String,
    /// In the reporter's words, or "".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The stanza-ids (XEP-0359) of the messages in question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
    /// The URLs of this server's files in the report, without the keys of encrypted ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// One reporter's document.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    format: u32,
    /// Oldest first.
    pub reports: Vec<Report>,
}

impl Complaint {
    /// Reads `<item><report/></item>`; `None` if the item has no report.
    pub(super) fn read(item: &ElementRef<'_>) -> Option<Self> {
        let (report, space) =
            [NS, OLD_NS].into_iter().find_map(|space| Some((item.child("report", space)?, space)))?;
        let reason = if space == NS {
            let reason = report.attr("reason").filter(|reason| reason.chars().count() <= ID_CHARS_MAX)?;
            reason.into_owned()
        } else {
            let reason =
                ["spam", "abuse"].into_iter().find(|reason| report.child(reason, space).is_some())?;
            format!("urn:xmpp:reporting:{reason}")
        };
        let text = report.child("text", space).map(|text| text.text().chars().take(TEXT_CHARS_MAX).collect());
        let ids = report.children().filter(|child| child.is("stanza-id", ns::STANZA_ID));
        let ids = ids.filter_map(|id| id.attr("id").map(std::borrow::Cow::into_owned));
        let messages = ids.filter(|id| id.chars().count() <= ID_CHARS_MAX).take(IDS_MAX).collect();
        Some(Self { reason, text: text.unwrap_or_default(), messages, links: links(&report, space) })
    }

    /// The report that is kept. `uploads`: the upload service, if this server has one.
    pub(super) fn into_report(
        self,
        unix_ms: u64,
        reporter: String,
        about: String,
        uploads: Option<&Uploads>,
    ) -> Report {
        let Self { reason, text, messages, links } = self;
        let ours = uploads.map(|uploads| links.iter().filter_map(|link| uploads.without_key(link)));
        let mut files: Vec<String> = Vec::new();
        for file in ours.into_iter().flatten() {
            if files.len() < FILES_MAX && !files.contains(&file) {
                files.push(file);
            }
        }
        Report { unix_ms, reporter, about, reason, text, messages, files }
    }
}

/// The URLs in a report: in the server's own element, in XEP-0066's, and in its text.
fn links(report: &ElementRef<'_>, space: &str) -> Vec<String> {
    let said = report.children().filter(|child| child.is("content", ns::MEDIA));
    let said = said.filter_map(|content| content.attr("url").map(std::borrow::Cow::into_owned));
    let beside = report.children().filter(|child| child.is("x", OOB_NS));
    let beside = beside.filter_map(|x| x.child("url", OOB_NS).map(|url| url.text().trim().to_owned()));
    let text = report.child("text", space).map(|text| text.text()).unwrap_or_default();
    let words = text.split(|c: char| c.is_whitespace() || "<>\"".contains(c));
    let words = words.filter(|word| word.contains("://"));
    let written = words.map(|word| word.trim_end_matches(|c| ".,;:!?)]}'".contains(c)).to_owned());
    let all = said.chain(beside).chain(written);
    all.filter(|link| link.len() <= LINK_BYTES_MAX).take(LINKS_MAX).collect()
}

/// A line in the operator's log, without texts or whole numbers; one line for any number of reports.
pub(super) fn log(reports: &[Report], reporter: AccountId) {
    if let Some(first) = reports.first() {
        let (about, count) = (Entry::from_document(&first.about), reports.len());
        tracing::info!(?reporter, ?about, reason = %first.reason, count, "a user has reported somebody");
    }
}

impl Reports {
    /// Reads a document. A damaged one is replaced: it is no reason to refuse a block.
    pub fn from_document(json: Option<&[u8]>) -> Self {
        let read = json.and_then(|json| serde_json::from_slice::<Self>(json).ok());
        read.filter(|read| read.format == FORMAT).unwrap_or(Self { format: FORMAT, reports: Vec::new() })
    }

    /// The document to be saved.
    pub fn to_document(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a document of strings and numbers is always JSON")
    }

    /// Adds reports, and drops the oldest beyond the bound.
    pub(super) fn add(&mut self, more: Vec<Report>) {
        self.reports.extend(more);
        let surplus = self.reports.len().saturating_sub(REPORTS_MAX);
        self.reports.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_xmpp::Stanza;

    fn complaint(item: &str) -> Option<Complaint> {
        let iq = format!("<iq><item xmlns='urn:xmpp:blocking' jid='a@b'>{item}</item></iq>");
        let stanza = Stanza::parse(iq.as_bytes()).unwrap();
        let item = stanza.children().next().unwrap();
        Complaint::read(&item)
    }

    #[test]
    fn a_report_is_read_within_its_bounds() {
        let ids = "<stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='1'/>".repeat(IDS_MAX + 1);
        let text = "ä".repeat(TEXT_CHARS_MAX + 1);
        let full = format!(
            "<report xmlns='{NS}' reason='urn:xmpp:reporting:spam'><text>{text}</text>{ids}</report>"
        );
        let read = complaint(&full).unwrap();
        assert_eq!(read.reason, "urn:xmpp:reporting:spam");
        assert_eq!((read.text.chars().count(), read.messages.len()), (TEXT_CHARS_MAX, IDS_MAX));
        assert_eq!(complaint(""), None);
        assert_eq!(complaint(&format!("<report xmlns='{NS}'/>")), None, "without a reason");
        let old = complaint(&format!("<report xmlns='{OLD_NS}'><spam/></report>")).unwrap();
        assert_eq!(old.reason, "urn:xmpp:reporting:spam");
        assert_eq!(complaint(&format!("<report xmlns='{OLD_NS}'/>")), None);
        assert_eq!(
            complaint("<report xmlns='urn:xmpp:reporting:9'><spam/></report>"),
            None,
            "another namespace"
        );
    }

    #[test]
    fn files_of_this_server_are_found_wherever_a_report_names_them() {
        let uploads = Uploads::new("upload.d.example", "https://d.example/media", [7; 16]);
        let at = |number: u64| format!("https://d.example/media/{number:032x}/a.jpg");
        let report = |inner: &str, uploads| {
            let item = format!("<report xmlns='{NS}' reason='r'>{inner}</report>");
            let report = complaint(&item).unwrap().into_report(0, "+1".into(), "+2".into(), uploads);
            report.files
        };
        let inner = format!(
            "<text>Look: ({}), and {}#00ff or https://e.example/media/{:032x}/a.jpg</text>\
             <x xmlns='{OOB_NS}'><url>{}</url></x><content xmlns='urn:chaski:media:0' url='{}'/>",
            at(1),
            at(2).replace("https:", "aesgcm:"),
            9,
            at(3),
            at(1)
        );
        assert_eq!(report(&inner, Some(&uploads)), [at(1), at(3), at(2)], "once each, and no key");
        assert_eq!(report(&inner, None), [""; 0]);
        let many: Vec<String> = (0..50).map(at).collect();
        assert_eq!(report(&format!("<text>{}</text>", many.join(" ")), Some(&uploads)).len(), FILES_MAX);
        let long = format!("{}{}", at(4), "a".repeat(LINK_BYTES_MAX));
        assert_eq!(report(&format!("<text>{long}</text>"), Some(&uploads)), [""; 0]);
    }

    #[test]
    fn the_newest_are_kept() {
        let mut reports = Reports::from_document(None);
        let complaint = complaint(&format!("<report xmlns='{NS}' reason='r'/>")).unwrap();
        for at in 0..REPORTS_MAX as u64 + 3 {
            reports.add(vec![complaint.clone().into_report(at, "+1".into(), "+2".into(), None)]);
        }
        assert_eq!((reports.reports.len(), reports.reports[0].unix_ms), (REPORTS_MAX, 3));
        let document = reports.to_document();
        assert_eq!(Reports::from_document(Some(&document)), reports);
        assert!(Reports::from_document(Some(b"damaged")).reports.is_empty());
    }
}
