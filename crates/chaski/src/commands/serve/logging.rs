//! The log on stderr.

use chaski_server::config::{Log as Settings, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// The running log, whose level can be changed.
pub(super) struct Log(reload::Handle<EnvFilter, Registry>);

/// Begins to log.
pub(super) fn start(settings: &Settings) -> Result<Log, String> {
    let (filter, handle) = reload::Layer::new(filter(&settings.level)?);
    let base = tracing_subscriber::registry().with(filter);
    let started = match settings.format {
        LogFormat::Json => base.with(fmt::layer().json().with_writer(std::io::stderr)).try_init(),
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            base.with(fmt::layer().with_ansi(colours).with_target(false).with_writer(std::io::stderr))
                .try_init()
        }
    };
    started.map_err(|error| format!("the log can't be started: {error}"))?;
    Ok(Log(handle))
}

impl Log {
    /// Another level from now on.
    pub(super) fn set_level(&self, level: &str) -> Result<(), String> {
        self.0.reload(filter(level)?).map_err(|error| error.to_string())
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong = || {
        format!(
            "log.level \"{level}\" is no level; use error, warn, info, debug or trace, or a filter such as \"info,chaski_store=debug\""
        )
    };
    if level.is_empty() {
        return Err(wrong());
    }
    EnvFilter::builder().parse(level).map_err(|_| wrong())
}
