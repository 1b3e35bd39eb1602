//! `GET` with `?w=`: a small picture of a file, made when somebody asks for it ([`crate::thumbnail`]).
//!
//! Thumbnails are a reference's and not an object's. Equal contents are one object, so that whoever uploads what another has, and asks how
//! soon a small picture of it is there, would else learn that somebody has looked at one. The price is that it is made once for each reference.
//!
//! The index is asked before every answer, and again before one is made: what has ended has no thumbnail that can be had. What is left of it on
//! the disk goes with [`crate::caretaker`]'s next look through the folder.

use super::body::FileBody;
use super::get::{self, Asked};
use super::{BROKEN, BUSY, NOT_FOUND, Place, TRANSFER_BYTES, Trouble, headers};
use crate::Shared;
use crate::objects::Stored;
use crate::thumbnail::{Object, Refusal, Thumbnail, Thumbnails, Width};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chaski_store::media::Reference;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const NO_PICTURE: Trouble =
    Trouble::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "No small picture can be made of this file.");
const NO_WIDTH: Trouble = Trouble::new(StatusCode::BAD_REQUEST, "Say how wide, in pixels: ?w=256.");

/// The width that a query asks for, if it asks for one.
pub(super) fn width(query: Option<&str>) -> Option<Result<Width, Trouble>> {
    let wanted = query?.split('&').find_map(|pair| pair.strip_prefix("w="))?;
    let pixels = wanted.parse::<u32>().ok().filter(|pixels| *pixels > 0);
    Some(pixels.map(Width::at_least).ok_or(NO_WIDTH))
}

/// Serves it.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    thumbnails: &Arc<Thumbnails>,
    place: Place,
    from: Option<IpAddr>,
    asked: Asked,
    width: Width,
) -> Result<Response, Trouble> {
    let Some(taken) = shared.places.enter(from) else {
        shared.metrics.refused_busy_total.inc();
        return Err(BUSY);
    };
    let (of, is_head) = (shared.clone(), asked.is_head);
    let place = Arc::new(place);
    let looked_up = place.clone();
    let reference = shared.runtime.spawn_blocking(move || get::look_up(&of, &looked_up)).await;
    let reference = reference.map_err(|_| BROKEN)??;
    let etag = format!("{}-w{}\"", headers::etag(&reference).trim_end_matches('"'), width.pixels());
    let mut said = headers::of(&reference, shared.time.unix_ms());
    said.insert(header::ETAG, HeaderValue::from_str(&etag).map_err(|_| BROKEN)?);
    said.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    said.remove(header::ACCEPT_RANGES);
    if asked.known.as_deref().is_some_and(|list| headers::has_tag(list, &etag)) {
        said.remove(header::CONTENT_DISPOSITION);
        said.remove(header::CONTENT_TYPE);
        return Ok((StatusCode::NOT_MODIFIED, said).into_response());
    }
    let Thumbnail { encoding, file, length } = made(shared, thumbnails, place, width).await?;
    said.insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
    said.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if is_head || length == 0 {
        return Ok((said, Body::empty()).into_response());
    }
    let stored: Arc<dyn Stored> = Arc::new(Small { file, length });
    let (first, mut piece) = (stored.clone(), vec![0; length.min(TRANSFER_BYTES as u64) as usize]);
    let read = shared.runtime.spawn_blocking(move || {
        let count = first.read_at(0, &mut piece)?;
        piece.truncate(count);
        io::Result::Ok(piece)
    });
    let piece = read.await.map_err(|_| BROKEN)?.map_err(|_| BROKEN)?;
    let body = FileBody::new(
        shared.clone(),
        (stored, asked.lane),
        (taken, shared.shares.of(from)),
        (0, length - 1),
        piece,
    );
    Ok((said, Body::new(body)).into_response())
}

/// On this crate's runtime, which a making outlives its asker on.
async fn made(
    shared: &Arc<Shared>,
    thumbnails: &Arc<Thumbnails>,
    place: Arc<Place>,
    width: Width,
) -> Result<Thumbnail, Trouble> {
    let object = Object::named(&place.name.to_text()).ok_or(NOT_FOUND)?;
    let (of, runtime, thumbnails) = (shared.clone(), shared.runtime.clone(), thumbnails.clone());
    let open = async move {
        let looked = look(&of, &place).await;
        if looked.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            let (by, at) = (of.clone(), place.clone());
            let reference = of.runtime.spawn_blocking(move || get::look_up(&by, &at)).await;
            let reference = reference.map_err(io::Error::other)?.map_err(|_| ErrorKind::NotFound)?;
            get::fetch(&of, &reference).await.map_err(|_| io::Error::other("it can't be fetched"))?;
            return look(&of, &place).await;
        }
        looked
    };
    let making = runtime.spawn(async move { thumbnails.get(&object, width, open).await });
    making.await.map_err(|_| BROKEN)?.map_err(|refusal| match refusal {
        Refusal::Unfit(_) => NO_PICTURE,
        Refusal::Busy => BUSY,
        Refusal::Unreadable(ErrorKind::NotFound) => NOT_FOUND,
        Refusal::Unavailable | Refusal::Unreadable(_) => BROKEN,
    })
}

async fn look(shared: &Arc<Shared>, place: &Arc<Place>) -> io::Result<File> {
    let (of, place) = (shared.clone(), place.clone());
    let opened = shared.runtime.spawn_blocking(move || open(&of, &place)).await;
    opened.map_err(io::Error::other)?
}

/// The file of a reference that has not ended.
fn open(shared: &Shared, place: &Place) -> io::Result<File> {
    let look = || -> io::Result<Reference> {
        get::look_up(shared, place).map_err(|trouble| match trouble {
            NOT_FOUND => ErrorKind::NotFound.into(),
            _ => io::Error::other("the index does not answer"),
        })
    };
    let stored = match get::open(shared, &look()?) {
        // It may have become one with another between the two looks.
        Err(error) if error.kind() == ErrorKind::NotFound => get::open(shared, &look()?)?,
        opened => opened?,
    };
    stored.file().ok_or(ErrorKind::Unsupported)?.try_clone()
}

/// A thumbnail on its way out.
struct Small {
    file: Arc<File>,
    length: u64,
}

impl Stored for Small {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(&*self.file, buffer, offset)
    }

    fn size(&self) -> u64 {
        self.length
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_how_wide_or_nothing() {
        let pixels = |query| width(query).map(|width| width.map(Width::pixels).ok());
        assert_eq!(pixels(None), None);
        assert_eq!(pixels(Some("slot=x")), None);
        assert_eq!(pixels(Some("w=100")), Some(Some(128)));
        assert_eq!(pixels(Some("x=1&w=4000000000")), Some(Some(1024)));
        for bad in ["w=", "w=0", "w=-1", "w=1e3", "w=99999999999"] {
            assert_eq!(pixels(Some(bad)), Some(None), "{bad}");
        }
    }
}
