//! The configuration, as each part of the server takes it.

use crate::failure::Failure;
use axum::Router;
use chaski_server::certificate::{self, Certificate, CertificateError};
use chaski_server::config::{C2sTls, Config};
use chaski_server::http::account::{self, AccountApi};
use chaski_server::http::registration::{self, Host, RegistrationApi};
use chaski_server::sms::{SmsDesk, SmsMetrics};
use chaski_server::tls::Tickets;
use chaski_server::{
    Edge, EdgeConfig, ListenerConfig, ListenerTls, TlsIdentity, has_table_per_shard, memory,
};
use chaski_services::allowance::Allowance;
use chaski_services::owner::dispatch;
use chaski_services::places::{Incarnation, Places};
use chaski_services::realm::relays::{Relay, Relays, Secret};
use chaski_services::realm::uploads::Uploads;
use chaski_services::realm::{Limits, Realm};
use chaski_services::rooms::accounts::guesses::Allowances;
use chaski_services::rooms::accounts::registration::Registrar;
use chaski_store::{Engine, Secrets, Shares, embedded};
use chaski_telemetry::Registry;
use std::sync::Arc;

/// Descriptors besides the clients': SQLite, journal, HTTP, listeners.
const OTHER_FILES: usize = 1_000;
/// Descriptors of a shard with a table of its own besides its clients': streams, listeners, what is being refused.
const OTHER_FILES_OF_SHARD: usize = 64;
/// Refusals of strangers' questions that wait for a shard's tick: some hundred bytes each.
const LATE_REFUSALS: usize = 16_384;
/// Stanzas of one account for strangers that wait for a tick, four times a second: more than a client has for them.
const STRANGERS_WAITING: usize = 64;

pub(super) fn store_options(config: &Config) -> embedded::Options {
    let limits = &config.limits;
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    embedded::Options {
        max_messages: small(limits.mailbox_messages),
        max_bytes: small(limits.mailbox_bytes),
        shares: Shares {
            contact_percent: limits.mailbox_contact_percent,
            stranger_percent: limits.mailbox_stranger_percent,
            strangers_percent: limits.mailbox_strangers_percent,
        },
        contacts_reserve_bytes: limits.contacts_reserve_bytes,
        expire_after_ms: match limits.mailbox_days {
            0 => u64::MAX,
            days => days.saturating_mul(86_400_000),
        },
        own_tables: dispatch::TABLES,
        ..embedded::Options::default()
    }
}

/// The certificate, with tickets under keys that follow from the data's secret and time.
pub(super) fn certificate(
    config: &Config,
    engine: &dyn Engine,
    now_unix_ms: u64,
) -> Result<Certificate, CertificateError> {
    let time = engine.time();
    let now_s = Arc::new(move || time.unix_ms() / 1000);
    let lifetime_s = config.tls.ticket_hours.saturating_mul(3_600);
    let tickets = config.tls.tickets.then(|| Tickets::new(&engine.secrets().current, lifetime_s, now_s));
    certificate::load(config, (now_unix_ms / 1000) as i64, tickets.as_ref())
}

pub(super) fn realm(
    config: &Config,
    secrets: Secrets,
    started_unix_ms: u64,
    uploads: Option<Uploads>,
) -> Arc<Realm> {
    let limits = &config.limits;
    let knobs = dispatch::knobs();
    // They were checked when the file was read.
    config.knobs.iter().for_each(|(name, value)| _ = knobs.turn(name, *value));
    Arc::new(Realm {
        knobs,
        domain: config.domain.as_str().into(),
        places: Places::of_one_process(Incarnation(rand::random()), config.shard_count()),
        secrets,
        admins: config.admins.iter().map(|admin| admin.as_str().into()).collect(),
        limits: Limits {
            sessions_per_account: limits.sessions_per_account,
            resume_ms: limits.resume_seconds * 1000,
            // All of a session's queue is sent at once after a resumption: it has to fit.
            live_bytes: limits.unsent_bytes / 8 * 3,
            queue_bytes: limits.unsent_bytes / 2,
            unsent_bytes: limits.unsent_bytes / 4,
            unsent_bytes_cut: limits.unsent_bytes,
            stored_burst_bytes: limits.stored_burst_bytes,
            stored_bytes_per_s: limits.stored_bytes_per_second,
            services_have_rate: limits.services_have_rate,
            late_refusals: LATE_REFUSALS,
            strangers_waiting: STRANGERS_WAITING,
            ..Limits::default()
        },
        relays: Relays {
            // They were checked when the file was read.
            relays: config.calls.relays.iter().filter_map(|uri| Relay::parse(uri).ok()).collect(),
            secret: Secret(config.calls.secret.as_str().into()),
            login_ms: config.calls.login_minutes * 60_000,
        },
        uploads: uploads.map(Box::new),
        started_unix_ms,
        version: env!("CARGO_PKG_VERSION"),
    })
}

