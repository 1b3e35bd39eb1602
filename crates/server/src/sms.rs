//! Sending registration codes to phones: the gateways, and the desk that bounds what they may take.
//!
//! Called by the HTTP side. Promises: at most [`SENDING_MAX`] messages are on their way at once and [`WAITING_MAX`] more
//! wait, each no longer than the configured time in all, so that a gateway that hangs costs its own requests an error
//! and slows nobody else; nothing here repeats a message that may have been sent; a number reserved for fiction
//! never reaches a gateway. Codes and numbers appear in the log only through [`log::LogGateway`].

mod client;
pub mod command;
pub mod log;
pub mod text;
pub mod twilio;
pub mod webhook;

use crate::config;
use chaski_services::rooms::accounts::registration::{Delivery, Transport};
use chaski_telemetry::Gauge;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most messages handed to the gateway at once.
pub const SENDING_MAX: usize = 32;
/// Most messages that wait for their turn; more are refused at once.
pub const WAITING_MAX: usize = 128;

/// A message ready to be sent.
#[derive(Clone)]
pub struct Message {
    /// To whom, in E.164 with `+`.
    pub phone: String,
    /// What to say or write; the code stands in it once, by itself.
    pub text: String,
    /// The code, for gateways that make their own text.
    pub code: String,
    /// How.
    pub transport: Transport,
    /// The language asked for.
    pub locale: Option<String>,
}

/// Why a gateway did not take a message. For the operator's log; holds neither number nor code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// No connection, so nothing was sent.
    #[error("can't reach the gateway: {0}")]
    Unreachable(String),
    /// It answered with an error.
    #[error("the gateway refused: {0}")]
    Refused(String),
    /// Anything else; the message may have been sent.
    #[error("the gateway failed: {0}")]
    Failed(String),
}

/// The future of [`Gateway::send`].
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), GatewayError>> + Send + 'a>>;

/// A way to a phone.
pub trait Gateway: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// Whether it can also make calls.
    fn speaks(&self) -> bool {
        false
    }

    /// Hands the message over. Dropping the future gives up and frees everything it held.
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a>;
}

/// Why a code was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too many wait already.
    #[error("too many messages wait for the SMS gateway")]
    Busy,
    /// The gateway took too long. The message may have been sent.
    #[error("the SMS gateway did not answer in time")]
    TimedOut,
    /// See [`GatewayError`].
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

chaski_telemetry::metrics! {
    /// What the SMS desk counts.
    pub struct SmsMetrics("chaski_sms") {
        /// Codes that the gateway has taken.
        sent_total: Counter,
        /// Codes that the gateway refused or failed to take.
        failed_total: Counter,
        /// Codes that took too long.
        timed_out_total: Counter,
        /// Codes refused because too many waited.
        refused_total: Counter,
        /// Codes on their way or waiting.
        queued: Gauge,
    }
}

/// Where codes are handed in.
pub struct SmsDesk {
    gateway: Arc<dyn Gateway>,
    log: log::LogGateway,
    service: String,
    timeout: Duration,
    queue: Semaphore,
    sending: Semaphore,
    metrics: Arc<SmsMetrics>,
}

impl SmsDesk {
    /// `service` is what the text calls this server: its domain. `timeout` bounds waiting and sending together.
    pub fn new(
        gateway: Arc<dyn Gateway>,
        service: &str,
        timeout: Duration,
        metrics: Arc<SmsMetrics>,
    ) -> Self {
        Self {
            gateway,
            log: log::LogGateway,
            service: service.to_owned(),
            timeout,
            queue: Semaphore::new(SENDING_MAX + WAITING_MAX),
            sending: Semaphore::new(SENDING_MAX),
            metrics,
        }
    }

    /// The desk that the configuration asks for.
    pub fn from_config(config: &config::Config, metrics: Arc<SmsMetrics>) -> Result<Self, String> {
        let gateway = gateway(&config.sms)?;
        let timeout = Duration::from_secs(config.sms.timeout_seconds.clamp(1, 25));
        Ok(Self::new(gateway, &config.domain, timeout, metrics))
    }

    /// Whether calls can be made.
    pub fn speaks(&self) -> bool {
        self.gateway.speaks()
    }

    /// Sends a code, or says within the timeout that it could not be sent.
    pub async fn deliver(&self, delivery: &Delivery) -> Result<(), SendError> {
        let message = text::message(delivery, &self.service);
        if !delivery.is_real() {
            return Ok(self.log.send(&message).await?);
        }
        let Ok(_place) = self.queue.try_acquire() else {
            self.metrics.refused_total.inc();
            return Err(SendError::Busy);
        };
        let _queued = Queued::new(&self.metrics.queued);
        let outcome = tokio::time::timeout(self.timeout, self.in_turn(&message)).await;
        match outcome {
            Ok(Ok(())) => self.metrics.sent_total.inc(),
            Ok(Err(error)) => {
                self.metrics.failed_total.inc();
                tracing::warn!(gateway = self.gateway.name(), %error, "a code could not be sent");
                return Err(error.into());
            }
            Err(_) => {
                self.metrics.timed_out_total.inc();
                tracing::warn!(gateway = self.gateway.name(), "the gateway did not answer in time");
                return Err(SendError::TimedOut);
            }
        }
        Ok(())
    }

    async fn in_turn(&self, message: &Message) -> Result<(), GatewayError> {
        let _turn = self.sending.acquire().await.expect("the semaphore is never closed");
        match self.gateway.send(message).await {
            // Nothing has been sent: one more try can't make two messages.
            Err(GatewayError::Unreachable(_)) => self.gateway.send(message).await,
            outcome => outcome,
        }
    }
}

/// Counts a message as queued for as long as somebody waits for it.
struct Queued<'a>(&'a Gauge);

impl<'a> Queued<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.add(1);
        Self(gauge)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

fn gateway(sms: &config::Sms) -> Result<Arc<dyn Gateway>, String> {
    Ok(match sms.gateway {
        config::SmsGateway::Log => Arc::new(log::LogGateway),
        config::SmsGateway::Webhook => Arc::new(webhook::Webhook::new(&sms.url, &sms.token)?),
        config::SmsGateway::Twilio => {
            Arc::new(twilio::Twilio::new(&sms.url, &sms.account, &sms.account_token, &sms.from)?)
        }
        config::SmsGateway::Command => Arc::new(command::CommandGateway::new(&sms.command)?),
    })
}

#[cfg(test)]
mod tests;
