//! `ctl report list`: what users have said of others whom they have blocked (XEP-0377).

use super::backend::unexpected;
use super::{Desk, moment, plain};
use crate::cli::Report as Args;
use crate::failure::Failure;
use chaski_server::admin::protocol::{Reply, Request};
use chaski_services::rooms::blocking::Report;
use std::io::Write;
use std::process::ExitCode;

pub(super) fn run(desk: &Desk, args: &Args) -> Result<ExitCode, Failure> {
    let Args::List { about } = args;
    let mut reports = all(desk)?;
    reports.retain(|report| about.as_deref().is_none_or(|about| is_about(report, about)));
    reports.sort_by_key(|report| report.unix_ms);
    let mut out = std::io::stdout().lock();
    for report in &reports {
        match desk.json {
            true => writeln!(out, "{}", serde_json::to_string(report)?)?,
            false => writeln!(out, "{}", line(report))?,
        }
    }
    if !desk.json {
        writeln!(out, "{} reports", reports.len())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn all(desk: &Desk) -> Result<Vec<Report>, Failure> {
    let mut backend = desk.any(false)?;
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        match backend.call(Request::ReportList { after })? {
            Reply::Reports { reports, next } => {
                all.extend(reports);
                after = next;
            }
            other => return Err(unexpected(&other)),
        }
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// With or without the domain.
fn is_about(report: &Report, about: &str) -> bool {
    let local = |text: &str| text.split('@').next().unwrap_or_default().to_owned();
    report.about == about || (about.starts_with('+') && local(&report.about) == local(about))
}

/// A report on one line.
fn line(report: &Report) -> String {
    let reason = report.reason.strip_prefix("urn:xmpp:reporting:").unwrap_or(&report.reason);
    let mut line = format!(
        "{}  {} about {}: {}",
        moment(report.unix_ms),
        report.reporter,
        plain(&report.about),
        plain(reason)
    );
    if !report.text.is_empty() {
        line.push_str(&format!(", \"{}\"", plain(&report.text)));
    }
    if !report.messages.is_empty() {
        line.push_str(&format!(", messages {}", plain(&report.messages.join(" "))));
    }
    if !report.files.is_empty() {
        line.push_str(&format!(", files {}", plain(&report.files.join(" "))));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            unix_ms: 0,
            reporter: "+15551230001".into(),
            about: "+15551230002".into(),
            reason: "urn:xmpp:reporting:spam".into(),
            text: "buy\u{1b}[2J\nnow".into(),
            messages: vec!["1".into(), "2".into()],
            files: vec!["https://d.example/media/9/a.jpg".into()],
        }
    }

    #[test]
    fn a_report_is_one_line_that_harms_no_terminal() {
        let expected = "1970-01-01 00:00:00 UTC  +15551230001 about +15551230002: spam, \"buy [2J now\", messages 1 2, \
             files https://d.example/media/9/a.jpg";
        assert_eq!(line(&report()), expected);
    }

    #[test]
    fn reports_are_found_by_number_with_or_without_domain() {
        assert!(is_about(&report(), "+15551230002") && is_about(&report(), "+15551230002@localhost"));
        assert!(!is_about(&report(), "+15551230003") && !is_about(&report(), "15551230002"));
    }
}
