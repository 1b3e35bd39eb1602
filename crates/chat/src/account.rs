//! Which account we are and where its server is: from the command line, from the file of an earlier run, from what a server on
//! this machine tells of itself, or by registering.
//!
//! Promises: a key is written only to a file that nobody else can read (0600 in a directory 0700), and whole or not at all.

use crate::failure::ChatError;
use crate::input::Input;
use crate::line::number;
use crate::{Options, Output, Tls, register, say};
use chaski_client::local::{LocalServer, data_home};
use chaski_client::registration::{Host, HostTls};
use chaski_client::target::split_host_port;
use chaski_client::{Device, Security, Settings, Target, Token, Trust};
use chaski_xmpp::BareJid;
use chaski_xmpp::sasl::token::TokenMechanism;
use chaski_xmpp::stream::ClientId;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where a development server in this directory keeps its authority's certificate.
const DEVELOPMENT_CA: &str = "chaski-data/tls/ca.pem";

/// An account that can log in.
#[derive(Debug)]
pub struct Account {
    /// How.
    pub settings: Settings,
    /// The bare JID.
    pub jid: String,
    /// Where it is kept between runs; not if it was given with a password.
    pub profile: Option<Profile>,
}

/// An account's file.
#[derive(Debug)]
pub struct Profile {
    file: PathBuf,
    saved: Saved,
}

impl Profile {
    /// Keeps what the last login has left of the device, if that is something new.
    pub fn keep(&mut self, device: &Device) -> Result<(), ChatError> {
        let (id, token) = (Some(device.id.to_uuid()), device.token.as_ref().map(SavedToken::of));
        if (&self.saved.device, &self.saved.token) == (&id, &token) {
            return Ok(());
        }
        (self.saved.device, self.saved.token) = (id, token);
        write(&self.file, &self.saved)
    }
}

/// What is kept between runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    jid: String,
    key: String,
    /// Where to connect if the command line does not say.
    host: String,
    port: u16,
    /// "starttls" or "direct".
    tls: String,
    /// The authority to trust, if it is not one of the system's.
    ca: Option<PathBuf>,
    /// The UUID of this installation.
    #[serde(default)]
    device: Option<String>,
    /// By which it logs in the next time.
    #[serde(default)]
    token: Option<SavedToken>,
}

/// As good as the key while it lasts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedToken {
    secret: String,
    mechanism: String,
}

impl SavedToken {
    fn of(token: &Token) -> Self {
        Self { secret: token.secret.clone(), mechanism: token.mechanism.name().to_owned() }
    }
}

/// Shows no secret.
impl std::fmt::Debug for SavedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SavedToken({})", self.mechanism)
    }
}

impl Saved {
    /// The same server may listen elsewhere by now.
    fn moved_to(&mut self, near: Option<&LocalServer>) {
        let same = near.filter(|near| self.ca.as_ref() == Some(&near.ca));
        if let Some((at, is_direct)) = same.and_then(LocalServer::client_address) {
            (self.host, self.port) = (at.ip().to_string(), at.port());
            self.tls = if is_direct { "direct" } else { "starttls" }.into();
        }
    }

    /// The installation with its token, or a new one.
    fn device(&self) -> Device {
        let Some(id) = self.device.as_deref().and_then(ClientId::parse) else { return Device::new() };
        let token = self.token.as_ref().and_then(|token| {
            let mechanism = TokenMechanism::from_name(&token.mechanism)?;
            Some(Token { secret: token.secret.clone(), mechanism })
        });
        Device { id, token }
    }
}

/// Finds the account, registers it if there is none.
pub async fn find(options: &Options, input: &mut Input, out: &mut Output) -> Result<Account, ChatError> {
    if let Some(path) = &options.password_file {
        return with_password(options, path);
    }
    let typed = &options.account;
    let number = number(typed).ok_or_else(|| {
        ChatError::Usage(format!(
            "\"{typed}\" is no phone number; write it with its country, e.g. +15550100001"
        ))
    })?;
    let near = nearby(options)?;
    let file = file_of(options, near.as_ref(), &number)?;
    if !options.register
        && let Some(mut saved) = read(&file)?
    {
        saved.moved_to(near.as_ref());
        return of_saved(options, file, saved);
    }
    // Of a damaged file there is nothing to prove anything with.
    let former = read(&file).ok().flatten();
    let host = match (server(options)?, &near) {
        (Some((host, _)), _) => host,
        (None, Some(near)) => near.domain.clone(),
        (None, None) => "localhost".into(),
    };
    let ca = ca_of(options, near.as_ref(), &host);
    let trust = trust(options, ca.as_deref())?;
    let url = options.register_url.clone().unwrap_or_else(|| match &near {
        Some(near) => near.register_url(),
        None if is_this_machine(&host) => "https://localhost:8080".into(),
        None => format!("https://{host}"),
    });
    let previous_key = former.as_ref().map(|saved| saved.key.as_str());
    let registered = register::register(&number, &url, &trust, previous_key, input, out).await?;
    let registered_anew = registered.kept == "nothing";
    let known = near.as_ref().and_then(host_of).or_else(|| registered.hosts.into_iter().next());
    let known = known.unwrap_or(Host { host: registered.domain.clone(), port: 5222, tls: HostTls::Starttls });
    let tls = if known.tls == HostTls::Direct { "direct" } else { "starttls" };
    let ca = ca.map(|ca| std::path::absolute(&ca).unwrap_or(ca));
    let saved = Saved {
        jid: registered.jid,
        key: registered.key,
        host: known.host,
        port: known.port,
        tls: tls.into(),
        ca,
        device: None,
        token: None,
    };
    write(&file, &saved)?;
    say(out, &format!("Registered. The key is in {}.", file.display()))?;
    if former.is_some() && registered_anew {
        say(
            out,
            "The number was silent for long: its account is a new one, and nothing of the old one is there.",
        )?;
    }
    of_saved(options, file, saved)
}

