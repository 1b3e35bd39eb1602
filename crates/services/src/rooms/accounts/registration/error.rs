//! Why a step of registration is refused, in words for the person who registers.

use crate::account::phone::PhoneError;
use crate::rooms::accounts::limits::LimitError;
use chaski_store::StoreError;

/// Why a step of registration was refused. Each text tells a person what happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// The operator has switched it off.
    #[error("this server registers nobody by phone number; ask its operator for an account")]
    Disabled,
    /// No number.
    #[error(transparent)]
    BadNumber(#[from] PhoneError),
    /// A number that gets no codes: premium rate, toll-free, pager and the like.
    #[error("numbers of this kind can't be registered; use a mobile or ordinary landline number")]
    NotTextable,
    /// Not in the list of countries.
    #[error("this server does not serve the country of this number")]
    NotServed,
    /// A test number where they are switched off.
    #[error("this number is reserved for fiction and this server does not register such numbers")]
    TestNumber,
    /// No voice calls, or not as the first thing.
    #[error("no call can be made; ask for an SMS")]
    NoVoice,
    /// A limiter refuses.
    #[error("too many registrations for this number or from this network; try again later")]
    TooMany {
        /// Which one, for the operator.
        limiter: &'static str,
        /// When to try again.
        retry_after_ms: u64,
    },
    /// Too many wrong keys for this account, or at all, from this network.
    #[error("too many wrong keys from this network; try again later")]
    TooManyTries {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// The next code of this registration is not due yet.
    #[error("a code has just been sent; wait for it, or ask for another one later")]
    TooSoon {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// All codes of this registration have been sent.
    #[error("no more codes are sent for this registration; begin a new one")]
    NoMoreCodes,
    /// No such registration, or it is over.
    #[error("there is no such registration any more; begin a new one")]
    Unknown,
    /// What was typed is no code. Not counted as a guess.
    #[error("a code is six digits")]
    NotACode,
    /// Wrong.
    #[error("this is not the code that was sent; {guesses_left} tries left")]
    WrongCode {
        /// Of five.
        guesses_left: u32,
    },
    /// The code was sent more than ten minutes ago. Not counted as a guess.
    #[error("the code has expired; ask for another one")]
    CodeExpired,
    /// Five wrong guesses.
    #[error("too many wrong codes; begin a new registration")]
    Dead,
    /// The registration has given its key already.
    #[error("this code has been used already; if you did not get the key, begin a new registration")]
    Used,
    /// The number's user has set a registration lock.
    #[error(
        "the number is protected by a registration lock: give its PIN, or wait until the number has been silent for 7 days"
    )]
    Locked {
        /// Until the seven days are over, if the number stays silent.
        retry_after_ms: u64,
    },
    /// The lock's PIN is wrong. Counted as a guess.
    #[error("this is not the PIN of the registration lock; {guesses_left} tries left")]
    WrongLockPin {
        /// Of five.
        guesses_left: u32,
    },
    /// Too many wrong PINs of the lock, in whatever registrations. The code is still right, and this was not counted as a guess.
    #[error(
        "too many wrong PINs of the registration lock; try again later, or give the key that the number had, or a token of one of its devices"
    )]
    TooManyLockPins {
        /// When one is looked at again.
        retry_after_ms: u64,
    },
    /// What was to prove that it is the same person does not. Counted as a guess.
    #[error(
        "this is neither the key that the number had nor a token of one of its devices; leave it out, or give the right one; {guesses_left} tries left"
    )]
    WrongProof {
        /// Of five.
        guesses_left: u32,
    },
    /// No PIN for a lock.
    #[error("the PIN of a registration lock is 4 to 20 digits")]
    BadLockPin,
    /// Neither account nor key are right.
    #[error("no such account, or this is not its key")]
    NotAuthorized,
    /// Switched off by the operator.
    #[error("this account has been switched off by the server's operator")]
    AccountDisabled,
    /// The number to change to is somebody's already, or one's own.
    #[error("the number has an account already: it has to be removed first")]
    NumberTaken,
    /// The number can't be changed while messages wait for the old one.
    #[error("messages wait for the old number: fetch them first")]
    MessagesWait,
    /// A password that the client chose is too short or too long.
    #[error("a password is 12 to 512 bytes of UTF-8")]
    BadPassword,
    /// The store or the account's owner did not answer.
    #[error("the server can't do this now; try again in a minute")]
    Unavailable(String),
}

impl From<StoreError> for RegistrationError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<LimitError> for RegistrationError {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Reached { limiter, retry_after_ms } => Self::TooMany { limiter, retry_after_ms },
            LimitError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
