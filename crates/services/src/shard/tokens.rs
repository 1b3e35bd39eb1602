//! Tokens at the owner of their account (XEP-0484): a claim from any shard is checked here and counted in the same turn,
//! so that no token leaves its owner and none is used twice at once. (What is good: [`crate::accounts::tokens`].)
//!
//! A change is written behind: a token is told before it is durable. If the server dies in between, the client comes
//! with a token that nobody knows and falls back to its key, as XEP-0484 §4.1 has it.

use crate::accounts::tokens::Mint;
use crate::context::Context;
use crate::directory::{Account, Work};
use crate::router::{Envelope, Letter};
use crate::shard::Shard;
use crate::wire::{ConnId, TokenProved, Unavailable};
use chaski_store::{AccountId, ShardIndex};
use chaski_xmpp::stream::{IssuedToken, TokenProof, Wishes};

impl Shard {
    /// Asks whether a client has a token, whichever shard owns the account. Answered by
    /// [`crate::wire::Wire::token_proved`], perhaps within this call.
    pub fn prove_token(
        &mut self,
        ctx: &mut Context<'_>,
        conn: ConnId,
        account: AccountId,
        proof: Box<TokenProof>,
    ) {
        let (owner, asker) = (account.shard(self.desk.realm.shards), self.desk.index);
        if owner == asker {
            self.with_account(ctx, account, Work::Token { asker, conn, proof });
            self.settle(ctx);
        } else if ctx
            .wire
            .forward(owner, Envelope(Letter::TokenClaimed { asker, conn, account, proof }))
            .is_err()
        {
            ctx.wire.token_proved(conn, Err(Unavailable));
        }
    }

    /// Checks a proof, the account being in memory.
    pub(super) fn prove_now(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        asker: ShardIndex,
        conn: ConnId,
        proof: &TokenProof,
    ) {
        let Some(account) = self.directory.present(id) else { return };
        let mint = mint(&self.desk.realm.secret, account);
        let has_any = !account.record.disabled && account.record.tokens().is_some();
        let key_generation = mint.generation;
        let proved = has_any.then(|| account.record.tokens_mut().prove(mint, proof, ctx.unix_ms)).flatten();
        let metrics = &self.desk.metrics;
        match proved {
            Some(_) => metrics.tokens_proved_total.inc(),
            None => metrics.tokens_refused_total.inc(),
        }
        if proved.is_some_and(|proved| proved.is_changed) {
            self.save_record(ctx, id);
        }
        let told = |proved: crate::accounts::tokens::Proved| TokenProved {
            key_generation,
            responder: proved.responder,
        };
        self.answer_proof(ctx, asker, conn, Ok(proved.map(told)));
    }

    pub(super) fn answer_proof(
        &mut self,
        ctx: &mut Context<'_>,
        asker: ShardIndex,
        conn: ConnId,
        result: Result<Option<TokenProved>, Unavailable>,
    ) {
        if asker == self.desk.index {
            ctx.wire.token_proved(conn, result);
        } else {
            self.reliably(ctx, asker, Letter::TokenProved { conn, result });
        }
    }

    /// A new token, if the client wants one or needs one.
    pub(super) fn issue_token(
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
        let mint = mint(&self.desk.realm.secret, account);
        let token = account.record.tokens_mut().issue(mint, client, mechanism, ctx.unix_ms, ctx.rng);
        self.desk.metrics.tokens_issued_total.inc();
        self.save_record(ctx, id);
        Some(token)
    }
}

/// From what this account's tokens are made.
pub(super) fn mint<'a>(secret: &'a [u8; 16], account: &Account) -> Mint<'a> {
    Mint { secret, account: account.id, generation: account.record.generation() }
}
