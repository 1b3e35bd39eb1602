//! The binary form of what the crates below define: accounts and records of the store, logins and stanzas of the protocol.

use super::{Data, Malformed, Unread, data, put_count};
#[cfg(test)]
use super::{StdRng, one_of};
use chaski_store::records::Put;
use chaski_store::{AccountId, MessageId, ShardIndex, Table};
use chaski_xmpp::Stored;
use chaski_xmpp::sasl::token::TokenMechanism;
use chaski_xmpp::sm::{StanzaIndex, TooHigh};
use chaski_xmpp::stream::{
    Access, Admission, ClientId, InlineBind, InlineEnable, InlineEnabled, InlineResume, IssuedToken,
    TokenProof, TokenUse, Wishes,
};

data!(struct MessageId(id));
data!(struct ShardIndex(index));
data!(struct Put { table, key, value });

data!(struct ClientId(id));
data!(enum TokenMechanism { 0 = Unbound, 1 = EndPoint, 2 = Exporter });
data!(struct TokenUse { count, invalidate });
data!(struct TokenProof { client, mechanism, binding, proof, token_use });
data!(struct Wishes { client, resume, bind, token, came_by });
data!(struct InlineResume { previd, h });
data!(struct InlineBind { tag, enable, carbons, inactive });
data!(struct InlineEnable { resume, max_s });
data!(struct InlineEnabled { id, max_s });
data!(struct Admission { jid, access, lost, token });
data!(enum Access { 0 = Authenticated, 1 = Bound { enabled, carbons }, 2 = Resumed { previd, h } });
data!(struct IssuedToken { token, expires_unix_ms });
data!(struct TooHigh { h, sent });

/// By name.
impl Data for Table {
    fn put(&self, out: &mut Vec<u8>) {
        self.name().to_owned().put(out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        let name = String::take(from)?;
        Self::named(&name).ok_or(Malformed::No("Table"))
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        one_of(random, &[Self::ACCOUNTS, Self::REMOVALS, Self::new("a_kind")])
    }
}

impl Data for AccountId {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_bits().put(out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        let account = Self::from_bits(u64::take(from)?);
        let can_be = account.phone_number().is_none_or(|number| Self::phone(number).is_some());
        if can_be { Ok(account) } else { Err(Malformed::No("AccountId")) }
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        let names = ["+15551230001", "+15551230002", "+999999999999999", "echo"];
        Self::from_local(one_of(random, &names)).expect("a name")
    }
}

impl Data for StanzaIndex {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_bits().put(out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        u32::take(from).map(Self::from_bits)
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        Self::from_bits(u32::any(random))
    }
}

/// As it lies on disk. Whether it is well-formed is its writer's promise, and nothing that is read of it panics.
impl Data for Stored {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.stored_len(), out);
        self.encode(out);
    }

    fn take(from: &mut Unread<'_>) -> Result<Self, Malformed> {
        let count = from.count()?;
        Self::decode(from.bytes(count)?).map_err(|_| Malformed::No("Stored"))
    }

    #[cfg(test)]
    fn any(random: &mut StdRng) -> Self {
        let stanzas = [
            "<message from='+15551230001@chaski.example/a' type='chat'><body>x</body></message>",
            "<message from='nobody@elsewhere.example' type='error'><error type='cancel'/></message>",
            "<presence from='+15551230002@chaski.example/b' type='unavailable'></presence>",
            "<presence from='+15551230002@chaski.example' type='subscribe'></presence>",
            "<iq id='1' type='get' from='+15551230001@chaski.example/a'><q xmlns='a'>ü</q></iq>",
        ];
        let to = ["+15551230001@chaski.example", "+15551230002@chaski.example/b", "echo@chaski.example"];
        let (body, to) = (Self::of(one_of(random, &stanzas)), one_of(random, &to));
        let id = Option::<u128>::any(random).map(|id| ("+15551230001@chaski.example", id));
        if bool::any(random) { body.addressed(to, id, &mut Vec::new()) } else { body }
    }
}