/// An account that exists already, on any XMPP server.
fn with_password(options: &Options, path: &Path) -> Result<Account, ChatError> {
    let text = fs::read_to_string(path)
        .map_err(|source| file_error("can't read the password file", path, source))?;
    let password = text.lines().next().unwrap_or_default().to_owned();
    let named = server(options)?;
    let jid = match number(&options.account) {
        Some(number) => {
            let domain = named.as_ref().map_or("localhost", |(host, _)| host.as_str());
            format!("{number}@{}", if is_this_machine(domain) { "localhost" } else { domain })
        }
        None => options.account.clone(),
    };
    let jid = BareJid::parse(&jid).ok().filter(|jid| jid.local().is_some()).ok_or_else(|| {
        ChatError::Usage(format!("\"{jid}\" is no address; write it as +15550100001 or as user@domain"))
    })?;
    let (host, port) = named.unwrap_or((jid.domain().to_owned(), None));
    let port = port.unwrap_or(if options.tls == Some(Tls::Direct) { 5223 } else { 5222 });
    let near = nearby(options)?.filter(|near| near.domain == jid.domain());
    let ca = ca_of(options, near.as_ref(), &host);
    account(options, jid.as_str(), &password, (host, port, port == 5223), ca.as_deref())
}

fn of_saved(options: &Options, file: PathBuf, saved: Saved) -> Result<Account, ChatError> {
    let profile = saved.clone();
    let ca = options.ca.clone().or(saved.ca);
    let place = match server(options)? {
        Some((host, Some(port))) => {
            let direct = if port == saved.port { saved.tls == "direct" } else { port == 5223 };
            (host, port, direct)
        }
        Some((host, None)) => (host, saved.port, saved.tls == "direct"),
        None => (saved.host, saved.port, saved.tls == "direct"),
    };
    let mut account = account(options, &saved.jid, &saved.key, place, ca.as_deref())?;
    // The server makes a resource for the device: it takes the place of its last session.
    account.settings.resource = Some("chat".into());
    account.settings.device = Some(profile.device());
    account.profile = Some(Profile { file, saved: profile });
    Ok(account)
}

fn account(
    options: &Options,
    jid: &str,
    key: &str,
    (host, port, direct): (String, u16, bool),
    ca: Option<&Path>,
) -> Result<Account, ChatError> {
    let (user, domain) = jid
        .split_once('@')
        .ok_or_else(|| ChatError::Usage(format!("\"{jid}\" is no address of an account")))?;
    let tls = options.tls.unwrap_or(if direct { Tls::Direct } else { Tls::Starttls });
    let security = match tls {
        Tls::None => Security::Plain,
        Tls::Direct => Security::Direct(trust(options, ca)?),
        Tls::Starttls => Security::StartTls(trust(options, ca)?),
    };
    let target = Target { host, port, security, domain: domain.into() };
    let resource = format!("chat-{:08x}", rand::random::<u32>());
    let settings = Settings { resource: Some(resource), ..Settings::new(target, user, key) };
    Ok(Account { settings, jid: jid.into(), profile: None })
}

