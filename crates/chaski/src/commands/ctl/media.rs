//! `ctl media`: files that people have sent each other.

use super::backend::unexpected;
use super::{Desk, moment, plain};
use crate::cli::MediaArgs;
use crate::failure::Failure;
use chaski_server::admin::protocol::{
    BlockedView, FileView, MediaPlaceView, MediaRestView, MediaStatView, MediaView, Reply, Request,
};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// So many of what is wrong are named.
const NAMED_MAX: usize = 100;

pub(super) fn run(desk: &Desk, args: &MediaArgs) -> Result<ExitCode, Failure> {
    match args {
        MediaArgs::Check => check(desk),
        MediaArgs::Stat => stat(desk),
        MediaArgs::Remove { url } => remove(desk, url),
        MediaArgs::Block { what, reason } => block(desk, what, reason),
        MediaArgs::Unblock { hash } => {
            match desk.server()?.call(Request::MediaUnblock { sha256: hash.clone() })? {
                Reply::MediaUnblocked => {
                    desk.say(&json!({"unblocked": hash}), &["it may be uploaded again".into()])
                }
                other => Err(unexpected(&other)),
            }
        }
        MediaArgs::Blocked => blocked(desk),
    }
}

fn stat(desk: &Desk) -> Result<ExitCode, Failure> {
    let mut server = desk.server()?;
    let (mut all, mut from) = (MediaStatView::default(), None);
    loop {
        match server.call(Request::MediaStat { from })? {
            Reply::MediaStat(step) => {
                add_places(&mut all.places, step.places);
                (all.rest, from) = (step.rest, step.next);
            }
            other => return Err(unexpected(&other)),
        }
        if from.is_none() {
            return desk.say(&json!(all), &stat_lines(&all));
        }
    }
}

fn stat_lines(view: &MediaStatView) -> Vec<String> {
    let mut lines: Vec<String> = view.places.iter().map(place_line).collect();
    if lines.is_empty() {
        lines.push("no files".into());
    }
    if let Some(rest) = &view.rest {
        lines.extend(rest_lines(rest));
    }
    lines
}

fn rest_lines(rest: &MediaRestView) -> Vec<String> {
    let when = |at: Option<u64>, what| at.map_or(String::new(), |at| format!(", {what} {}", moment(at)));
    vec![
        format!(
            "ending: {} references have ended, {} files are to be deleted{}",
            rest.ended,
            rest.doomed,
            when(rest.next_expiry_unix_ms, "the next ends")
        ),
        format!(
            "unfinished uploads: {}, {} bytes have come{}",
            rest.unfinished,
            rest.unfinished_bytes,
            when(rest.unfinished_until_unix_ms, "the first is dropped")
        ),
        format!("thumbnails: {} kept, {} bytes", rest.thumbnails, rest.thumbnail_bytes),
        format!("blocked: {} contents", rest.blocked),
    ]
}

fn remove(desk: &Desk, url: &str) -> Result<ExitCode, Failure> {
    match desk.server()?.call(Request::MediaRemove { url: url.to_owned() })? {
        Reply::MediaRemoved(file) => desk.say(&json!(file), &removed_lines(&file)),
        other => Err(unexpected(&other)),
    }
}

fn removed_lines(file: &FileView) -> Vec<String> {
    let owner = file.owner.as_deref().unwrap_or("a service account");
    let (size, media_type, at) = (file.size, plain(&file.media_type), moment(file.created_unix_ms));
    vec![
        format!("removed: {size} bytes of {media_type}, by {owner}, {at}"),
        format!(
            "other URLs may lead to the same content; to have it nowhere: chaski ctl media block {}",
            file.sha256
        ),
    ]
}

fn block(desk: &Desk, what: &str, reason: &str) -> Result<ExitCode, Failure> {
    match desk.server()?.call(Request::MediaBlock { what: what.to_owned(), reason: reason.to_owned() })? {
        Reply::MediaBlocked { sha256, references } => {
            let line = format!("blocked: {sha256}, to which {references} references led");
            desk.say(&json!({"sha256": sha256, "references": references}), &[line])
        }
        other => Err(unexpected(&other)),
    }
}

fn blocked(desk: &Desk) -> Result<ExitCode, Failure> {
    let (mut server, mut after) = (desk.server()?, None);
    let (mut out, mut count) = (std::io::stdout().lock(), 0);
    loop {
        match server.call(Request::MediaBlocks { after })? {
            Reply::MediaBlocks { blocked, next } => {
                count += blocked.len();
                for it in &blocked {
                    match desk.json {
                        true => writeln!(out, "{}", serde_json::to_string(it)?)?,
                        false => writeln!(out, "{}", blocked_line(it))?,
                    }
                }
                after = next;
            }
            other => return Err(unexpected(&other)),
        }
        if after.is_none() {
            break;
        }
    }
    if !desk.json {
        writeln!(out, "{count} contents are blocked")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn blocked_line(it: &BlockedView) -> String {
    format!("{}  {}  {}", it.sha256, moment(it.since_unix_ms), plain(&it.reason)).trim_end().to_owned()
}

fn check(desk: &Desk) -> Result<ExitCode, Failure> {
    let view = all_steps(desk)?;
    desk.say(&json!(view), &lines(&view))?;
    let is_right = (view.dangling, view.orphans, view.wrong_sizes) == (0, 0, 0);
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn all_steps(desk: &Desk) -> Result<MediaView, Failure> {
    let mut server = desk.server()?;
    let (mut all, mut from) = (MediaView::default(), None);
    loop {
        match server.call(Request::MediaCheck { from })? {
            Reply::Media(step) => {
                from = step.next.clone();
                add(&mut all, *step);
            }
            other => return Err(unexpected(&other)),
        }
        if from.is_none() {
            return Ok(all);
        }
    }
}

fn add(all: &mut MediaView, step: MediaView) {
    add_places(&mut all.places, step.places);
    all.dangling += step.dangling;
    all.orphans += step.orphans;
    all.wrong_sizes += step.wrong_sizes;
    all.arriving += step.arriving;
    all.named.extend(step.named);
    all.named.truncate(NAMED_MAX);
}

fn add_places(all: &mut Vec<MediaPlaceView>, step: Vec<MediaPlaceView>) {
    for place in step {
        match all.iter_mut().find(|it| it.place == place.place) {
            Some(MediaPlaceView { objects, references, bytes, .. }) => {
                *objects += place.objects;
                *references += place.references;
                *bytes += place.bytes;
            }
            None => all.push(place),
        }
    }
}

fn place_line(it: &MediaPlaceView) -> String {
    let place = if it.place.is_empty() { "folder" } else { &it.place };
    format!("{place}: {} files, {} references, {} bytes", it.objects, it.references, it.bytes)
}

fn lines(view: &MediaView) -> Vec<String> {
    let mut lines: Vec<String> = view.places.iter().map(place_line).collect();
    lines.extend(view.named.iter().cloned());
    lines.push(format!(
        "{} rows without a file, {} files without a row, {} of a wrong length, {} arriving",
        view.dangling, view.orphans, view.wrong_sizes, view.arriving
    ));
    if view.dangling + view.wrong_sizes > 0 {
        lines.push("put what is missing or has a wrong length back from a backup, under the same name; until then it is answered by an error, and its rows end with their time".into());
    }
    if view.orphans > 0 {
        lines.push("files without a row are never served; look whether folder and database belong together, and delete them if they do".into());
    }
    lines
}
