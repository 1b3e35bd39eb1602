//! Where the certificate comes from: the operator's PEM files, or a development certificate of our own.
//!
//! The development certificate is a CA and a leaf (a CA used as a leaf is refused by clients), kept in the data
//! directory's `tls/`: `ca.pem` (to be trusted by development clients), `ca-key.pem`, `cert.pem`, `key.pem` (keys with
//! mode 0600). The leaf covers whatever clients may call the server: the domain, `localhost`, the machine's name if it listens to more
//! than itself, and each address that it listens on ([`names`]). It is issued anew by the same CA when it is near its end or
//! lacks a name, so that clients that trust the CA never notice.
//!
//! Called by `serve` at start and on SIGHUP. Promise: an error names the file and what to do.

use crate::TlsIdentity;
use crate::config::Config;
use chaski_tls::tickets::Tickets;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

const DAY_SECONDS: i64 = 86_400;
const CA_DAYS: i64 = 3_650;
/// The most that clients accept of a leaf (CA/Browser Forum's limit of 2020).
const LEAF_DAYS: i64 = 397;
const RENEW_DAYS: i64 = 30;

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CertificateError(String);

/// A certificate to serve with, and what to tell the operator about it.
#[derive(Debug)]
pub struct Certificate {
    /// For the edge and HTTP.
    pub identity: TlsIdentity,
    /// The development CA's file, which clients have to trust; `None` with the operator's own certificate.
    pub ca_file: Option<PathBuf>,
    /// What is odd but no reason not to start: expired, or not for the domain.
    pub warnings: Vec<String>,
}

/// Loads the configured certificate, or makes or renews the development certificate.
///
/// `tickets`: by which TLS sessions can be resumed, if the configuration has that on.
pub fn load(
    config: &Config,
    now_unix_seconds: i64,
    tickets: Option<&Tickets>,
) -> Result<Certificate, CertificateError> {
    if config.uses_development_certificate() {
        let files = Development::in_data(&config.data);
        files.ensure(&names(config), now_unix_seconds)?;
        let identity = read_identity((&files.cert, &files.key), "the development certificate", tickets)?;
        return Ok(Certificate { identity, ca_file: Some(files.ca), warnings: Vec::new() });
    }
    let identity = read_identity((&config.tls.certificate, &config.tls.key), "tls.certificate", tickets)?;
    let chain = read_chain(&config.tls.certificate, "tls.certificate")?;
    let warnings = leaf_problems(&chain[0], &config.domain, now_unix_seconds)
        .into_iter()
        .map(|problem| format!("tls.certificate {} {problem}", config.tls.certificate.display()))
        .collect();
    Ok(Certificate { identity, ca_file: None, warnings })
}

/// Every name and address by which a client can reach the listeners, the domain first.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec![config.domain.clone(), "localhost".into(), "127.0.0.1".into(), "::1".into()];
    let listening = config.c2s.iter().map(|c2s| c2s.listen).chain([config.http.listen]);
    for ip in listening.map(|listen| listen.ip()) {
        match ip.is_unspecified() {
            true => names.extend(of_this_machine()),
            false => names.push(ip.to_string()),
        }
    }
    let public = config.http.public_url.parse::<axum::http::Uri>().ok();
    names.extend(public.and_then(|url| url.host().map(|host| host.trim_matches(['[', ']']).to_owned())));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.to_ascii_lowercase()));
    names
}

/// The machine's name and all its addresses, as far as they can be told.
fn of_this_machine() -> Vec<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    let is_name = |name: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
        !name.is_empty() && name.len() < 64 && name.bytes().all(legal)
    };
    let addresses = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = addresses.into_iter().map(|interface| interface.ip()).filter(|ip| !is_link_local(*ip));
    is_name(&name).then_some(name).into_iter().chain(addresses.map(|ip| ip.to_string())).collect()
}

