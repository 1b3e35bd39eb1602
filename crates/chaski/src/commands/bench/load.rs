//! What all loads have in common, from the command line.

use crate::cli::bench::{Bench, Load};
use crate::failure::Failure;
use chaski_bench::load::{self, Mechanism, OwnServer, RunningServer, Security, Way};

/// Reads it.
pub(super) fn of(args: &Bench, typed: &Load) -> Result<load::Load, Failure> {
    let running = (!typed.server.is_empty()).then(|| RunningServer {
        addresses: typed.server.clone(),
        domain: typed.domain.clone(),
        pids: typed.pid.clone(),
        ca: typed.ca.clone(),
        is_own: typed.i_own_this_server,
    });
    let config = typed.server_config.as_ref().map(|path| {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::new(format_args!("{} can't be read: {error}", path.display())))
    });
    Ok(load::Load {
        own: OwnServer {
            binary: super::binary(None)?,
            dir: typed.data.clone(),
            shards: typed.shards,
            config: config.transpose()?.unwrap_or_default(),
        },
        running,
        security: match (typed.tls, typed.starttls) {
            (true, _) => Security::Tls,
            (_, true) => Security::StartTls,
            _ => Security::Plain,
        },
        tls_resumption: typed.tls_resumption,
        stream_management: !typed.no_sm,
        presence: !typed.no_presence,
        way: way(typed),
        mechanism: typed.sasl.as_deref().map(mechanism).transpose()?,
        threads: typed.threads,
        logins_at_once: typed.logins_at_once,
        logins_per_s: typed.login_rate,
        seed: typed.seed,
        label: typed.label.clone(),
        quiet: args.json,
    })
}

fn way(typed: &Load) -> Way {
    match (typed.pipelined, typed.sasl2, typed.fast) {
        (true, _, _) => Way::Pipelined,
        (_, true, _) => Way::Sasl2,
        (_, _, true) => Way::Fast,
        _ => Way::Classic,
    }
}

fn mechanism(name: &str) -> Result<Mechanism, Failure> {
    let found = Mechanism::from_name(&name.to_ascii_uppercase()).filter(|mechanism| !mechanism.is_plus());
    found.ok_or_else(|| {
        Failure::new(format_args!("--sasl {name} is none of plain, scram-sha-1 and scram-sha-256"))
    })
}
