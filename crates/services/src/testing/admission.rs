//! The part of a stage that plays the newer ways in: tokens, and everything in one exchange.

use super::{Client, Stage, account};
use crate::accounts::network::Network;
use crate::wire::{Admitted, Authenticated, TokenProved, Unavailable};
use chaski_xmpp::stream::{Access, Refused, TokenProof, Wishes};

impl Stage {
    /// Claims a token on a connection of the shard `asker`.
    pub fn prove_token(
        &mut self,
        asker: u16,
        local: &str,
        proof: &TokenProof,
    ) -> Result<Option<TokenProved>, Unavailable> {
        let client = self.begin_prove_token(asker, local, proof);
        self.proved(client).expect("a claim is answered")
    }

    /// The same, without waiting for the answer.
    pub fn begin_prove_token(&mut self, asker: u16, local: &str, proof: &TokenProof) -> Client {
        let client = self.connect(local);
        let proof = Box::new(proof.clone());
        self.call(asker, |room, ctx| {
            room.prove_token(ctx, (client.0, Network::UNKNOWN), account(local), proof)
        });
        self.settle();
        client
    }

    /// The answer to a claim, once.
    pub fn proved(&mut self, client: Client) -> Option<Result<Option<TokenProved>, Unavailable>> {
        self.line(client).proved.take()
    }

    /// A connection that has proved the key of this generation gets what it wishes.
    pub fn admit(
        &mut self,
        local: &str,
        generation: u32,
        wishes: &Wishes,
    ) -> (Client, Result<Admitted, Refused>) {
        let client = self.connect(local);
        let who = Authenticated { account: account(local), key_generation: generation };
        let line = self.line(client);
        line.key = generation;
        line.claim = wishes.resume.as_ref().map(|resume| (resume.previd.clone(), resume.h));
        let (shard, wishes) = (line.shard, Box::new(wishes.clone()));
        self.call(shard, |room, ctx| room.admit(ctx, client.0, who, wishes));
        self.settle();
        let admitted = self.line(client).admitted.take().expect("wishes are answered");
        if let Ok(Admitted { admission, .. }) = &admitted
            && matches!(admission.access, Access::Resumed { .. })
        {
            self.finish_resume(client);
        }
        let is_refused = matches!(&admitted, Ok(Admitted { admission, .. }) if admission.lost.is_some());
        if let (true, Some((previd, h))) = (is_refused, self.line(client).claim.take()) {
            self.observe_refusal((local, generation), &previd, h);
        }
        (client, admitted)
    }
}
