//! `ctl salvage`: brings what is intact out of a damaged journal.

use super::Desk;
use crate::failure::Failure;
use chaski_store::embedded;
use serde_json::json;
use std::process::ExitCode;

pub(super) fn run(desk: &Desk) -> Result<ExitCode, Failure> {
    let data = &desk.config.data;
    if !data.is_dir() {
        return Err(Failure::new(format_args!(
            "there is no data directory {}; name it with --data",
            data.display()
        )));
    }
    let report = embedded::salvage(data)?;
    let json = json!({
        "segments": report.segments,
        "missing_segments": report.missing_segments,
        "damaged_segments": report.damaged_segments,
        "frames": report.frames,
        "damaged_bytes": report.damaged_bytes,
        "messages": report.messages,
    });
    let mut lines = vec![
        format!("read {} intact frames in {} segments of the journal", report.frames, report.segments),
        format!("recovered {} messages into the database", report.messages),
        format!("could not read {} bytes in {} segments", report.damaged_bytes, report.damaged_segments),
    ];
    if report.missing_segments > 0 {
        lines.push(format!(
            "{} segments were missing; what was in them and nowhere else is lost",
            report.missing_segments
        ));
    }
    if report.damaged_segments > 0 {
        let aside = data.join("journal-damaged");
        lines.push(format!(
            "the damaged segments are in {}; delete them when you have seen enough",
            aside.display()
        ));
    }
    lines.push("the server can be started again".into());
    desk.say(&json, &lines)
}
