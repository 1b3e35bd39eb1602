//! Tokens at the owner of their account (XEP-0484): a claim from any shard is checked here and counted in the same turn,
//! so that no token leaves its owner and none is used twice at once. (What is good: [`crate::account::fast_tokens`].)
//!
//! A client is told its token before the token is durable. If the server dies in between, the client comes with a token that the
//! server does not know, and falls back to its key, as XEP-0484 §4.1 has it. A client that gives its tokens back is answered only
//! once that is durable, since its user relies on having logged out.

use crate::account::Account;
use crate::account::fast_tokens::{Mint, Proved};
use crate::effects::login::{Denied, Granted, ReplyTo, TokenProved};
use crate::owner::context::Context;
use crate::owner::ledger::GivenBack;
use crate::owner::state::Owner;
use chaski_store::AccountId;
use chaski_xmpp::stream::{IssuedToken, TokenProof, Wishes};

impl Owner {
    /// Checks the proof of a token. `None`: the answer is given later, when the record is saved.
    pub(crate) fn prove(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        reply_to: ReplyTo,
        proof: &TokenProof,
    ) -> Option<Result<TokenProved, Denied>> {
        let Some(account) = self.directory.present(id) else { return Some(Err(Denied::Unavailable)) };
        let has_any = !account.record.disabled && account.record.tokens().is_some();
        let key_generation = account.record.generation();
        let secrets = self.desk.realm.secrets;
        let proved = secrets.good(ctx.unix_ms).filter(|_| has_any).find_map(|secret| {
            let mint = mint(secret, account);
            account.record.tokens_mut().prove(mint, proof, ctx.unix_ms)
        });
        let metrics = &self.desk.metrics;
        match proved {
            Some(_) => metrics.tokens_proved_total.inc(),
            None => metrics.tokens_refused_total.inc(),
        }
        let Some(Proved { responder, is_changed, given_back }) = proved else {
            return Some(Err(Denied::NotAuthorized));
        };
        let told = TokenProved { key_generation, responder };
        if let Some(device) = given_back {
            self.save_record_for(ctx, id, Some(GivenBack { reply_to, told, device }));
            return None;
        }
        if is_changed {
            self.save_record(ctx, id);
        }
        Some(Ok(told))
    }

    /// The record has been written, or could not be: answers the clients that gave tokens back before that.
    pub(crate) fn tell_given_back(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        told: Vec<GivenBack>,
        is_saved: bool,
    ) {
        for GivenBack { reply_to, told, device } in told {
            if !is_saved && let Some(account) = self.directory.present(id) {
                account.record.tokens_mut().put_back(device);
            }
            let proved = if is_saved { Ok(Granted::Token(told)) } else { Err(Denied::Unavailable) };
            self.tell_verdict(ctx, reply_to, proved);
        }
    }

    /// Issues a new token, if the client has asked for one or its token is about to expire.
    pub(crate) fn issue_token(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        wishes: &Wishes,
    ) -> Option<IssuedToken> {
        let client = wishes.client?;
        let account = self.directory.present(id)?;
        let is_due = |account: &Account| {
            account.record.tokens().is_some_and(|tokens| tokens.is_renewal_due(client, ctx.unix_ms))
        };
        let mechanism = wishes.token.or_else(|| wishes.came_by.filter(|_| is_due(account)))?;
        let mint = mint(&self.desk.realm.secrets.current, account);
        let mut token = account.record.tokens_mut().issue(mint, client, mechanism, ctx.unix_ms, ctx.rng);
        token.expires_unix_ms = ctx.shown(token.expires_unix_ms);
        self.desk.metrics.tokens_issued_total.inc();
        self.save_record(ctx, id);
        Some(token)
    }
}

/// What this account's tokens are derived from.
pub(crate) fn mint<'a>(secret: &'a [u8; 16], account: &Account) -> Mint<'a> {
    Mint { secret, account: account.id, generation: account.record.generation() }
}