pub(super) fn edge_config(config: &Config, identity: &TlsIdentity) -> EdgeConfig {
    let limits = &config.limits;
    let mut edge = EdgeConfig { tls: Some(identity.clone()), ..EdgeConfig::default() };
    edge.listeners = config
        .c2s
        .iter()
        .map(|c2s| ListenerConfig {
            addr: c2s.listen,
            tls: match c2s.tls {
                C2sTls::Starttls => ListenerTls::StartTls,
                C2sTls::Direct => ListenerTls::Direct,
                C2sTls::Terminated => ListenerTls::Terminated,
            },
            force: c2s.force,
        })
        .collect();
    edge.limits.connections_per_shard = connections_per_shard(limits.connections, config.shard_count());
    let of_shard = |bound: usize| share_and_a_quarter(bound, config.shard_count());
    edge.limits.guests = of_shard(limits.logins_waiting);
    edge.limits.guests_per_network = of_shard(limits.logins_waiting_per_network);
    edge.limits.guesses = Allowances {
        account: Allowance::per_hour(limits.wrong_keys, limits.wrong_keys_per_hour),
        network: Allowance::per_hour(limits.network_wrong_keys, limits.network_wrong_keys_per_hour),
    };
    edge.limits.iterations_vary = config.registration.iterations_vary;
    edge.limits.memory_bytes = match limits.memory {
        0 => memory::default_ceiling_bytes(),
        bytes => bytes,
    };
    edge.limits.element_bytes = limits.stanza_bytes;
    edge.limits.element_bytes_before_auth = limits.stanza_bytes_before_login;
    edge.limits.unsent_bytes = limits.unsent_bytes.saturating_mul(2);
    edge.timing.login_deadline_ms = limits.login_seconds * 1000;
    edge.timing.turn_gap_us = limits.turn_gap_us;
    edge.timing.idle_timeout_ms = limits.idle_seconds * 1000;
    edge
}

/// Registration, with its table of waiting registrations kept clean. Within the runtime.
pub(super) fn api(
    config: &Config,
    edge: &Arc<Edge>,
    engine: &dyn Engine,
    registry: &mut Registry,
) -> Result<Router, Failure> {
    let metrics = Arc::new(SmsMetrics::default());
    registry.register(metrics.clone());
    let sms = SmsDesk::from_config(config, metrics).map_err(Failure::new)?;
    let policy = registration::policy(config, sms.speaks()).map_err(Failure::new)?;
    let registrar = Registrar::new(engine.records(), engine.secrets(), edge.owners(), policy);
    // Clients are told the ports that the system chose where the configuration says 0.
    let mut bound = config.clone();
    bound.c2s.iter_mut().zip(edge.local_addrs()).for_each(|(c2s, addr)| c2s.listen = *addr);
    registry.register(registrar.metrics());
    let api =
        RegistrationApi::new(registrar, sms, edge.doors(), &config.domain, Host::all(&bound), engine.time());
    tokio::spawn(api.clone().keep_clean());
    let account = AccountApi::new(api.clone(), edge.owners(), &config.domain);
    registry.register(account.metrics());
    let origins = registration::Origins::new(&config.http.public_url, &config.http.web_origins);
    Ok(registration::routes(api, origins).merge(account::routes(account)))
}

/// A shard's part of what strangers may have; which of them come to which shard is chance.
fn share_and_a_quarter(bound: usize, shards: u16) -> usize {
    let share = bound.div_ceil(usize::from(shards));
    share.saturating_add(share / 4).saturating_add(16)
}

/// `connections`: as configured; 0: what the open-files limit allows.
fn connections_per_shard(connections: usize, shards: u16) -> usize {
    let files = usize::try_from(open_files()).unwrap_or(usize::MAX);
    let (most, files_per_shard) = if has_table_per_shard(shards) {
        // A table holds, besides its connections, the wake-up and the way in of every shard.
        let own = files.saturating_sub(OTHER_FILES_OF_SHARD + 2 * usize::from(shards));
        (own.saturating_mul(usize::from(shards)), own)
    } else {
        let all = files.saturating_sub(OTHER_FILES);
        (all, all)
    };
    let wanted = if connections == 0 { most } else { connections };
    let share = wanted / usize::from(shards);
    // Accounts spread over shards by chance, so each shard gets a tenth more than its share.
    share.saturating_add(share / 10).min(files_per_shard).max(1)
}

fn open_files() -> u64 {
    super::super::doctor::open_files().0
}
