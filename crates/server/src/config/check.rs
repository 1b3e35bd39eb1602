//! Whether the values make sense together.

use super::{C2sTls, Config, HttpTls, SmsGateway};
use chaski_services::owner::dispatch;
use chaski_services::realm::relays::{RELAYS_MAX, Relay};
use std::net::{IpAddr, SocketAddr};

/// A key, as [`super::schema::Document::line_of`] takes it, and what is wrong with its value.
type Wrong = (String, String);

pub(super) fn check(config: &Config) -> Result<(), Wrong> {
    domain(config)?;
    admins(config)?;
    listeners(config)?;
    clashes(config)?;
    certificate(config)?;
    sms(config)?;
    costs(config)?;
    registration(config)?;
    calls(config)?;
    knobs(config)?;
    media(config)?;
    limits(config)
}

fn wrong<T>(key: &str, what: impl Into<String>) -> Result<T, Wrong> {
    Err((key.to_string(), what.into()))
}

fn domain(config: &Config) -> Result<(), Wrong> {
    let domain = &config.domain;
    let label = |label: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.len() > 253 || !domain.split('.').all(label) {
        let what = format!(
            "domain \"{domain}\" is not a host name such as \"chat.example.org\" (ASCII, \"xn--\" for others)"
        );
        return wrong("domain", what);
    }
    Ok(())
}

fn admins(config: &Config) -> Result<(), Wrong> {
    for admin in &config.admins {
        let right = admin
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && domain.eq_ignore_ascii_case(&config.domain));
        if !right {
            let what = format!(
                "\"{admin}\" in admins is not an address of this server such as \"boss@{}\"",
                config.domain
            );
            return wrong("admins", what);
        }
        if admin.starts_with('+') {
            let what = format!(
                "\"{admin}\" in admins is a phone number: whoever reads its SMS could take the server with it; make an account with a \
                 name (chaski ctl account add boss) and list that"
            );
            return wrong("admins", what);
        }
    }
    Ok(())
}

fn listeners(config: &Config) -> Result<(), Wrong> {
    if config.c2s.is_empty() {
        return wrong("c2s", "c2s must name at least one listener");
    }
    for (index, c2s) in config.c2s.iter().enumerate() {
        if c2s.tls == C2sTls::Terminated && !c2s.force && !c2s.listen.ip().is_loopback() {
            return wrong(&format!("c2s[{index}].listen"), terminated_in_public(c2s.listen));
        }
    }
    let http = &config.http;
    if http.tls == HttpTls::Terminated && !http.force && !http.listen.ip().is_loopback() {
        return wrong("http.listen", terminated_in_public(http.listen));
    }
    let url = &http.public_url;
    if !(url.is_empty() || url.starts_with("https://") || url.starts_with("http://")) {
        return wrong("http.public_url", "http.public_url must begin with \"https://\" (or \"http://\")");
    }
    for origin in &http.web_origins {
        let at = origin.split_once("://").map(|(_, at)| at.trim_end_matches('/'));
        if at.is_none_or(|at| at.is_empty() || at.contains(['/', '@', '*'])) {
            let what =
                format!("\"{origin}\" in http.web_origins is no origin such as \"https://app.example.org\"");
            return wrong("http.web_origins", what);
        }
    }
    Ok(())
}

fn terminated_in_public(listen: SocketAddr) -> String {
    format!(
        "\"terminated\" on {listen} would take passwords unencrypted from the network; listen on a loopback address, \
         or set force = true if a private network lies between the TLS terminator and this server"
    )
}

/// Two listeners on one port; port 0 is for tests and never clashes.
fn clashes(config: &Config) -> Result<(), Wrong> {
    let mut taken: Vec<(String, SocketAddr)> = Vec::new();
    let c2s = config.c2s.iter().enumerate().map(|(index, c2s)| (format!("c2s[{index}].listen"), c2s.listen));
    let http = [("http.listen".to_string(), Some(config.http.listen))];
    let private = [("http.private_listen".to_string(), config.http.private_listen)];
    let media = [("media.listen".to_string(), config.media.listen.filter(|_| config.media.enabled))];
    let http = http.into_iter().chain(private).chain(media).filter_map(|(key, addr)| Some((key, addr?)));
    for (key, listen) in c2s.chain(http) {
        let clash = |other: &&(String, SocketAddr)| {
            let same = other.1.ip() == listen.ip() || any(other.1.ip()) || any(listen.ip());
            listen.port() != 0 && other.1.port() == listen.port() && same
        };
        if let Some((other, _)) = taken.iter().find(clash) {
            return wrong(&key, format!("{key} {listen} is already taken by {other}; give it another port"));
        }
        taken.push((key, listen));
    }
    Ok(())
}

