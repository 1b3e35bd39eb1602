//! The configuration: one TOML file in which every key is optional.
//!
//! Owns the keys, their defaults and the messages about mistakes in them. `default.toml` beside this module is
//! the commented file that `chaski serve --print-config` writes; it is also the list of known keys, and a test
//! holds it equal to the `Default`s here. Called by the binary's commands; nothing else reads the file.
//!
//! Promise: a mistake is one line that names the file, the line in it, what is wrong and, where possible, what is right.

mod check;
mod media;
mod schema;

pub use media::Media;

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The complete commented file, with every default.
pub const DEFAULT_TOML: &str = include_str!("config/default.toml");

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The domain of every address, lower case.
    pub domain: String,
    /// The directory for everything durable.
    pub data: PathBuf,
    /// Threads that own accounts; 0 means one per processor. See [`Config::shard_count`].
    pub shards: u16,
    /// Bare JIDs that may use administrators' commands (XEP-0133).
    pub admins: Vec<String>,
    /// Listeners for clients.
    pub c2s: Vec<C2s>,
    /// HTTP, public and private.
    pub http: Http,
    /// The certificate.
    pub tls: Tls,
    /// How registration codes are sent.
    pub sms: Sms,
    /// Who may register.
    pub registration: Registration,
    /// What clients can use for calls.
    pub calls: Calls,
    /// Files that people send each other.
    pub media: Media,
    /// Bounds.
    pub limits: Limits,
    /// Bounds that rooms declare, by name ([`chaski_services::knobs`]).
    pub knobs: BTreeMap<String, u64>,
    /// The log.
    pub log: Log,
}

/// One listener for clients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct C2s {
    /// Where it listens.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// How TLS begins.
    pub tls: C2sTls,
    /// Allows [`C2sTls::Terminated`] on a public address.
    pub force: bool,
}

/// How TLS begins on a client listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum C2sTls {
    /// Plain until STARTTLS (RFC 6120 §5), which is required.
    Starttls,
    /// From the first byte (XEP-0368).
    Direct,
    /// Not here: a terminator stands in front.
    Terminated,
}

/// The HTTP listeners.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Http {
    /// The public listener.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// How TLS is used on it.
    pub tls: HttpTls,
    /// Allows [`HttpTls::Terminated`] on a public address.
    pub force: bool,
    /// Most connections at once.
    pub connections: usize,
    /// Where clients find this server from outside; empty: from the request.
    pub public_url: String,
    /// Origins of web pages that may ask for registration codes, besides our own.
    pub web_origins: Vec<String>,
    /// Metrics and health; `None`: off.
    #[serde(deserialize_with = "optional_address")]
    pub private_listen: Option<SocketAddr>,
}

/// How TLS is used on the public HTTP listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpTls {
    /// On a loopback address both, told apart by the first byte; elsewhere TLS only.
    Auto,
    /// TLS only.
    Direct,
    /// Plain only: a terminator stands in front.
    Terminated,
}

/// The server's certificate. Both paths or none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// PEM chain; empty: the development certificate.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// Whether sessions can be resumed by ticket.
    pub tickets: bool,
    /// How long a ticket is good for.
    pub ticket_hours: u32,
}

/// How registration codes reach a phone, and what that may cost.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Sms {
    /// Which way.
    pub gateway: SmsGateway,
    /// For `webhook` and `twilio`.
    pub url: String,
    /// For `webhook`: the bearer token.
    pub token: String,
    /// For `twilio`: the account's SID.
    pub account: String,
    /// For `twilio`: the account's token.
    pub account_token: String,
    /// For `twilio`: the sender.
    pub from: String,
    /// For `command`: the program and its leading arguments.
    pub command: Vec<String>,
    /// Most time for one message.
    pub timeout_seconds: u64,
    /// What a message costs, in whatever unit the budgets are in.
    pub price: f64,
    /// The same by calling code, where it is another.
    pub country_prices: BTreeMap<String, f64>,
    /// What all messages may cost in an hour.
    pub budget_per_hour: u32,
    /// What those to one country may.
    pub country_budget_per_hour: u32,
    /// The same by calling code, where it is another.
    pub country_budgets_per_hour: BTreeMap<String, u32>,
    /// Messages to one block of 10,000 numbers in an hour.
    pub block_messages_per_hour: u32,
}

/// Which way registration codes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmsGateway {
    /// Into the server's log.
    Log,
    /// A POST of JSON.
    Webhook,
    /// A POST as Twilio takes it.
    Twilio,
    /// A program.
    Command,
}