fn server(options: &Options) -> Result<Option<(String, Option<u16>)>, ChatError> {
    let Some(text) = &options.server else { return Ok(None) };
    match split_host_port(text) {
        Some((host, port)) => Ok(Some((host.to_owned(), port))),
        None => Err(ChatError::Usage(format!("--server {text} is not of the form HOST or HOST:PORT"))),
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The server of this user on this machine that is meant, if there is one: the one named, or else the one of this directory, or else the
/// last that was started. Whoever names an authority or a place to register knows better.
fn nearby(options: &Options) -> Result<Option<LocalServer>, ChatError> {
    if options.ca.is_some() || options.insecure || options.register_url.is_some() {
        return Ok(None);
    }
    let named = server(options)?;
    let is_meant = |near: &LocalServer| match &named {
        None => true,
        Some((host, port)) => {
            let ports = [near.direct, near.starttls].map(|at| at.map(|at| at.port()));
            (*host == near.domain || is_this_machine(host)) && (port.is_none() || ports.contains(port))
        }
    };
    let mut all = data_home().map(|home| LocalServer::all(&home)).unwrap_or_default();
    all.retain(is_meant);
    let here = std::path::absolute(DEVELOPMENT_CA).ok();
    let of_here = all.iter().position(|near| Some(&near.ca) == here.as_ref());
    Ok((!all.is_empty()).then(|| all.swap_remove(of_here.unwrap_or(0))))
}

fn host_of(near: &LocalServer) -> Option<Host> {
    let (at, is_direct) = near.client_address()?;
    let tls = if is_direct { HostTls::Direct } else { HostTls::Starttls };
    Some(Host { host: at.ip().to_string(), port: at.port(), tls })
}

/// The named authority, or that of a development server.
fn ca_of(options: &Options, near: Option<&LocalServer>, host: &str) -> Option<PathBuf> {
    let development =
        || Some(PathBuf::from(DEVELOPMENT_CA)).filter(|path| is_this_machine(host) && path.exists());
    let named = options.ca.clone().or_else(|| near.map(|near| near.ca.clone()));
    named.or_else(development)
}

fn trust(options: &Options, ca: Option<&Path>) -> Result<Trust, ChatError> {
    Ok(match ca {
        _ if options.insecure => Trust::anybody_on_loopback(),
        Some(file) => Trust::file(file)?,
        None => Trust::system()?,
    })
}

/// One file per account and server.
fn file_of(options: &Options, near: Option<&LocalServer>, number: &str) -> Result<PathBuf, ChatError> {
    let dir = options.data.clone().or_else(data_home).ok_or_else(|| {
        ChatError::Usage("there is no home directory for the key; name one with --data DIR".into())
    })?;
    let near = near.map(|near| near.domain.as_str());
    let server = options.server.as_deref().or(near).unwrap_or("localhost");
    let server: String = server
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
        .collect();
    Ok(dir.join(format!("{number}@{server}.json")))
}

fn read(file: &Path) -> Result<Option<Saved>, ChatError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(file_error("can't read", file, source)),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        let file = file.display();
        ChatError::Usage(format!("{file} is damaged ({error}); remove it, or register again with --register"))
    })
}

fn write(file: &Path, saved: &Saved) -> Result<(), ChatError> {
    let text = serde_json::to_string_pretty(saved).expect("strings and numbers are JSON");
    let new = file.with_extension("new");
    let written = (|| {
        if let Some(dir) = file.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        // An older one might be readable by others.
        let _ = fs::remove_file(&new);
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&new, file)
    })();
    written.map_err(|source| file_error("can't keep the key in", file, source))
}

fn file_error(what: &str, path: &Path, source: std::io::Error) -> ChatError {
    ChatError::File { what: format!("{what} {}", path.display()), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_kept_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { data: Some(dir.path().join("keys")), ..Options::default() };
        let file = file_of(&options, None, "+15550100001").unwrap();
        assert!(read(&file).unwrap().is_none());
        let saved = Saved {
            jid: "+15550100001@localhost".into(),
            key: "secret".into(),
            host: "localhost".into(),
            port: 5223,
            tls: "direct".into(),
            ca: None,
            device: None,
            token: None,
        };
        write(&file, &saved).unwrap();
        write(&file, &saved).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(read(&file).unwrap().unwrap().key, "secret");
        let device = Device {
            token: Some(Token { secret: "t".into(), mechanism: TokenMechanism::Exporter }),
            ..Device::new()
        };
        Profile { file: file.clone(), saved }.keep(&device).unwrap();
        let kept = read(&file).unwrap().unwrap();
        assert_eq!((kept.device(), kept.key.as_str()), (device, "secret"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "{").unwrap();
        assert!(read(&file).is_err());
    }

    #[test]
    fn accounts_with_a_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        fs::write(&path, "pass word\nmore").unwrap();
        let options = |account: &str, server: Option<&str>| Options {
            account: account.into(),
            server: server.map(Into::into),
            insecure: true,
            ..Options::default()
        };
        let found = with_password(&options("Bot@Example.org", None), &path).unwrap();
        let Settings { target, user, key, .. } = found.settings;
        assert_eq!((user.as_str(), key.as_str(), target.port), ("bot", "pass word", 5222));
        assert_eq!((target.host.as_str(), target.domain.as_str()), ("example.org", "example.org"));
        let found = with_password(&options("+15550100001", Some("127.0.0.1:5223")), &path).unwrap();
        assert_eq!(
            (found.jid.as_str(), found.settings.target.domain.as_str()),
            ("+15550100001@localhost", "localhost")
        );
        assert!(matches!(found.settings.target.security, Security::Direct(_)));
        assert!(with_password(&options("nobody", None), &path).is_err());
    }
}