fn any(ip: IpAddr) -> bool {
    ip.is_unspecified()
}

fn certificate(config: &Config) -> Result<(), Wrong> {
    let given = (!config.tls.certificate.as_os_str().is_empty(), !config.tls.key.as_os_str().is_empty());
    match given {
        (true, false) => wrong("tls.certificate", "tls.certificate needs tls.key beside it"),
        (false, true) => wrong("tls.key", "tls.key needs tls.certificate beside it"),
        // RFC 8446 §4.6.1: a week at most.
        _ if !(1..=168).contains(&config.tls.ticket_hours) => {
            wrong("tls.ticket_hours", "tls.ticket_hours must lie between 1 and 168")
        }
        _ => Ok(()),
    }
}

fn sms(config: &Config) -> Result<(), Wrong> {
    let sms = &config.sms;
    let needed: &[(&str, bool)] = match sms.gateway {
        SmsGateway::Log => &[],
        SmsGateway::Webhook => &[("webhook\" needs sms.url", sms.url.is_empty())],
        SmsGateway::Twilio => &[
            ("twilio\" needs sms.url", sms.url.is_empty()),
            ("twilio\" needs sms.account", sms.account.is_empty()),
            ("twilio\" needs sms.account_token", sms.account_token.is_empty()),
            ("twilio\" needs sms.from", sms.from.is_empty()),
        ],
        SmsGateway::Command => &[("command\" needs sms.command", sms.command.is_empty())],
    };
    for (what, missing) in needed {
        if *missing {
            return wrong("sms.gateway", format!("sms.gateway \"{what}"));
        }
    }
    if !(1..=120).contains(&sms.timeout_seconds) {
        return wrong("sms.timeout_seconds", "sms.timeout_seconds must lie between 1 and 120");
    }
    Ok(())
}

fn registration(config: &Config) -> Result<(), Wrong> {
    let registration = &config.registration;
    for country in &registration.countries {
        calling_code("registration.countries", country)?;
    }
    let counts: [(&str, u32); 10] = [
        ("registration.number_registrations", registration.number_registrations),
        ("registration.number_registrations_per_day", registration.number_registrations_per_day),
        ("registration.number_messages", registration.number_messages),
        ("registration.number_messages_per_day", registration.number_messages_per_day),
        ("registration.network_messages", registration.network_messages),
        ("registration.network_messages_per_hour", registration.network_messages_per_hour),
        ("registration.registrations", registration.registrations),
        ("registration.registrations_per_hour", registration.registrations_per_hour),
        ("registration.lock_pins", registration.lock_pins),
        ("registration.lock_pins_per_day", registration.lock_pins_per_day),
    ];
    between(&counts)?;
    // Five codes a registration: one network must not be able to use up what there is for a number.
    if registration.number_messages <= registration.number_registrations.saturating_mul(5) {
        let what = "registration.number_messages must be more than five times registration.number_registrations, \
                    or one network could keep a number from registering";
        return wrong("registration.number_messages", what);
    }
    Ok(())
}

fn calling_code(key: &str, country: &str) -> Result<(), Wrong> {
    if (1..=3).contains(&country.len()) && country.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    wrong(key, format!("\"{country}\" in {key} is not a calling code such as \"49\""))
}

fn between(counts: &[(&str, u32)]) -> Result<(), Wrong> {
    for (key, value) in counts {
        if !(1..=1_000_000).contains(value) {
            return wrong(key, format!("{key} must lie between 1 and 1000000"));
        }
    }
    Ok(())
}