/// Such an address (IPv6) is reached by naming the interface too, which no certificate can.
fn is_link_local(ip: std::net::IpAddr) -> bool {
    matches!(ip, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn read_chain(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let shown = path.display();
    let bytes =
        fs::read(path).map_err(|error| CertificateError(format!("{what} {shown} can't be read: {error}")))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(CertificateError(format!(
            "{what} {shown} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
        ))),
    }
}

fn read_identity(
    (cert, key): (&Path, &Path),
    what: &str,
    tickets: Option<&Tickets>,
) -> Result<TlsIdentity, CertificateError> {
    let chain = read_chain(cert, what)?;
    let shown = key.display();
    let bytes =
        fs::read(key).map_err(|error| CertificateError(format!("tls.key {shown} can't be read: {error}")))?;
    let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        CertificateError(format!(
            "tls.key {shown} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"
        ))
    })?;
    TlsIdentity::new(chain, private, tickets.cloned()).map_err(|error| {
        CertificateError(format!("{what} {} and tls.key {shown} don't go together: {error}", cert.display()))
    })
}

/// What is wrong with a leaf certificate for this domain at this time.
fn leaf_problems(leaf: &CertificateDer<'_>, domain: &str, now: i64) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
        return vec!["can't be understood, so its dates and names are not checked".into()];
    };
    let mut problems = Vec::new();
    let days_left = (parsed.validity().not_after.timestamp() - now).div_euclid(DAY_SECONDS);
    if days_left < 0 {
        problems.push("has expired: clients will refuse it".to_string());
    } else if days_left < 14 {
        problems.push(format!("expires in {days_left} days"));
    }
    if parsed.validity().not_before.timestamp() > now {
        problems.push("is not valid yet: clients will refuse it".to_string());
    }
    if !covers(&parsed, domain) {
        problems.push(format!("is not for {domain}: clients will refuse it"));
    }
    problems
}

fn covers(certificate: &X509Certificate<'_>, domain: &str) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| match name {
        GeneralName::DNSName(name) => match name.strip_prefix("*.") {
            Some(parent) => domain.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
            None => name.eq_ignore_ascii_case(domain),
        },
        GeneralName::IPAddress(bytes) => match domain.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(ip)) => *bytes == ip.octets(),
            Ok(std::net::IpAddr::V6(ip)) => *bytes == ip.octets(),
            Err(_) => false,
        },
        _ => false,
    })
}

/// The development certificate's files.
#[derive(Debug)]
struct Development {
    dir: PathBuf,
    ca: PathBuf,
    ca_key: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Development {
    fn in_data(data: &Path) -> Self {
        let dir = data.join("tls");
        Self {
            ca: dir.join("ca.pem"),
            ca_key: dir.join("ca-key.pem"),
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
            dir,
        }
    }

    fn ensure(&self, names: &[String], now: i64) -> Result<(), CertificateError> {
        fs::create_dir_all(&self.dir).map_err(|error| self.failed("create", &self.dir, &error))?;
        if self.is_good(&self.ca, CA_DAYS / 10, now, None).is_err()
            || KeyPair::from_pem(&self.text(&self.ca_key)).is_err()
        {
            self.make_ca(now)?;
        }
        if self.is_good(&self.cert, RENEW_DAYS, now, Some(names)).is_err() || !self.key.exists() {
            self.make_leaf(names, now)?;
        }
        Ok(())
    }

    fn text(&self, path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Whether the certificate is there, has `days` left, and (a leaf) is the CA's and for all these names.
    fn is_good(&self, path: &Path, days: i64, now: i64, leaf_of: Option<&[String]>) -> Result<(), ()> {
        let der = CertificateDer::from_pem_file(path).map_err(drop)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(drop)?;
        let good = parsed.validity().not_after.timestamp() - now > days * DAY_SECONDS;
        let good = good && parsed.validity().not_before.timestamp() <= now;
        let Some(names) = leaf_of else { return good.then_some(()).ok_or(()) };
        let ca = CertificateDer::from_pem_file(&self.ca).map_err(drop)?;
        let (_, ca) = X509Certificate::from_der(&ca).map_err(drop)?;
        let issued = parsed.verify_signature(Some(ca.public_key())).is_ok();
        (good && issued && names.iter().all(|name| covers(&parsed, name))).then_some(()).ok_or(())
    }

    fn make_ca(&self, now: i64) -> Result<(), CertificateError> {
        let key = KeyPair::generate().map_err(|error| self.made(&error))?;
        let mut params = CertificateParams::new(Vec::new()).map_err(|error| self.made(&error))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // The key's beginning in the name tells the CAs of several servers apart in a client's list.
        let mark: String =
            key.public_key_raw().iter().rev().take(4).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("Chaski development CA {mark}"));
        (params.not_before, params.not_after) =
            (moment(now - DAY_SECONDS), moment(now + CA_DAYS * DAY_SECONDS));
        let ca = params.self_signed(&key).map_err(|error| self.made(&error))?;
        self.write(&self.ca_key, &key.serialize_pem(), 0o600)?;
        self.write(&self.ca, &ca.pem(), 0o644)
    }

    fn make_leaf(&self, names: &[String], now: i64) -> Result<(), CertificateError> {
        let ca_key = KeyPair::from_pem(&self.text(&self.ca_key)).map_err(|error| self.made(&error))?;
        let issuer =
            Issuer::from_ca_cert_pem(&self.text(&self.ca), ca_key).map_err(|error| self.made(&error))?;
        let key = KeyPair::generate().map_err(|error| self.made(&error))?;
        let mut params = CertificateParams::new(names).map_err(|error| self.made(&error))?;
        params.distinguished_name.push(DnType::CommonName, names[0].chars().take(64).collect::<String>());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) =
            (moment(now - DAY_SECONDS), moment(now + LEAF_DAYS * DAY_SECONDS));
        let leaf = params.signed_by(&key, &issuer).map_err(|error| self.made(&error))?;
        self.write(&self.key, &key.serialize_pem(), 0o600)?;
        self.write(&self.cert, &leaf.pem(), 0o644)
    }

