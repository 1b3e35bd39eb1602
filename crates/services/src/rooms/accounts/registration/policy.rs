//! What an operator decides about registration, with defaults that suit a server for a town.

use crate::account::network::WIDER;
use crate::account::phone::Countries;
use crate::allowance::Allowance;
use crate::rooms::accounts::limits::Limiter;
use crate::rooms::accounts::verification::Code;
use std::collections::BTreeMap;

const HOUR_MS: u64 = 3_600_000;
/// Operators give numbers to other people after some months; a person comes back to their account sooner.
const RECYCLED_AFTER_MS: u64 = 30 * 24 * HOUR_MS;

/// One network gets one of so many parts of a block's messages.
const BLOCK_PARTS: u32 = 4;

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
    /// Registrations of one number from one network.
    pub number_registrations: Allowance,
    /// Messages to one number from all networks. More than one network can have: see [`super::joined`].
    pub number_messages: Allowance,
    /// Messages for one network (IPv4 /24, IPv6 /56); an IPv6 /48 gets four times as many.
    pub network_messages: Allowance,
    /// Registrations altogether; bounds the tables.
    pub all_registrations: Allowance,
    /// Wrong PINs of one registration lock.
    pub lock_pins: Allowance,
    /// Messages to one block of 10,000 numbers; one network gets a quarter of them.
    pub block_messages: Allowance,
    /// The prices of messages, and the budgets.
    pub prices: Prices,
    /// A number that was silent for longer is taken for another person's. `u64::MAX`: never.
    pub recycled_after_ms: u64,
}

/// The prices of messages and the budgets, in a currency of the operator's choice. By default each message costs one.
#[derive(Debug, Clone)]
pub struct Prices {
    /// The price of a message to a country not named in `of_country`, in thousandths.
    pub price_thousandths: u32,
    /// Prices by calling code, in thousandths.
    pub of_country: BTreeMap<u16, u32>,
    /// The budget of each country that is not named in `budgets`.
    pub country_budget: Allowance,
    /// Budgets by calling code.
    pub budgets: BTreeMap<u16, Allowance>,
    /// The budget of all messages together.
    pub budget: Allowance,
}

impl Prices {
    /// The price of a message to this country, in thousandths.
    pub fn price_thousandths(&self, country: u16) -> u32 {
        self.of_country.get(&country).copied().unwrap_or(self.price_thousandths)
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            price_thousandths: 1_000,
            of_country: BTreeMap::new(),
            country_budget: Allowance::per_hour(1_000, 1_000),
            budgets: BTreeMap::new(),
            budget: Allowance::per_hour(2_000, 2_000),
        }
    }
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
            number_registrations: Allowance { burst: 5, interval_ms: 24 * HOUR_MS / 5 },
            number_messages: Allowance { burst: 30, interval_ms: 2 * HOUR_MS },
            network_messages: Allowance::per_hour(60, 60),
            all_registrations: Allowance::per_hour(2_000, 10_000),
            lock_pins: Allowance { burst: 5, interval_ms: 12 * HOUR_MS },
            block_messages: Allowance::per_hour(20, 20),
            prices: Prices::default(),
            recycled_after_ms: RECYCLED_AFTER_MS,
        }
    }
}

const NUMBER: &str = "number";
const NUMBER_AND_NETWORK: &str = "number-network";
const BLOCK: &str = "sms-block";
const BLOCK_AND_NETWORK: &str = "sms-block-network";

impl Policy {
    /// Whether a limiter of this name can be used up by strangers for a number, or for it and its neighbours.
    pub(super) fn is_of_number(&self, limiter: &str) -> bool {
        [NUMBER, NUMBER_AND_NETWORK, BLOCK, BLOCK_AND_NETWORK].contains(&limiter)
    }

    /// Stops one network from bothering one number, without using up what other networks have for that number. Fails closed;
    /// clients without a known address are one network.
    pub(super) fn per_number_and_network(&self) -> Limiter {
        Limiter::of(NUMBER_AND_NETWORK, self.number_registrations)
    }

    /// Stops one number from being bothered by many networks. Fails closed.
    pub(super) fn per_number(&self) -> Limiter {
        Limiter::of(NUMBER, self.number_messages)
    }

    /// Stops one client from walking through numbers. Fails closed; clients without an address share one bucket.
    pub(super) fn per_network(&self) -> Limiter {
        Limiter::of("network", self.network_messages)
    }

    /// Stops a client that has many networks from walking through numbers. Fails closed.
    pub(super) fn per_wide_network(&self) -> Limiter {
        Limiter::of("network-wide", self.network_messages.times(WIDER))
    }

    /// Bounds the tables and the codes that can be guessed at in parallel. Fails closed.
    pub(super) fn for_everybody(&self) -> Limiter {
        Limiter::of("registrations", self.all_registrations)
    }

    /// Stops guessing at the PIN of a lock, over all registrations. Fails closed.
    pub(super) fn per_lock(&self) -> Limiter {
        Limiter::of("lock-pin", self.lock_pins)
    }

    /// Stops earning from a block of numbers (SMS pumping). Fails closed.
    pub(super) fn per_block(&self) -> Limiter {
        Limiter::of(BLOCK, self.block_messages)
    }

    /// The part of a block's messages for one network, which must not keep the block's numbers from registering. Fails closed.
    pub(super) fn per_block_and_network(&self) -> Limiter {
        Limiter::of(BLOCK_AND_NETWORK, self.block_messages.part(BLOCK_PARTS))
    }

    /// Stops earning from all blocks of a country, at its price. Fails closed.
    pub(super) fn per_country(&self, country: u16) -> Limiter {
        let budget = self.prices.budgets.get(&country).copied().unwrap_or(self.prices.country_budget);
        Limiter::of("sms-country", budget).priced(self.prices.price_thousandths(country))
    }

    /// The most that the gateway can cost. Fails closed.
    pub(super) fn for_gateway(&self, country: u16) -> Limiter {
        Limiter::of("sms", self.prices.budget).priced(self.prices.price_thousandths(country))
    }
}