/// Prices and budgets. What costs more than there ever is could never be sent.
fn costs(config: &Config) -> Result<(), Wrong> {
    let sms = &config.sms;
    between(&[
        ("sms.budget_per_hour", sms.budget_per_hour),
        ("sms.country_budget_per_hour", sms.country_budget_per_hour),
        ("sms.block_messages_per_hour", sms.block_messages_per_hour),
    ])?;
    let least = f64::from(sms.budget_per_hour.min(sms.country_budget_per_hour));
    let price = |key: &str, price: f64, most: f64| {
        if (0.001..=most).contains(&price) {
            return Ok(());
        }
        wrong(
            key,
            format!("{key}: a price must lie between 0.001 and what an hour's messages may cost ({most})"),
        )
    };
    price("sms.price", sms.price, least)?;
    for (country, of_country) in &sms.country_prices {
        calling_code("sms.country_prices", country)?;
        let budget = sms.country_budgets_per_hour.get(country).copied();
        let budget = budget.unwrap_or(sms.country_budget_per_hour).min(sms.budget_per_hour);
        price("sms.country_prices", *of_country, f64::from(budget))?;
    }
    for (country, budget) in &sms.country_budgets_per_hour {
        calling_code("sms.country_budgets_per_hour", country)?;
        between(&[("sms.country_budgets_per_hour", *budget)])?;
        if !sms.country_prices.contains_key(country) {
            price("sms.country_budgets_per_hour", sms.price, f64::from(*budget))?;
        }
    }
    Ok(())
}

/// Shortest secret that nobody guesses from a login, which shows what was made by it.
const SECRET_BYTES_MIN: usize = 16;

fn calls(config: &Config) -> Result<(), Wrong> {
    let calls = &config.calls;
    let mut wants_secret = false;
    for uri in &calls.relays {
        match Relay::parse(uri) {
            Ok(relay) => wants_secret |= relay.wants_login(),
            Err(why) => return wrong("calls.relays", format!("\"{uri}\" in calls.relays {why}")),
        }
    }
    if calls.relays.len() > RELAYS_MAX {
        return wrong("calls.relays", format!("calls.relays names more than {RELAYS_MAX}"));
    }
    if wants_secret && calls.secret.len() < SECRET_BYTES_MIN {
        let what = format!(
            "\"turn\" and \"turns\" in calls.relays need calls.secret, which coturn has as static-auth-secret, of at least \
             {SECRET_BYTES_MIN} characters"
        );
        return wrong("calls.secret", what);
    }
    if !(5..=1_440).contains(&calls.login_minutes) {
        return wrong("calls.login_minutes", "calls.login_minutes must lie between 5 and 1440");
    }
    Ok(())
}

fn knobs(config: &Config) -> Result<(), Wrong> {
    let known = dispatch::knobs();
    for (name, value) in &config.knobs {
        if let Err(error) = known.turn(name, *value) {
            return wrong(&format!("knobs.{name}"), format!("in [knobs], {error}"));
        }
    }
    Ok(())
}

fn media(config: &Config) -> Result<(), Wrong> {
    let media = &config.media;
    let url = &media.public_url;
    let name = url.strip_prefix("https://").map(|at| at.split(['/', ':']).next().unwrap_or_default());
    let is_name = |name: &str| {
        !name.is_empty() && name.parse::<IpAddr>().is_err() && !name.contains(['[', '@', '?', '#'])
    };
    if !url.is_empty() && !name.is_some_and(is_name) {
        let what = format!(
            "media.public_url \"{url}\" is not such as \"https://files.example.org\": clients take https with a name only"
        );
        return wrong("media.public_url", what);
    }
    if let Some(listen) = media.listen
        && config.http.tls == HttpTls::Terminated
        && !config.http.force
        && !listen.ip().is_loopback()
    {
        return wrong("media.listen", terminated_in_public(listen));
    }
    if !media.slow_folder.as_os_str().is_empty() && media.slow_folder == media.folder {
        return wrong("media.slow_folder", "media.slow_folder must be another than media.folder");
    }
    let is_url = ["http://", "https://"].iter().any(|scheme| media.s3_endpoint.starts_with(scheme));
    if !media.s3_bucket.is_empty() && !is_url {
        let what = "media.s3_bucket needs media.s3_endpoint, such as \"https://s3.example.org\"";
        return wrong("media.s3_endpoint", what);
    }
    // A piece of 48 KiB for each in less than half a minute.
    let slowest = media.transfers as u64 * 1_700;
    let pace = if media.bytes_per_second == 0 { slowest } else { media.bytes_per_second };
    let ranges: [(&str, u64, u64, u64); 11] = [
        ("media.max_file_bytes", media.max_file_bytes, 1, 1 << 40),
        ("media.expire_days", media.expire_days, 1, 36_500),
        ("media.quota_bytes", media.quota_bytes, media.max_file_bytes.saturating_add(4_096), 1 << 50),
        ("media.uploads", media.uploads.into(), 1, 1_000_000),
        ("media.upload_bytes", media.upload_bytes, media.max_file_bytes, 1 << 50),
        ("media.transfers", media.transfers as u64, 1, 100_000),
        ("media.transfers_per_network", media.transfers_per_network as u64, 1, 100_000),
        ("media.unfinished_per_account", media.unfinished_per_account as u64, 1, 10_000),
        ("media.unfinished_hours", media.unfinished_hours, 1, 720),
        ("media.bytes_per_second", pace, slowest, 1 << 50),
        ("media.threads", media.threads as u64, 1, 256),
    ];
    for (key, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            return wrong(key, format!("{key} must lie between {least} and {most}"));
        }
    }
    Ok(())
}

