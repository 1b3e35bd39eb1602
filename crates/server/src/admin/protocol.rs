//! The lines of the admin socket.
//!
//! ```text
//! > {"op":"account.show","name":"+15551230001"}
//! < {"ok":{"account":{"name":"+15551230001", … }}}
//! > {"op":"account.remove","name":"nobody"}
//! < {"error":{"code":"no-such-account","text":"no such account"}}
//! ```
//! Codes: `bad-request`, `no-such-account`, `conflict`, `unavailable`, `damaged`, `no-such-file`.

use chaski_services::account::credentials::Credentials;
use chaski_services::account::name::AccountName;
use chaski_services::rooms::blocking::Report;
use serde::{Deserialize, Serialize};

/// What a client asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op")]
pub enum Request {
    /// Which server this is.
    #[serde(rename = "status")]
    Status,
    /// From which the salts of its accounts are made. Answered by [`Reply::Salting`].
    #[serde(rename = "salting")]
    Salting,
    /// Makes an account or gives it another key, which ends its sessions.
    #[serde(rename = "account.put")]
    AccountPut(NewKey),
    /// The same for many, in one transaction. Answered by [`Reply::Imported`].
    #[serde(rename = "account.import")]
    AccountImport {
        /// The accounts; a thousand or so at once.
        accounts: Vec<NewKey>,
    },
    /// Removes an account with its roster and its mailbox, and ends its sessions.
    #[serde(rename = "account.remove")]
    AccountRemove {
        /// Which.
        name: AccountName,
    },
    /// What is known of an account.
    #[serde(rename = "account.show")]
    AccountShow {
        /// Which.
        name: AccountName,
    },
    /// The sessions of an account, or of all accounts page by page.
    #[serde(rename = "session.list")]
    SessionList {
        /// Which account; absent: all.
        #[serde(default)]
        name: Option<AccountName>,
        /// [`Reply::Sessions`]' `next` of the page before.
        #[serde(default)]
        after: Option<String>,
    },
    /// Ends an account's sessions.
    #[serde(rename = "session.kick")]
    SessionKick {
        /// Whose.
        name: AccountName,
        /// Which; absent: all.
        #[serde(default)]
        resource: Option<String>,
    },
    /// What has happened to an account since; it is traced as long as somebody asks. Answered by [`Reply::Trace`].
    #[serde(rename = "trace")]
    Trace {
        /// Which.
        name: AccountName,
        /// [`TraceView::next`] of the answer before; 0: from now on.
        #[serde(default)]
        after: u64,
    },
    /// What the server has in memory of an account. Answered by [`Reply::Dump`].
    #[serde(rename = "dump.account")]
    DumpAccount {
        /// Which.
        name: AccountName,
    },
    /// What a shard has in memory. Answered by [`Reply::Dump`].
    #[serde(rename = "dump.shard")]
    DumpShard {
        /// Which, from 0.
        shard: u64,
    },
    /// What users have reported of others (XEP-0377), page by page.
    #[serde(rename = "report.list")]
    ReportList {
        /// [`Reply::Reports`]' `next` of the page before.
        #[serde(default)]
        after: Option<String>,
    },
    /// An upload slot of an account, so that an operator can see files come and go as clients do.
    #[serde(rename = "media.slot")]
    MediaSlot {
        /// Whose.
        name: AccountName,
        /// How many bytes.
        size: u64,
        /// Of what type.
        media_type: String,
        /// Called what; it stands in a URL as it is.
        file_name: String,
    },
    /// A step of looking whether the index of files and the files agree. Answered by [`Reply::Media`].
    #[serde(rename = "media.check")]
    MediaCheck {
        /// [`MediaView::next`] of the step before; absent: from the beginning.
        #[serde(default)]
        from: Option<String>,
    },
    /// A step of counting files. Answered by [`Reply::MediaStat`].
    #[serde(rename = "media.stat")]
    MediaStat {
        /// [`MediaStatView::next`] of the step before; absent: from the beginning.
        #[serde(default)]
        from: Option<String>,
    },
    /// The file behind a URL is not there any more. Answered by [`Reply::MediaRemoved`].
    #[serde(rename = "media.remove")]
    MediaRemove {
        /// Its URL.
        url: String,
    },
    /// A content is not to be here. Answered by [`Reply::MediaBlocked`].
    #[serde(rename = "media.block")]
    MediaBlock {
        /// A URL that leads to it, or its SHA-256 in hexadecimal digits.
        what: String,
        /// Why.
        #[serde(default)]
        reason: String,
    },
    /// It may be here again. Answered by [`Reply::MediaUnblocked`].
    #[serde(rename = "media.unblock")]
    MediaUnblock {
        /// Its SHA-256 in hexadecimal digits.
        sha256: String,
    },
    /// What is blocked, page by page. Answered by [`Reply::MediaBlocks`].
    #[serde(rename = "media.blocked")]
    MediaBlocks {
        /// [`Reply::MediaBlocks`]' `next` of the page before.
        #[serde(default)]
        after: Option<String>,
    },
    /// What the machine's clock says and what is believed.
    #[serde(rename = "clock.show")]
    ClockShow,
    /// The machine's clock is right: its jump is believed.
    #[serde(rename = "clock.accept")]
    ClockAccept,
}

