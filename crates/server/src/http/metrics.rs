//! The private listener: `/metrics` as Prometheus text, `/healthz` for supervisors.
//!
//! `/healthz` answers 200 and `ok`, or 503 and a line for each thing that keeps the server from serving all that it should. A server that
//! says so still runs, serves what it can, and gets well by itself: it is worth an alarm, not a restart. What an operator
//! should see to, but what keeps nobody from being served, is a line behind a status of 200: a load balancer that took such
//! a server away would take all of them.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use chaski_store::Time;
use chaski_store::time::Standing;
use chaski_telemetry::Registry;
use std::sync::Arc;

/// Says what is wrong now, a line each.
pub type Troubles = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// What `/healthz` looks at.
pub struct Health {
    /// What keeps the store from taking everything.
    pub troubles: Troubles,
    /// The server's time, and whether it believes the machine's clock.
    pub time: Arc<Time>,
}

/// The private routes over everything that counts.
pub fn routes(registry: Arc<Registry>, health: Health) -> Router {
    let metrics = async move || {
        let text = registry.render();
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
    };
    let health = async move || answer((health.troubles)(), &health.time.standing());
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(health))
}

/// `ok`, or a line for each thing that is not.
fn answer(troubles: Vec<String>, standing: &Standing) -> (StatusCode, String) {
    let status = if troubles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let lines: Vec<String> = troubles.into_iter().chain(doubtful(standing)).collect();
    (status, if lines.is_empty() { "ok\n".to_owned() } else { lines.join("\n") + "\n" })
}

fn doubtful(standing: &Standing) -> Option<String> {
    let (doubt, in_ms) = (standing.doubt?, standing.believed_in_ms()?);
    Some(format!(
        "degraded: clock: the machine's is {} hours from what is believed, and will be believed in {} hours of running; \
         see chaski ctl clock",
        doubt.by_ms / 3_600_000,
        in_ms.div_ceil(3_600_000)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_store::time::plausible::Doubt;

    #[test]
    fn a_clock_in_doubt_is_one_line_and_no_refusal() {
        let well = Standing { wall_unix_ms: 5, shown_unix_ms: 5, age_unix_ms: 5, doubt: None };
        assert_eq!(answer(vec![], &well), (StatusCode::OK, "ok\n".into()));
        let doubt = Some(Doubt { by_ms: -50 * 3_600_000, ran_ms: 3_600_001, stopped: true });
        let doubtful = Standing { doubt, ..well };
        let (status, text) = answer(vec![], &doubtful);
        assert_eq!((status, text.lines().count()), (StatusCode::OK, 1));
        assert!(
            text.starts_with("degraded: clock: the machine's is -50 hours") && text.contains("in 23 hours"),
            "{text}"
        );
        let (status, text) = answer(vec!["journal: it is full".into()], &doubtful);
        assert_eq!((status, text.lines().count()), (StatusCode::SERVICE_UNAVAILABLE, 2));
    }
}