/// What an empty server needs, with room to work.
const MEMORY_MIN: u64 = 64 << 20;

fn limits(config: &Config) -> Result<(), Wrong> {
    let limits = &config.limits;
    let ranges: [(&str, u64, u64, u64); 20] = [
        // RFC 6120 §13.12: a server must take stanzas of 10,000 bytes.
        ("limits.stanza_bytes", limits.stanza_bytes as u64, 10_000, 16 * 1024 * 1024),
        ("limits.stanza_bytes_before_login", limits.stanza_bytes_before_login as u64, 2_048, 65_536),
        ("limits.sessions_per_account", limits.sessions_per_account as u64, 1, 1_000),
        ("limits.mailbox_messages", limits.mailbox_messages, 1, u64::from(u32::MAX)),
        ("limits.mailbox_bytes", limits.mailbox_bytes, limits.stanza_bytes as u64, u64::from(u32::MAX)),
        ("limits.mailbox_contact_percent", limits.mailbox_contact_percent.into(), 1, 100),
        ("limits.mailbox_stranger_percent", limits.mailbox_stranger_percent.into(), 1, 100),
        ("limits.mailbox_strangers_percent", limits.mailbox_strangers_percent.into(), 1, 100),
        // The largest stanza, with what is added to it, has to fit.
        ("limits.stored_burst_bytes", limits.stored_burst_bytes, limits.stanza_bytes as u64 + 1_024, 1 << 40),
        ("limits.turn_gap_us", limits.turn_gap_us, 0, 10_000),
        ("limits.resume_seconds", limits.resume_seconds, 0, 7 * 86_400),
        ("limits.login_seconds", limits.login_seconds, 1, 600),
        ("limits.logins_waiting", limits.logins_waiting as u64, 64, 16_000_000),
        ("limits.logins_waiting_per_network", limits.logins_waiting_per_network as u64, 16, 16_000_000),
        ("limits.wrong_keys", u64::from(limits.wrong_keys), 3, 1_000_000),
        ("limits.wrong_keys_per_hour", u64::from(limits.wrong_keys_per_hour), 1, 1_000_000),
        ("limits.network_wrong_keys", u64::from(limits.network_wrong_keys), 3, 1_000_000),
        ("limits.network_wrong_keys_per_hour", u64::from(limits.network_wrong_keys_per_hour), 1, 1_000_000),
        ("limits.idle_seconds", limits.idle_seconds, 1, 86_400),
        ("limits.stop_seconds", limits.stop_seconds, 1, 600),
    ];
    for (key, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            return wrong(key, format!("{key} must lie between {least} and {most}"));
        }
    }
    if (1..MEMORY_MIN).contains(&limits.memory) {
        return wrong(
            "limits.memory",
            "limits.memory is in bytes and must be 0 or at least 67108864 (64 MiB)",
        );
    }
    if limits.unsent_bytes < limits.stanza_bytes {
        return wrong("limits.unsent_bytes", "limits.unsent_bytes must be at least limits.stanza_bytes");
    }
    Ok(())
}
