//! From the configuration to what registration needs.

use crate::config::{C2sTls, Config};
use chaski_services::accounts::phone::Countries;
use chaski_services::accounts::registration::Policy;
use serde::Serialize;

const DAY_MS: u64 = 24 * 3_600_000;

/// A place where a registered client can connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// A host name or address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How TLS begins there.
    pub tls: HostTls,
}

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostTls {
    /// After `<starttls/>`.
    Starttls,
    /// At once.
    Direct,
}

impl Host {
    /// The listeners of the configuration under the name of the domain, direct TLS first. What a TLS terminator offers is
    /// not known here.
    pub fn all(config: &Config) -> Vec<Self> {
        let mut hosts: Vec<Self> = config
            .c2s
            .iter()
            .filter_map(|listener| {
                let tls = match listener.tls {
                    C2sTls::Direct => HostTls::Direct,
                    C2sTls::Starttls => HostTls::Starttls,
                    C2sTls::Terminated => return None,
                };
                Some(Self { host: config.domain.clone(), port: listener.listen.port(), tls })
            })
            .collect();
        hosts.sort_by_key(|host| host.tls == HostTls::Starttls);
        hosts
    }
}

/// The policy that the configuration asks for. `voice`: whether the gateway makes calls.
pub fn policy(config: &Config, voice: bool) -> Result<Policy, String> {
    let countries = Countries::from_codes(&config.registration.countries)
        .map_err(|mistake| format!("registration.countries: {mistake}"))?;
    let recycled_after_ms = match config.registration.recycled_after_days {
        0 => u64::MAX,
        days => days.saturating_mul(DAY_MS),
    };
    let enabled = config.registration.enabled;
    Ok(Policy { enabled, countries, voice, recycled_after_ms, ..Policy::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_default_configuration() {
        let config = Config::default();
        let hosts = serde_json::to_value(Host::all(&config)).unwrap();
        let expected = serde_json::json!([
            {"host": "localhost", "port": 5223, "tls": "direct"},
            {"host": "localhost", "port": 5222, "tls": "starttls"},
        ]);
        assert_eq!(hosts, expected);
        let by_default = policy(&config, true).unwrap();
        assert!(by_default.voice);
        assert_eq!(by_default.recycled_after_ms, 30 * DAY_MS);
        let mut never = Config::default();
        never.registration.recycled_after_days = 0;
        assert_eq!(policy(&never, false).unwrap().recycled_after_ms, u64::MAX);
    }
}