/// Who may register.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Registration {
    /// Whether anybody may.
    pub enabled: bool,
    /// Country calling codes served; empty: all.
    pub countries: Vec<String>,
    /// Days of silence after which a number is taken for somebody else's; 0: never.
    pub recycled_after_days: u64,
    /// Whether some accounts have other SCRAM iterations than the rest.
    pub iterations_vary: bool,
    /// Registrations of one number from one network at once.
    pub number_registrations: u32,
    /// And from then on.
    pub number_registrations_per_day: u32,
    /// Messages to one number at once, whoever asks.
    pub number_messages: u32,
    /// And from then on.
    pub number_messages_per_day: u32,
    /// Messages that one network asks for at once.
    pub network_messages: u32,
    /// And from then on.
    pub network_messages_per_hour: u32,
    /// Registrations of all at once.
    pub registrations: u32,
    /// And from then on.
    pub registrations_per_hour: u32,
    /// Wrong PINs of one registration lock at once.
    pub lock_pins: u32,
    /// And from then on.
    pub lock_pins_per_day: u32,
}

/// What clients can use for calls (XEP-0215).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// URIs of STUN and TURN servers; empty: none.
    pub relays: Vec<String>,
    /// What the TURN servers know, too.
    pub secret: String,
    /// How long a login is good for a new call.
    pub login_minutes: u64,
}

/// Bounds on everything that input can grow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Largest stanza.
    pub stanza_bytes: usize,
    /// Largest element before login.
    pub stanza_bytes_before_login: usize,
    /// Most client connections; 0: as the open-files limit allows.
    pub connections: usize,
    /// Most resident memory; 0: four fifths of the machine's.
    pub memory: u64,
    /// Most sessions of one account.
    pub sessions_per_account: usize,
    /// Most messages in a mailbox.
    pub mailbox_messages: u64,
    /// Most bytes in a mailbox.
    pub mailbox_bytes: u64,
    /// Hundredths of it for one sender who is a contact of its owner.
    pub mailbox_contact_percent: u32,
    /// Hundredths of it for one who is not.
    pub mailbox_stranger_percent: u32,
    /// Hundredths of it for all who are not.
    pub mailbox_strangers_percent: u32,
    /// Days until an unfetched message is dropped; 0: never.
    pub mailbox_days: u64,
    /// Bytes that one account may send at once to be stored.
    pub stored_burst_bytes: u64,
    /// The same per second; 0: no bound.
    pub stored_bytes_per_second: u64,
    /// Whether this holds for accounts with a name.
    pub services_have_rate: bool,
    /// Room of the disk that is kept for contacts' messages.
    pub contacts_reserve_bytes: u64,
    /// By how much a busy shard's turns begin apart at least.
    pub turn_gap_us: u64,
    /// How long a lost session can be resumed.
    pub resume_seconds: u64,
    /// Deadline for login.
    pub login_seconds: u64,
    /// Most connections that have not logged in.
    pub logins_waiting: usize,
    /// The same from one network.
    pub logins_waiting_per_network: usize,
    /// Wrong keys and passwords for one account from one network at once.
    pub wrong_keys: u32,
    /// And from then on.
    pub wrong_keys_per_hour: u32,
    /// Wrong keys and passwords for all accounts from one network at once.
    pub network_wrong_keys: u32,
    /// And from then on.
    pub network_wrong_keys_per_hour: u32,
    /// Silence before a connection is probed.
    pub idle_seconds: u64,
    /// Bytes a client may be behind before it is cut.
    pub unsent_bytes: usize,
    /// Bound of a graceful stop.
    pub stop_seconds: u64,
}

/// The log on stderr.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Log {
    /// A level or a filter.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON document a line.
    Json,
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domain: "localhost".into(),
            data: "./chaski-data".into(),
            shards: 0,
            admins: Vec::new(),
            c2s: vec![C2s::default(), C2s { listen: loopback(5223), tls: C2sTls::Direct, force: false }],
            http: Http::default(),
            tls: Tls::default(),
            sms: Sms::default(),
            registration: Registration::default(),
            calls: Calls::default(),
            knobs: declared_knobs(),
            media: Media::default(),
            limits: Limits::default(),
            log: Log::default(),
        }
    }
}

impl Default for C2s {
    fn default() -> Self {
        Self { listen: loopback(5222), tls: C2sTls::Starttls, force: false }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            tls: HttpTls::Auto,
            force: false,
            connections: 4096,
            public_url: String::new(),
            web_origins: Vec::new(),
            private_listen: Some(loopback(9222)),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self { certificate: PathBuf::new(), key: PathBuf::new(), tickets: true, ticket_hours: 24 }
    }
}

