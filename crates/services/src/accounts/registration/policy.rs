//! What an operator decides about registration, with defaults that suit a server for a town.

use crate::accounts::limits::{Allowance, Limiter};
use crate::accounts::phone::Countries;
use crate::accounts::verification::Code;

const HOUR_MS: u64 = 3_600_000;
/// Numbers are given to others after some months; a person comes back to their account sooner.
const RECYCLED_AFTER_MS: u64 = 30 * 24 * HOUR_MS;

/// Who may register and how often.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whether anybody may register by phone number.
    pub enabled: bool,
    /// The countries served. Test numbers belong to none.
    pub countries: Countries,
    /// What happens with numbers reserved for fiction.
    pub test_numbers: TestNumbers,
    /// Whether the gateway can make calls.
    pub voice: bool,
    /// Registrations of one number.
    pub number_registrations: Allowance,
    /// Registrations from one client network (IPv4 /24, IPv6 /56).
    pub network_registrations: Allowance,
    /// Registrations altogether; bounds the tables.
    pub all_registrations: Allowance,
    /// Messages to one block of 10,000 numbers.
    pub block_messages: Allowance,
    /// Messages to one country.
    pub country_messages: Allowance,
    /// Messages altogether: the operator's purse.
    pub all_messages: Allowance,
    /// A number that was silent for longer is taken for somebody else's by now. `u64::MAX`: never.
    pub recycled_after_ms: u64,
}

/// What happens with numbers reserved for fiction. They never cost an SMS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TestNumbers {
    /// They can't be registered.
    Refused,
    /// Their codes are written to the log.
    #[default]
    Logged,
    /// Their code is always this one: whoever knows it can take any such number.
    Fixed(Code),
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enabled: true,
            countries: Countries::All,
            test_numbers: TestNumbers::default(),
            voice: false,
            number_registrations: Allowance { burst: 5, interval_ms: 5 * HOUR_MS },
            network_registrations: Allowance::per_hour(60, 60),
            all_registrations: Allowance::per_hour(2_000, 10_000),
            block_messages: Allowance::per_hour(20, 20),
            country_messages: Allowance::per_hour(1_000, 1_000),
            all_messages: Allowance::per_hour(2_000, 2_000),
            recycled_after_ms: RECYCLED_AFTER_MS,
        }
    }
}

impl Policy {
    /// Stops one number from being bothered. Fails closed.
    pub(super) fn per_number(&self) -> Limiter {
        Limiter { name: "number", allowance: self.number_registrations }
    }

    /// Stops one client from walking through numbers. Fails closed; clients without an address share one bucket.
    pub(super) fn per_network(&self) -> Limiter {
        Limiter { name: "network", allowance: self.network_registrations }
    }

    /// Bounds the tables and the codes that can be guessed at in parallel. Fails closed.
    pub(super) fn for_everybody(&self) -> Limiter {
        Limiter { name: "registrations", allowance: self.all_registrations }
    }

    /// Stops earning from a block of numbers (SMS pumping). Fails closed.
    pub(super) fn per_block(&self) -> Limiter {
        Limiter { name: "sms-block", allowance: self.block_messages }
    }

    /// The same for all blocks of a country. Fails closed.
    pub(super) fn per_country(&self) -> Limiter {
        Limiter { name: "sms-country", allowance: self.country_messages }
    }

    /// The most that the gateway can cost. Fails closed.
    pub(super) fn for_gateway(&self) -> Limiter {
        Limiter { name: "sms", allowance: self.all_messages }
    }
}
