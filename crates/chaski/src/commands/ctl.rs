//! `chaski ctl`: operators' requests, to the running server or, where that is safe, to the data directory itself.

mod account;
mod backend;
mod clock;
mod import;
mod inspect;
mod media;
mod migrate;
mod report;
mod salvage;
mod secret;
mod session;

use crate::cli::{Account, Ctl, CtlCommand, Migrate, Secret};
use crate::failure::Failure;
use backend::Backend;
use chaski_server::config::Config;
use chaski_services::account::name::AccountName;
use serde_json::Value;
use std::io::Write;
use std::process::ExitCode;

/// Where the request goes and how its answer is shown.
struct Desk {
    config: Config,
    json: bool,
}

pub(super) fn run(args: &Ctl) -> Result<ExitCode, Failure> {
    let desk = Desk { config: args.source().load()?, json: args.json };
    match &args.command {
        CtlCommand::Account(Account::Add(add)) => account::add(&desk, add),
        CtlCommand::Account(Account::Import(args)) => import::run(&desk, args),
        CtlCommand::Account(Account::Show { name }) => account::show(&desk, name),
        CtlCommand::Account(Account::Remove { name }) => account::remove(&desk, name),
        CtlCommand::Session(args) => session::run(&desk, args),
        CtlCommand::Trace { name, seconds } => inspect::trace(&desk, name, *seconds),
        CtlCommand::Dump(args) => inspect::dump(&desk, args),
        CtlCommand::Report(args) => report::run(&desk, args),
        CtlCommand::Media(args) => media::run(&desk, args),
        CtlCommand::Clock { command } => clock::run(&desk, command.as_ref()),
        CtlCommand::Salvage => salvage::run(&desk),
        CtlCommand::Secret { command: Secret::Replace { forget } } => secret::replace(&desk, *forget),
        CtlCommand::Secret { command: Secret::ReplaceDirectory } => secret::replace_directory(&desk),
        CtlCommand::Migrate { command: Migrate::Back } => migrate::back(&desk),
    }
}

impl Desk {
    /// Shows an answer: JSON as one line, else the lines for people.
    fn say(&self, json: &Value, lines: &[String]) -> Result<ExitCode, Failure> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{json}")?;
        } else {
            for line in lines {
                writeln!(out, "{line}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The running server, or a failure that says how to start it.
    fn server(&self) -> Result<Backend, Failure> {
        Backend::server(&self.config)
    }

    /// The running server, or the directory itself.
    fn any(&self, create: bool) -> Result<Backend, Failure> {
        Backend::any(&self.config, create)
    }
}

/// A name as an operator types it: with or without `@domain`, with or without a resource.
fn parse_name(typed: &str) -> Result<(AccountName, Option<String>), Failure> {
    let (bare, resource) = match typed.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource.to_string())),
        None => (typed, None),
    };
    let local = bare.split_once('@').map_or(bare, |(local, _)| local);
    match AccountName::parse(local) {
        Ok(name) => Ok((name, resource)),
        Err(error) => Err(Failure::new(format_args!("\"{local}\" can't be an account: {error}"))),
    }
}

/// What a user wrote, without what could move the cursor of the operator's terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A moment for people, in UTC.
fn moment(unix_ms: u64) -> String {
    let (days, seconds) = ((unix_ms / 86_400_000) as i64, unix_ms / 1000 % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Year, month and day of a day count since 1970-01-01, in the Gregorian calendar (years begin in March inside).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) =
        (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_the_calendar() {
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(951_782_399_000), "2000-02-28 23:59:59 UTC");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(moment(1_709_251_199_000), "2024-02-29 23:59:59 UTC");
    }

    #[test]
    fn names_may_be_typed_as_addresses() {
        let (name, resource) = parse_name("+15551230001@localhost/phone").unwrap();
        assert_eq!((name.to_string().as_str(), resource.as_deref()), ("+15551230001", Some("phone")));
        assert!(parse_name("bot").is_ok() && parse_name("No Bot").is_err());
    }
}