/// An account's name and what is to prove it from now on. The client derives the credentials, so that keys never
/// pass through the server, with the salt that the server has for the name; their generation is set by the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewKey {
    /// Whose.
    pub name: AccountName,
    /// Derived from the key.
    pub credentials: Credentials,
}

/// The answer to a request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Done.
    Ok(Reply),
    /// Not done.
    Error {
        /// A word for programs.
        code: String,
        /// A sentence for people.
        text: String,
    },
}

impl Answer {
    pub(super) fn refused(code: &str, text: impl Into<String>) -> Self {
        Self::Error { code: code.into(), text: text.into() }
    }
}

/// What came of a request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// See [`Request::Status`].
    Status {
        /// The domain served.
        domain: String,
        /// The program's version.
        version: String,
    },
    /// See [`Request::Salting`].
    Salting {
        /// [`chaski_services::account::credentials::Salting`].
        bytes: [u8; 32],
    },
    /// See [`Request::AccountPut`].
    Put {
        /// Whether there was an account already, whose key is void now.
        replaced: bool,
    },
    /// See [`Request::AccountImport`].
    Imported {
        /// Accounts that were new.
        created: usize,
        /// Accounts whose key is void now.
        replaced: usize,
    },
    /// See [`Request::AccountRemove`].
    Removed,
    /// See [`Request::AccountShow`].
    Account(Box<AccountView>),
    /// See [`Request::SessionList`].
    Sessions {
        /// The sessions of this page.
        sessions: Vec<SessionView>,
        /// Where the next page begins; absent: this was the last.
        next: Option<String>,
    },
    /// See [`Request::SessionKick`].
    Kicked {
        /// How many sessions were ended.
        sessions: usize,
    },
    /// See [`Request::Trace`].
    Trace(TraceView),
    /// See [`Request::DumpAccount`] and [`Request::DumpShard`]: an object for people, whose fields come and go.
    Dump(serde_json::Value),
    /// See [`Request::ReportList`].
    Reports {
        /// The reports of this page, by reporter.
        reports: Vec<Report>,
        /// Where the next page begins; absent: this was the last.
        next: Option<String>,
    },
    /// See [`Request::MediaSlot`].
    Slot {
        /// Name and file below the URL of files.
        path: String,
        /// The ticket, for the upload's query.
        ticket: String,
    },
    /// See [`Request::MediaCheck`].
    Media(Box<MediaView>),
    /// See [`Request::MediaStat`].
    MediaStat(Box<MediaStatView>),
    /// See [`Request::MediaRemove`].
    MediaRemoved(Box<FileView>),
    /// See [`Request::MediaBlock`].
    MediaBlocked {
        /// The content's SHA-256 in hexadecimal digits.
        sha256: String,
        /// How many references led to it.
        references: u64,
    },
    /// See [`Request::MediaUnblock`].
    MediaUnblocked,
    /// See [`Request::MediaBlocks`].
    MediaBlocks {
        /// The contents of this page.
        blocked: Vec<BlockedView>,
        /// Where the next page begins; absent: this was the last.
        next: Option<String>,
    },
    /// See [`Request::ClockShow`].
    Clock(ClockView),
    /// See [`Request::ClockAccept`].
    Accepted {
        /// How far the machine's clock was ahead of what had been believed; negative: behind.
        by_ms: i64,
    },
}

