//! Tokens at the owner of their account (XEP-0484): a claim from any shard is checked here and counted in the same turn,
//! so that no token leaves its owner and none is used twice at once. (What is good: [`crate::accounts::tokens`].)
//!
//! A change is written behind: a token is told before it is durable. If the server dies in between, the client comes
//! with a token that nobody knows and falls back to its key, as XEP-0484 §4.1 has it. Not so when a client gives its tokens
//! back: that is answered once it is durable, for whoever has logged out counts on it.

use crate::accounts::network::Network;
use crate::accounts::tokens::{Device, Mint, Proved};
use crate::context::Context;
use crate::directory::{Account, Work};
use crate::places::Place;
use crate::router::{Envelope, Letter};
use crate::shard::Shard;
use crate::wire::{ConnId, TokenProved, Unavailable};
use chaski_store::AccountId;
use chaski_xmpp::stream::{IssuedToken, TokenProof, Wishes};

/// A client has given its tokens back and waits until that is durable.
pub(crate) struct GivenBack {
    asker: Place,
    conn: ConnId,
    told: TokenProved,
    device: Device,
    /// Not in the write under way, but in the one after it.
    pub(super) is_next: bool,
}

impl Shard {
    /// Asks whether a client has a token, whichever shard owns the account. Answered by
    /// [`crate::wire::Wire::token_proved`], perhaps within this call.
    pub fn prove_token(
        &mut self,
        ctx: &mut Context<'_>,
        (conn, network): (ConnId, Network),
        account: AccountId,
        proof: Box<TokenProof>,
    ) {
        let (owner, asker) = (self.desk.owner(account), self.desk.here);
        if owner == asker {
            self.with_account(ctx, account, Work::Token { asker, conn, network, proof });
            self.settle(ctx);
        } else if ctx
            .wire
            .forward(Envelope::new(owner, Letter::TokenClaimed { asker, conn, network, account, proof }))
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
        asker: Place,
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
        let Some(Proved { responder, is_changed, given_back }) = proved else {
            return self.answer_proof(ctx, asker, conn, Ok(None));
        };
        let told = TokenProved { key_generation, responder };
        if let Some(device) = given_back {
            return self.give_back(ctx, id, GivenBack { asker, conn, told, device, is_next: false });
        }
        if is_changed {
            self.save_record(ctx, id);
        }
        self.answer_proof(ctx, asker, conn, Ok(Some(told)));
    }

    /// Saves that a client has no tokens any more; it is told then.
    fn give_back(&mut self, ctx: &mut Context<'_>, id: AccountId, mut given: GivenBack) {
        let Some(account) = self.directory.present(id) else { return };
        // What is being written already may be from before.
        given.is_next = account.saving.has_record();
        self.save_record(ctx, id);
        if let Some(account) = self.directory.present(id) {
            account.saving.change(|writes| writes.given_back.push(given));
        }
    }

    /// The record was written, or not: those who gave tokens back before that are told.
    pub(super) fn tell_given_back(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        told: Vec<GivenBack>,
        is_saved: bool,
    ) {
        for GivenBack { asker, conn, told, device, .. } in told {
            if !is_saved && let Some(account) = self.directory.present(id) {
                account.record.tokens_mut().put_back(device);
            }
            self.answer_proof(ctx, asker, conn, if is_saved { Ok(Some(told)) } else { Err(Unavailable) });
        }
    }

    pub(super) fn answer_proof(
        &mut self,
        ctx: &mut Context<'_>,
        asker: Place,
        conn: ConnId,
        result: Result<Option<TokenProved>, Unavailable>,
    ) {
        if asker == self.desk.here {
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
        let mut token = account.record.tokens_mut().issue(mint, client, mechanism, ctx.unix_ms, ctx.rng);
        token.expires_unix_ms = ctx.shown(token.expires_unix_ms);
        self.desk.metrics.tokens_issued_total.inc();
        self.save_record(ctx, id);
        Some(token)
    }
}

/// From what this account's tokens are made.
pub(super) fn mint<'a>(secret: &'a [u8; 16], account: &Account) -> Mint<'a> {
    Mint { secret, account: account.id, generation: account.record.generation() }
}
