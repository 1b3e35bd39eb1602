//! The private listener: `/metrics` as Prometheus text, `/healthz` for supervisors.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use chaski_telemetry::Registry;
use std::sync::Arc;

/// The private routes over everything that counts.
pub fn routes(registry: Arc<Registry>) -> Router {
    let metrics = async move || {
        let text = registry.render();
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
    };
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(async || "ok\n"))
}
