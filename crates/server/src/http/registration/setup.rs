//! From the configuration to what registration needs.

use crate::config::{C2sTls, Config, Sms};
use chaski_services::account::phone::Countries;
use chaski_services::allowance::Allowance;
use chaski_services::rooms::accounts::registration::{Policy, Prices, TestNumbers};
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
    let registration = &config.registration;
    Ok(Policy {
        enabled: registration.enabled,
        countries,
        voice,
        recycled_after_ms,
        number_registrations: per_day(
            registration.number_registrations,
            registration.number_registrations_per_day,
        ),
        number_messages: per_day(registration.number_messages, registration.number_messages_per_day),
        network_messages: Allowance::per_hour(
            registration.network_messages,
            registration.network_messages_per_hour,
        ),
        all_registrations: Allowance::per_hour(
            registration.registrations,
            registration.registrations_per_hour,
        ),
        lock_pins: per_day(registration.lock_pins, registration.lock_pins_per_day),
        block_messages: an_hours_worth(config.sms.block_messages_per_hour),
        prices: prices(&config.sms)?,
        test_numbers: TestNumbers::default(),
    })
}

fn per_day(burst: u32, per_day: u32) -> Allowance {
    Allowance { burst, interval_ms: DAY_MS / u64::from(per_day.max(1)) }
}

fn an_hours_worth(per_hour: u32) -> Allowance {
    Allowance::per_hour(per_hour, per_hour)
}

fn prices(sms: &Sms) -> Result<Prices, String> {
    let code = |country: &String| {
        country.parse::<u16>().map_err(|_| format!("sms: \"{country}\" is not a calling code such as \"49\""))
    };
    // Checked to be small and not negative when the configuration was read.
    let thousandths = |price: f64| (price * 1_000.0).round() as u32;
    let of_country = sms.country_prices.iter();
    let budgets = sms.country_budgets_per_hour.iter();
    Ok(Prices {
        price_thousandths: thousandths(sms.price),
        of_country: of_country
            .map(|(country, price)| Ok((code(country)?, thousandths(*price))))
            .collect::<Result<_, String>>()?,
        country_budget: an_hours_worth(sms.country_budget_per_hour),
        budgets: budgets
            .map(|(country, budget)| Ok((code(country)?, an_hours_worth(*budget))))
            .collect::<Result<_, String>>()?,
        budget: an_hours_worth(sms.budget_per_hour),
    })
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
        let default = Policy { voice: true, ..Policy::default() };
        assert_eq!(format!("{by_default:?}"), format!("{default:?}"), "the two say the same");
    }

    #[test]
    fn prices_and_budgets_of_countries() {
        let mut config = Config::default();
        config.sms.price = 0.02;
        config.sms.country_prices = [("49".to_owned(), 0.075)].into();
        config.sms.country_budgets_per_hour = [("44".to_owned(), 7)].into();
        let prices = policy(&config, false).unwrap().prices;
        assert_eq!((prices.price_thousandths(49), prices.price_thousandths(1)), (75, 20));
        assert_eq!(prices.budgets[&44], Allowance::per_hour(7, 7));
    }
}
