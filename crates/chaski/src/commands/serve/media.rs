//! The part that serves files, and where its URLs lead.

use crate::failure::Failure;
use chaski_media::objects::folder::Folder;
use chaski_media::objects::s3::{Bucket, S3};
use chaski_media::objects::stores::{Rule, Stores};
use chaski_media::staging::Staging;
use chaski_media::thumbnail::{self, Program, Thumbnails};
use chaski_media::{Media, PATH, Settings};
use chaski_server::config::{Config, HttpTls};
use chaski_services::realm::uploads::Uploads;
use chaski_services::rooms::upload::PROFILES_KEPT;
use chaski_store::{Engine, Secrets};
use chaski_telemetry::Registry;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
const FOLDER: &str = "media";
/// In the folder of files, so that it has their disk.
const UNFINISHED: &str = "unfinished";
/// How rows name the bucket, and the folder of `media.slow_folder`: by the setting, for people who have to put it back.
const BUCKET: &str = "s3_bucket";
const S3_FOLDER: &str = "s3";
const SLOW: &str = "slow_folder";
const THUMBNAILS: &str = "thumbnails";

/// Starts it, unless it is off.
pub(super) fn start(
    config: &Config,
    engine: &dyn Engine,
    registry: &mut Registry,
) -> Result<Option<Media>, Failure> {
    let media = &config.media;
    if !media.enabled {
        return Ok(None);
    }
    let settings = Settings {
        expire_ms: media.expire_days.saturating_mul(DAY_MS),
        quota_bytes: media.quota_bytes,
        profiles_kept: PROFILES_KEPT,
        transfers: media.transfers,
        transfers_per_network: media.transfers_per_network,
        unfinished_per_account: media.unfinished_per_account,
        unfinished_ms: media.unfinished_hours.saturating_mul(HOUR_MS),
        bytes_per_second: media.bytes_per_second,
        reserve_bytes: media.reserve_bytes,
        threads: media.threads,
        ..Settings::default()
    };
    let stores = stores(config, registry)?;
    let unfinished = folder(config).join(UNFINISHED);
    let staging = Staging::open(&unfinished).map_err(|error| {
        Failure::new(format_args!("can't use the folder for files {}: {error}", unfinished.display()))
    })?;
    let thumbnails = match media.thumbnails {
        true => Some(thumbnails(config)?),
        false => None,
    };
    let (index, time) = (engine.media(), engine.time());
    Ok(Some(Media::start(settings, index, (stores, staging), engine.secrets(), time, thumbnails)?))
}

/// Where files lie, and which go where.
fn stores(config: &Config, registry: &mut Registry) -> Result<Stores, Failure> {
    let media = &config.media;
    let open = |folder: &Path| {
        let cannot = |error| {
            Failure::new(format_args!("can't use the folder for files {}: {error}", folder.display()))
        };
        Folder::open(folder).map(Arc::new).map_err(cannot)
    };
    let mut stores = Stores::from(open(&folder(config))?);
    if !media.slow_folder.as_os_str().is_empty() {
        let (types, from_bytes) = (media.slow_types.clone(), media.slow_from_bytes);
        let rule = Rule { place: SLOW.into(), types, from_bytes };
        stores = stores.with(rule, open(&media.slow_folder)?);
    }
    if !media.s3_bucket.is_empty() {
        let here = folder(config).join(S3_FOLDER);
        let cannot = |error| Failure::new(format_args!("can't use the bucket {}: {error}", media.s3_bucket));
        let s3 = S3::open(&here, &bucket(media), media.s3_cache_bytes).map_err(cannot)?;
        registry.register(s3.metrics());
        let (types, from_bytes) = (media.s3_types.clone(), media.s3_from_bytes);
        stores = stores.with(Rule { place: BUCKET.into(), types, from_bytes }, Arc::new(s3));
    }
    Ok(stores)
}

fn bucket(media: &chaski_server::config::Media) -> Bucket {
    Bucket {
        endpoint: media.s3_endpoint.clone(),
        region: media.s3_region.clone(),
        name: media.s3_bucket.clone(),
        prefix: media.s3_prefix.clone(),
        access_key: media.s3_access_key.clone(),
        secret_key: media.s3_secret_key.clone(),
    }
}

fn thumbnails(config: &Config) -> Result<Thumbnails, Failure> {
    let folder = config.data.join(THUMBNAILS);
    Thumbnails::start(&folder, Program::of_this_process(), thumbnail::Settings::default())
        .map_err(|error| Failure::new(format_args!("can't make thumbnails in {}: {error}", folder.display())))
}

fn folder(config: &Config) -> PathBuf {
    match config.media.folder.as_os_str().is_empty() {
        true => config.data.join(FOLDER),
        false => config.media.folder.clone(),
    }
}

/// What the services need to know of uploads. `at`: where it listens.
pub(super) fn uploads(config: &Config, at: SocketAddr, secrets: Secrets) -> Option<Uploads> {
    let media = &config.media;
    let base_url = format!("{}{PATH}", origin(config, at));
    let host = format!("upload.{}", config.domain);
    media.enabled.then(|| Uploads {
        max_file_bytes: media.max_file_bytes,
        expire_ms: media.expire_days.saturating_mul(DAY_MS),
        quota_bytes: media.quota_bytes,
        slots_burst: media.uploads,
        slots_per_hour: media.uploads_per_hour,
        burst_bytes: media.upload_bytes,
        bytes_per_hour: media.upload_bytes_per_hour,
        ..Uploads::new(&host, &base_url, secrets)
    })
}

/// Always https and a name, since clients take nothing else: also where a terminator stands in front.
fn origin(config: &Config, at: SocketAddr) -> String {
    let of_http = config.http.public_url.strip_prefix("https://").filter(|_| config.media.listen.is_none());
    if !config.media.public_url.is_empty() {
        return config.media.public_url.trim_end_matches('/').to_owned();
    }
    if let Some(at) = of_http {
        return format!("https://{}", at.trim_end_matches('/'));
    }
    match (config.http.tls, at.port()) {
        (HttpTls::Terminated, _) | (_, 443) => format!("https://{}", config.domain),
        (_, port) => format!("https://{}:{port}", config.domain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_https_with_a_name() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut config = Config::default();
        assert_eq!(origin(&config, at(8080)), "https://localhost:8080");
        assert_eq!(origin(&config, at(443)), "https://localhost");
        config.http.public_url = "http://chat.example".into();
        assert_eq!(origin(&config, at(8080)), "https://localhost:8080", "no client would take that");
        config.http.public_url = "https://chat.example/".into();
        assert_eq!(origin(&config, at(8080)), "https://chat.example");
        config.media.listen = Some(at(8443));
        assert_eq!(origin(&config, at(8443)), "https://localhost:8443");
        config.media.public_url = "https://files.example/".into();
        assert_eq!(origin(&config, at(8443)), "https://files.example");
        let uploads = uploads(&config, at(8443), [1; 16].into()).unwrap();
        assert_eq!((&*uploads.host, &*uploads.base_url), ("upload.localhost", "https://files.example/media"));
        config.media.enabled = false;
        assert!(super::uploads(&config, at(8443), [1; 16].into()).is_none());
    }
}
