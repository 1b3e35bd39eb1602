//! The private listener: `/metrics` as Prometheus text, `/healthz` for supervisors.
//!
//! What an operator should see to, but what does not keep the server from serving, is a line of `/healthz` behind a status
//! of 200: a load balancer that took such a server away would take all of them.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use chaski_store::Time;
use chaski_store::time::Standing;
use chaski_telemetry::Registry;
use std::sync::Arc;

/// The private routes over everything that counts, and over the time.
pub fn routes(registry: Arc<Registry>, time: Arc<Time>) -> Router {
    let metrics = async move || {
        let text = registry.render();
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
    };
    let health = async move || health(&time.standing());
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(health))
}

/// `ok`, or a line for each thing that is not.
fn health(standing: &Standing) -> String {
    match (standing.doubt, standing.believed_in_ms()) {
        (Some(doubt), Some(in_ms)) => format!(
            "degraded: clock: the machine's is {} hours from what is believed, and will be believed in {} hours of running; \
             see chaski ctl clock\n",
            doubt.by_ms / 3_600_000,
            in_ms.div_ceil(3_600_000)
        ),
        _ => "ok\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_store::time::plausible::Doubt;

    #[test]
    fn a_clock_in_doubt_is_one_line_and_no_refusal() {
        let well = Standing { wall_unix_ms: 5, shown_unix_ms: 5, age_unix_ms: 5, doubt: None };
        assert_eq!(health(&well), "ok\n");
        let doubt = Some(Doubt { by_ms: -50 * 3_600_000, ran_ms: 3_600_001, stopped: true });
        let text = health(&Standing { doubt, ..well });
        assert!(
            text.starts_with("degraded: clock: the machine's is -50 hours") && text.contains("in 23 hours"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
    }
}
