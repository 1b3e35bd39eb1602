//! Which problem document each refusal becomes. The types are part of the protocol: docs/registration.md lists them.

use crate::http::problem::Problem;
use axum::http::StatusCode;
use chaski_services::rooms::accounts::registration::RegistrationError;

/// The problem of a refusal.
pub(crate) fn problem(error: RegistrationError) -> Problem {
    use RegistrationError as E;
    let detail = error.to_string();
    let plain = |status, kind| Problem::new(status, kind, detail.clone());
    match error {
        E::Disabled => plain(StatusCode::FORBIDDEN, "registration-disabled"),
        E::BadNumber(_) => plain(StatusCode::BAD_REQUEST, "bad-number"),
        E::NotTextable => plain(StatusCode::BAD_REQUEST, "number-not-textable"),
        E::NotServed => plain(StatusCode::FORBIDDEN, "country-not-served"),
        E::TestNumber => plain(StatusCode::FORBIDDEN, "test-number"),
        E::NoVoice => plain(StatusCode::BAD_REQUEST, "no-voice"),
        E::TooMany { retry_after_ms, .. } => {
            plain(StatusCode::TOO_MANY_REQUESTS, "too-many-registrations").retry_after_ms(retry_after_ms)
        }
        E::TooManyTries { retry_after_ms } => {
            plain(StatusCode::TOO_MANY_REQUESTS, "too-many-tries").retry_after_ms(retry_after_ms)
        }
        E::TooSoon { retry_after_ms } => {
            plain(StatusCode::TOO_MANY_REQUESTS, "too-soon").retry_after_ms(retry_after_ms)
        }
        E::NoMoreCodes => plain(StatusCode::GONE, "no-more-codes"),
        E::Unknown => plain(StatusCode::NOT_FOUND, "no-such-registration"),
        E::NotACode => plain(StatusCode::BAD_REQUEST, "not-a-code"),
        E::WrongCode { guesses_left } => {
            plain(StatusCode::FORBIDDEN, "wrong-code").with("guesses_left", guesses_left)
        }
        E::CodeExpired => plain(StatusCode::GONE, "code-expired"),
        E::Dead => plain(StatusCode::GONE, "too-many-guesses"),
        E::Used => plain(StatusCode::GONE, "code-used"),
        E::Locked { retry_after_ms } => plain(StatusCode::LOCKED, "locked").retry_after_ms(retry_after_ms),
        E::WrongLockPin { guesses_left } => {
            plain(StatusCode::FORBIDDEN, "wrong-lock-pin").with("guesses_left", guesses_left)
        }
        E::TooManyLockPins { retry_after_ms } => {
            plain(StatusCode::TOO_MANY_REQUESTS, "too-many-lock-pins").retry_after_ms(retry_after_ms)
        }
        E::WrongProof { guesses_left } => {
            plain(StatusCode::FORBIDDEN, "wrong-proof").with("guesses_left", guesses_left)
        }
        E::BadLockPin => plain(StatusCode::BAD_REQUEST, "bad-lock-pin"),
        E::NotAuthorized => plain(StatusCode::UNAUTHORIZED, "not-authorized")
            .challenge("Basic realm=\"account\", charset=\"UTF-8\""),
        E::AccountDisabled => plain(StatusCode::FORBIDDEN, "account-disabled"),
        E::NumberTaken => plain(StatusCode::CONFLICT, "number-taken"),
        E::MessagesWait => plain(StatusCode::CONFLICT, "messages-wait"),
        E::BadPassword => plain(StatusCode::BAD_REQUEST, "bad-password"),
        E::Unavailable(why) => {
            tracing::warn!(why, "a step of registration failed");
            Problem::unavailable(detail)
        }
    }
}
