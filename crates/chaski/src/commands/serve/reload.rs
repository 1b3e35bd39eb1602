//! SIGHUP: takes over what can be changed while clients are connected, and says what can't.

use super::{Server, logging, parts, unix_ms};
use crate::cli::Serve;
use chaski_server::certificate::Certificate;
use chaski_server::config::Config;

/// Reloads the configuration file and the certificate. On any mistake everything stays as it is.
pub(super) fn reload(server: &mut Server, args: &Serve, log: &logging::Log) {
    match try_reload(server, args, log) {
        Ok(()) => tracing::info!("reloaded: certificate, log level"),
        Err(error) => tracing::error!("not reloaded: {error}"),
    }
}

fn try_reload(server: &mut Server, args: &Serve, log: &logging::Log) -> Result<(), String> {
    let mut new = args.source.load().map_err(|error| error.to_string())?;
    let certificate = load_certificate(server, &new)?;
    log.set_level(&new.log.level)?;
    if let Err(error) = server.network.switch.reload(&certificate.identity) {
        // It was good until now.
        log.set_level(&server.config.log.level)?;
        return Err(error.to_string());
    }
    certificate.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    server.edge.reload_tls(certificate.identity.clone());
    server.certificate = certificate;
    let kept = needs_restart(&server.config, &new);
    if !kept.is_empty() {
        tracing::warn!("changed in the file, but only a restart takes it over: {}", kept.join(", "));
    }
    // What was not taken over stays the one that is compared with next time.
    std::mem::swap(&mut server.config.tls, &mut new.tls);
    std::mem::swap(&mut server.config.log.level, &mut new.log.level);
    Ok(())
}

fn load_certificate(server: &Server, new: &Config) -> Result<Certificate, String> {
    // The domain and directory are those of the start, even if the file says otherwise by now.
    let config = Config { tls: new.tls.clone(), ..server.config.clone() };
    let loaded = parts::certificate(&config, &*server.engine, unix_ms());
    loaded.map_err(|error| format!("the certificate stays as it was: {error}"))
}

/// The keys that differ and are read only at start.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [
        ("domain", old.domain != new.domain),
        ("data", old.data != new.data),
        ("shards", old.shards != new.shards),
        ("admins", old.admins != new.admins),
        ("[[c2s]]", old.c2s != new.c2s),
        ("[http]", old.http != new.http),
        ("[sms]", old.sms != new.sms),
        ("[registration]", old.registration != new.registration),
        ("[calls]", old.calls != new.calls),
        ("[media]", old.media != new.media),
        ("[limits]", old.limits != new.limits),
        ("[knobs]", old.knobs != new.knobs),
        ("log.format", old.log.format != new.log.format),
    ];
    changed.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named() {
        let old = Config::default();
        let mut new = Config { shards: 7, ..Config::default() };
        new.limits.resume_seconds = 1;
        new.log.level = "debug".into();
        new.tls.certificate = "x".into();
        new.calls.login_minutes = 7;
        new.knobs.insert("roster.items".into(), 7);
        assert_eq!(needs_restart(&old, &new), ["shards", "[calls]", "[limits]", "[knobs]"]);
    }
}