    /// Writes beside the place and renames, so that a crash never leaves half a file.
    fn write(&self, path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
        let beside = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let _ = fs::remove_file(&beside);
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, path)
        };
        write().map_err(|error| self.failed("write", path, &error))
    }

    fn failed(&self, verb: &str, path: &Path, error: &std::io::Error) -> CertificateError {
        CertificateError(format!("can't {verb} {} for the development certificate: {error}", path.display()))
    }

    fn made(&self, error: &rcgen::Error) -> CertificateError {
        let dir = self.dir.display();
        CertificateError(format!(
            "can't make the development certificate in {dir}: {error}; remove that directory to begin anew"
        ))
    }
}

fn moment(unix_seconds: i64) -> time::OffsetDateTime {
    // X.509 in this form ends with the year 2049; whoever runs with such a clock gets the last day.
    let clamped = unix_seconds.clamp(0, 2_500_000_000);
    ASN1Time::from_timestamp(clamped).map_or(time::OffsetDateTime::UNIX_EPOCH, |time| time.to_datetime())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: i64 = 1_800_000_000;

    fn config(dir: &Path) -> Config {
        Config { data: dir.to_path_buf(), domain: "chat.example".into(), ..Config::default() }
    }

    fn leaf_and_ca(dir: &Path) -> (String, String) {
        (
            fs::read_to_string(dir.join("tls/cert.pem")).unwrap(),
            fs::read_to_string(dir.join("tls/ca.pem")).unwrap(),
        )
    }

    #[test]
    fn the_development_certificate_is_made_once_and_renewed_by_the_same_ca() {
        let dir = tempfile::tempdir().unwrap();
        let made = load(&config(dir.path()), NOW, None).unwrap();
        assert_eq!(made.ca_file.unwrap(), dir.path().join("tls/ca.pem"));
        let first = leaf_and_ca(dir.path());

        load(&config(dir.path()), NOW + 300 * DAY_SECONDS, None).unwrap();
        assert_eq!(leaf_and_ca(dir.path()), first, "nothing changes while the leaf is good");

        load(&config(dir.path()), NOW + 380 * DAY_SECONDS, None).unwrap();
        let second = leaf_and_ca(dir.path());
        assert_ne!(second.0, first.0, "the leaf is renewed near its end");
        assert_eq!(second.1, first.1, "the CA stays");

        let other = Config { domain: "other.example".into(), ..config(dir.path()) };
        load(&other, NOW + 380 * DAY_SECONDS, None).unwrap();
        let third = leaf_and_ca(dir.path());
        assert!(third.0 != second.0 && third.1 == second.1, "another domain needs another leaf");
    }

    #[test]
    fn the_leaf_is_issued_by_the_ca_for_domain_and_loopback() {
        let dir = tempfile::tempdir().unwrap();
        load(&config(dir.path()), NOW, None).unwrap();
        let read = |name: &str| CertificateDer::from_pem_file(dir.path().join("tls").join(name)).unwrap();
        let (leaf, ca) = (read("cert.pem"), read("ca.pem"));
        let (leaf, ca) =
            (X509Certificate::from_der(&leaf).unwrap().1, X509Certificate::from_der(&ca).unwrap().1);
        leaf.verify_signature(Some(ca.public_key())).unwrap();
        assert!(ca.is_ca() && !leaf.is_ca());
        for name in ["chat.example", "localhost", "127.0.0.1", "::1"] {
            assert!(covers(&leaf, name), "{name}");
        }
        assert!(!covers(&leaf, "example"));
        for key in ["key.pem", "ca-key.pem"] {
            let mode = fs::metadata(dir.path().join("tls").join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
    }

    #[test]
    fn the_leaf_is_for_each_address_and_name_that_is_listened_on() {
        let dir = tempfile::tempdir().unwrap();
        let leaf = |config: &Config| {
            load(config, NOW, None).unwrap();
            fs::read(dir.path().join("tls/cert.pem")).unwrap()
        };
        let is_for = |pem: &[u8], name: &str| {
            covers(&X509Certificate::from_der(&CertificateDer::from_pem_slice(pem).unwrap()).unwrap().1, name)
        };
        let before = leaf(&config(dir.path()));
        let mut named = config(dir.path());
        named.c2s[0].listen = "192.0.2.7:5222".parse().unwrap();
        named.http.listen = "[2001:db8::7]:443".parse().unwrap();
        named.http.public_url = "https://web.example:8443/x".into();
        let after = leaf(&named);
        for name in ["192.0.2.7", "2001:db8::7", "web.example", "chat.example", "localhost"] {
            assert!(is_for(&after, name), "{name}");
            assert_eq!(is_for(&before, name), ["chat.example", "localhost"].contains(&name), "{name}");
        }
        let mut everywhere = config(dir.path());
        everywhere.c2s[0].listen = "0.0.0.0:5222".parse().unwrap();
        let leaf = leaf(&everywhere);
        for interface in if_addrs::get_if_addrs().unwrap() {
            let ip = interface.ip();
            assert!(is_link_local(ip) || is_for(&leaf, &ip.to_string()), "{ip}");
        }
    }

    #[test]
    fn an_operators_certificate_is_loaded_and_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        load(&config(dir.path()), NOW, None).unwrap();
        let mut own = config(dir.path());
        own.tls.certificate = dir.path().join("tls/cert.pem");
        own.tls.key = dir.path().join("tls/key.pem");
        let loaded = load(&own, NOW, None).unwrap();
        assert!(loaded.ca_file.is_none() && loaded.warnings.is_empty());
        own.domain = "elsewhere.example".into();
        assert!(load(&own, NOW, None).unwrap().warnings[0].contains("is not for elsewhere.example"));
        assert!(load(&own, NOW + 500 * DAY_SECONDS, None).unwrap().warnings[0].contains("has expired"));
    }

    #[test]
    fn mistakes_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        load(&config(dir.path()), NOW, None).unwrap();
        let tls = dir.path().join("tls");
        let try_with = |cert: &str, key: &str| {
            let mut own = config(dir.path());
            (own.tls.certificate, own.tls.key) = (tls.join(cert), tls.join(key));
            let error = load(&own, NOW, None).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
            error
        };
        assert!(try_with("none.pem", "key.pem").contains("none.pem can't be read: No such file"));
        assert!(try_with("key.pem", "key.pem").contains("holds no certificate"));
        assert!(try_with("cert.pem", "cert.pem").contains("holds no private key"));
        assert!(try_with("cert.pem", "ca-key.pem").contains("don't go together"));
    }
}
