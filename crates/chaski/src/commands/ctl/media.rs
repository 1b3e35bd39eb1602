//! `ctl media`: files that people have sent each other.

use super::Desk;
use super::backend::unexpected;
use crate::cli::MediaArgs;
use crate::failure::Failure;
use chaski_server::admin::protocol::{MediaPlaceView, MediaView, Reply, Request};
use serde_json::json;
use std::process::ExitCode;

/// So many of what is wrong are named.
const NAMED_MAX: usize = 100;

pub(super) fn run(desk: &Desk, args: &MediaArgs) -> Result<ExitCode, Failure> {
    let MediaArgs::Check = args;
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
    for place in step.places {
        match all.places.iter_mut().find(|it| it.place == place.place) {
            Some(MediaPlaceView { objects, references, bytes, .. }) => {
                *objects += place.objects;
                *references += place.references;
                *bytes += place.bytes;
            }
            None => all.places.push(place),
        }
    }
    all.dangling += step.dangling;
    all.orphans += step.orphans;
    all.wrong_sizes += step.wrong_sizes;
    all.arriving += step.arriving;
    all.named.extend(step.named);
    all.named.truncate(NAMED_MAX);
}

fn lines(view: &MediaView) -> Vec<String> {
    let place = |place: &str| if place.is_empty() { "folder".to_owned() } else { place.to_owned() };
    let mut lines: Vec<String> = view
        .places
        .iter()
        .map(|it| {
            let place = place(&it.place);
            format!("{place}: {} files, {} references, {} bytes", it.objects, it.references, it.bytes)
        })
        .collect();
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
