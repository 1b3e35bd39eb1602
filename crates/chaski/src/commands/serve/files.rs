//! Files as the operator sees them (`ctl media`): between the admin socket's desk and the part that serves files.

use chaski_media::Media;
use chaski_media::check::{Found, Held, STEP_TIME};
use chaski_media::operator::{Operator, Rest, hex};
use chaski_server::admin::desk::Files;
use chaski_server::admin::protocol::{
    BlockedView, FileView, MediaPlaceView, MediaRestView, MediaStatView, MediaView,
};
use std::collections::BTreeMap;
use std::io;

/// Looks at a step of what is wrong.
type Check = Box<dyn Fn(Option<String>) -> io::Result<Found> + Send + Sync>;

struct OfMedia {
    check: Check,
    operator: Operator,
}

/// The desk of this service.
pub(super) fn of(media: &Media) -> Box<dyn Files> {
    Box::new(OfMedia { check: Box::new(media.checks(STEP_TIME)), operator: media.operator() })
}

impl Files for OfMedia {
    fn check(&self, from: Option<String>) -> io::Result<MediaView> {
        let found = (self.check)(from)?;
        Ok(MediaView {
            places: places(found.places),
            dangling: found.dangling,
            orphans: found.orphans,
            wrong_sizes: found.wrong_sizes,
            arriving: found.arriving,
            named: found.named,
            next: found.next,
        })
    }

    fn stat(&self, from: Option<String>) -> io::Result<MediaStatView> {
        let stat = self.operator.stat(from)?;
        Ok(MediaStatView { places: places(stat.places), rest: stat.rest.map(rest), next: stat.next })
    }

    fn remove(&self, url: &str) -> io::Result<FileView> {
        let removed = self.operator.remove(url)?;
        Ok(FileView {
            sha256: hex(&removed.content.sha256),
            size: removed.content.size,
            media_type: removed.media_type.into(),
            owner: removed.owner.phone_number().map(|number| format!("+{number}")),
            created_unix_ms: removed.created_unix_ms,
        })
    }

    fn block(&self, what: &str, reason: &str) -> io::Result<(String, u64)> {
        self.operator.block(what, reason)
    }

    fn unblock(&self, sha256: &str) -> io::Result<()> {
        self.operator.unblock(sha256)
    }

    fn blocked(&self, after: Option<String>) -> io::Result<(Vec<BlockedView>, Option<String>)> {
        let (page, next) = self.operator.blocked(after)?;
        let view = |it: chaski_store::media::Blocked| BlockedView {
            sha256: hex(&it.sha256),
            since_unix_ms: it.since_unix_ms,
            reason: it.reason.into(),
        };
        Ok((page.into_iter().map(view).collect(), next))
    }
}

fn places(of: BTreeMap<String, Held>) -> Vec<MediaPlaceView> {
    let view = |(place, held): (String, Held)| MediaPlaceView {
        place,
        objects: held.objects,
        references: held.references,
        bytes: held.bytes,
    };
    of.into_iter().map(view).collect()
}

fn rest(of: Rest) -> MediaRestView {
    MediaRestView {
        next_expiry_unix_ms: of.standing.next_expiry_unix_ms,
        ended: of.standing.ended,
        doomed: of.standing.doomed,
        blocked: of.standing.blocked,
        unfinished: of.unfinished,
        unfinished_bytes: of.unfinished_bytes,
        unfinished_until_unix_ms: of.unfinished_until_unix_ms,
        thumbnails: of.thumbnails,
        thumbnail_bytes: of.thumbnail_bytes,
    }
}