/// What has happened to an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceView {
    /// Oldest first.
    pub events: Vec<TraceEventView>,
    /// The number of the last.
    pub next: u64,
    /// So many before these were too many to be kept.
    pub missed: u64,
}

/// Something that was done for an account. Names nobody, and says nothing of what is in a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEventView {
    /// When, as the server shows it: Unix time in milliseconds.
    pub unix_ms: u64,
    /// What.
    pub what: String,
}

/// Files, and what is wrong with them, as far as one step has looked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaView {
    /// What the index has, by backend; the first folder has no name.
    pub places: Vec<MediaPlaceView>,
    /// Rows whose file is missing.
    pub dangling: u64,
    /// Files that no row names.
    pub orphans: u64,
    /// Files of another length than their row says.
    pub wrong_sizes: u64,
    /// Files that are on their way.
    pub arriving: u64,
    /// Some of the wrong ones.
    pub named: Vec<String>,
    /// Where the next step begins; absent: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What one backend has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaPlaceView {
    /// Its name.
    pub place: String,
    /// Files.
    pub objects: u64,
    /// References to them.
    pub references: u64,
    /// Bytes, each file once.
    pub bytes: u64,
}

/// How many files there are, as far as one step has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaStatView {
    /// What the index has, by backend; the first folder has no name.
    pub places: Vec<MediaPlaceView>,
    /// All else, said by the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<MediaRestView>,
    /// Where the next step begins; absent: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What there is besides files in backends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRestView {
    /// When the next reference ends.
    pub next_expiry_unix_ms: Option<u64>,
    /// References that have ended and are not dropped yet.
    pub ended: u64,
    /// Files that are to be deleted.
    pub doomed: u64,
    /// Contents that are blocked.
    pub blocked: u64,
    /// Uploads that are not finished.
    pub unfinished: u64,
    /// How many bytes of them have come.
    pub unfinished_bytes: u64,
    /// When the time of the first of them is over.
    pub unfinished_until_unix_ms: Option<u64>,
    /// Thumbnails that are kept, also of what can have none.
    pub thumbnails: u64,
    /// Their bytes.
    pub thumbnail_bytes: u64,
}

/// A file that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// The content's SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub size: u64,
    /// As what it was uploaded.
    pub media_type: String,
    /// The number of who uploaded or forwarded it; absent: a service account.
    pub owner: Option<String>,
    /// When.
    pub created_unix_ms: u64,
}

/// A content that is blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedView {
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Since when.
    pub since_unix_ms: u64,
    /// Why, or "".
    pub reason: String,
}

/// What the clocks say. All are Unix time in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockView {
    /// The machine's clock.
    pub wall_unix_ms: u64,
    /// What is believed and shown.
    pub shown_unix_ms: u64,
    /// What ages are measured by. It differs from what is shown after the clock was set while the server ran.
    pub age_unix_ms: u64,
    /// The jump that is not believed; absent: none.
    pub jump: Option<JumpView>,
}

/// A jump of the machine's clock that is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JumpView {
    /// How far ahead it was when it was noticed; negative: behind.
    pub by_ms: i64,
    /// How long the server has run since.
    pub ran_ms: u64,
    /// After how much more running it is believed.
    pub believed_in_ms: u64,
    /// It came while no server ran: once it is believed, what waits is older by it.
    pub ages: bool,
}

/// An account, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Phone number or service name.
    pub name: AccountName,
    /// When it was made.
    pub created_unix_ms: u64,
    /// When its present key was made.
    pub registered_unix_ms: u64,
    /// When it was last seen, within some hours.
    pub seen_unix_ms: u64,
    /// Grows with each key.
    pub key_generation: u32,
    /// SCRAM iterations.
    pub iterations: u32,
    /// Switched off by the operator.
    pub disabled: bool,
    /// What the client called its device.
    pub device_name: Option<String>,
    /// Messages that wait; absent when no server runs.
    pub waiting_messages: Option<u64>,
    /// Their bytes.
    pub waiting_bytes: Option<u64>,
    /// Its sessions.
    pub sessions: Vec<SessionView>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Full JID.
    pub jid: String,
    /// Whether it has sent presence.
    pub available: bool,
    /// Its priority.
    pub priority: i8,
    /// Whether it has no connection and waits to be resumed.
    pub hibernating: bool,
    /// Stanzas sent and not yet acknowledged.
    pub unacknowledged: usize,
}