impl Default for Sms {
    fn default() -> Self {
        Self {
            gateway: SmsGateway::Log,
            url: String::new(),
            token: String::new(),
            account: String::new(),
            account_token: String::new(),
            from: String::new(),
            command: Vec::new(),
            timeout_seconds: 10,
            price: 1.0,
            country_prices: BTreeMap::new(),
            budget_per_hour: 2_000,
            country_budget_per_hour: 1_000,
            country_budgets_per_hour: BTreeMap::new(),
            block_messages_per_hour: 20,
        }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            enabled: true,
            countries: Vec::new(),
            recycled_after_days: 30,
            iterations_vary: false,
            number_registrations: 5,
            number_registrations_per_day: 5,
            number_messages: 30,
            number_messages_per_day: 12,
            network_messages: 60,
            network_messages_per_hour: 60,
            registrations: 2_000,
            registrations_per_hour: 10_000,
            lock_pins: 5,
            lock_pins_per_day: 2,
        }
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self { relays: Vec::new(), secret: String::new(), login_minutes: 60 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stanza_bytes: 256 * 1024,
            stanza_bytes_before_login: 8 * 1024,
            connections: 0,
            memory: 0,
            sessions_per_account: 16,
            mailbox_messages: 10_000,
            mailbox_bytes: 64 * 1024 * 1024,
            mailbox_contact_percent: 25,
            mailbox_stranger_percent: 10,
            mailbox_strangers_percent: 50,
            mailbox_days: 30,
            stored_burst_bytes: 64 * 1024 * 1024,
            stored_bytes_per_second: 256 * 1024,
            services_have_rate: false,
            contacts_reserve_bytes: 256 * 1024 * 1024,
            turn_gap_us: 1_000,
            resume_seconds: 600,
            login_seconds: 30,
            logins_waiting: 16_384,
            logins_waiting_per_network: 2_048,
            wrong_keys: 10,
            wrong_keys_per_hour: 20,
            network_wrong_keys: 100,
            network_wrong_keys_per_hour: 600,
            idle_seconds: 1200,
            unsent_bytes: 1024 * 1024,
            stop_seconds: 10,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

/// A mistake in the configuration, as one line for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    fn at(file: &str, line: Option<usize>, what: impl std::fmt::Display) -> Self {
        match line {
            Some(line) => Self(format!("{file}: line {line}: {what}")),
            None => Self(format!("{file}: {what}")),
        }
    }
}

/// What the command line overrides.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--domain`
    pub domain: Option<String>,
}

impl Config {
    /// Reads the file (or takes the defaults), applies what the command line overrides, and checks the whole.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let (name, text) = match file {
            None => ("command line".to_string(), String::new()),
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| ConfigError::at(&name, None, format_args!("can't be read: {error}")))?;
                (name, text)
            }
        };
        Self::from_toml(&name, &text, overrides)
    }

    /// The same for a file's text; `name` is what messages call it.
    pub fn from_toml(name: &str, text: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        let document = schema::Document::parse(text).map_err(|m| ConfigError::at(name, m.line, m.what))?;
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| schema::line_at(text, span.start));
            ConfigError::at(name, line, error.message().replace('\n', " "))
        })?;
        if let Some(data) = &overrides.data {
            config.data.clone_from(data);
        }
        if let Some(domain) = &overrides.domain {
            config.domain.clone_from(domain);
        }
        config.domain.make_ascii_lowercase();
        check::check(&config).map_err(|(key, what)| {
            let line = document.line_of(&key);
            let name = if line.is_none() && overrides.domain.is_some() && key == "domain" {
                "--domain"
            } else {
                name
            };
            ConfigError::at(name, line, what)
        })?;
        Ok(config)
    }

    /// How many shards to run: as configured, or one per processor.
    pub fn shard_count(&self) -> u16 {
        match self.shards {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().min(256) as u16),
            n => n,
        }
    }

    /// Whether the development certificate is used.
    pub fn uses_development_certificate(&self) -> bool {
        self.tls.certificate.as_os_str().is_empty()
    }
}

/// All knobs, as nobody has turned them.
fn declared_knobs() -> BTreeMap<String, u64> {
    let knobs = chaski_services::owner::dispatch::knobs();
    knobs.list().iter().map(|named| (named.name.to_owned(), named.knob.get())).collect()
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse_address(&String::deserialize(deserializer)?)
}

fn optional_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { parse_address(&text).map(Some) }
}

fn parse_address<E: serde::de::Error>(text: &str) -> Result<SocketAddr, E> {
    text.parse().map_err(|_| {
        E::custom(format_args!(
            "\"{text}\" is not an address and port such as \"127.0.0.1:5222\" or \"[::]:5222\""
        ))
    })
}

#[cfg(test)]
mod tests;
