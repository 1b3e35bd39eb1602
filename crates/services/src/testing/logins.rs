//! The part of a stage that plays logins: what the edge asks an account's owner, and the verdicts.

use super::{Client, Stage, account};
use crate::account::credentials::Credentials;
use crate::account::network::Network;
use crate::effects::login::{Admitted, Ask, Bound, Denied, Question, ReplyTo, TokenProved, Verdict};
use chaski_store::ShardIndex;
use chaski_xmpp::stream::{Access, TokenProof, Wishes};

/// Takes what was granted out of a verdict.
macro_rules! granted {
    ($what:ident) => {
        |granted| match granted {
            crate::effects::login::Granted::$what(granted) => granted,
            other => panic!("it was granted something else: {other:?}"),
        }
    };
}
pub(super) use granted;

/// Nothing, where there is no such account or it has not what was claimed.
fn if_any<T>(found: Result<T, Denied>) -> Result<Option<T>, Denied> {
    match found {
        Err(Denied::NotAuthorized) => Ok(None),
        found => found.map(Some),
    }
}

impl Stage {
    /// The edge of the connection's shard asks for it, with the generation of the key that was proved, and waits until
    /// it is quiet.
    pub fn ask(&mut self, client: Client, of: (&str, Option<u32>), ask: Ask) {
        let shard = self.line(client).shard;
        self.ask_from((shard, Network::UNKNOWN), client, of, ask);
    }

    fn ask_from(
        &mut self,
        (shard, network): (u16, Network),
        client: Client,
        (local, proved): (&str, Option<u32>),
        ask: Ask,
    ) {
        let number = self.line(client).questions.ask();
        let reply_to = ReplyTo { place: self.realm.places.here(ShardIndex(shard)), conn: client.0, number };
        let question = Question { reply_to, network, account: account(local), proved, ask };
        self.call(shard, |room, ctx| room.login(ctx, question));
        self.settle();
    }

    /// What came of the connection's last question, once.
    pub fn verdict(&mut self, client: Client) -> Option<Verdict> {
        self.line(client).verdict.take()
    }

    /// What came of a question that must be answered. On a disk an account that is being removed has to go first, for which there may be no room.
    pub(super) fn awaited(&mut self, client: Client) -> Option<Verdict> {
        if self.line(client).verdict.is_none() && self.disk.is_some() {
            self.mend_disk();
        }
        self.verdict(client)
    }

    /// Asks for credentials from the shard `asker`.
    pub fn credentials(&mut self, asker: u16, local: &str) -> Result<Option<Credentials>, Denied> {
        let client = self.begin_credentials(asker, local);
        self.take_credentials(client)
    }

    /// The same, without waiting for the answer.
    pub fn begin_credentials(&mut self, asker: u16, local: &str) -> Client {
        self.begin_credentials_from(Network::UNKNOWN, asker, local)
    }

    /// The same for a client of this network.
    pub fn begin_credentials_from(&mut self, network: Network, asker: u16, local: &str) -> Client {
        let client = self.connect(local);
        self.ask_from((asker, network), client, (local, None), Ask::Credentials);
        client
    }

    /// The answer.
    pub fn take_credentials(&mut self, client: Client) -> Result<Option<Credentials>, Denied> {
        if_any(self.awaited(client).expect("the lookup is answered").map(granted!(Credentials)))
    }

    /// Binds a connection. The key's generation is the one that the client has proved.
    pub fn bind(
        &mut self,
        client: Client,
        local: &str,
        generation: u32,
        resource: Option<&str>,
    ) -> Result<Bound, Denied> {
        self.line(client).key = generation;
        self.ask(client, (local, Some(generation)), Ask::Bind(resource.map(Box::from)));
        self.awaited(client).expect("bind is answered").map(granted!(Bound))
    }

    /// Claims a token on a connection of the shard `asker`.
    pub fn prove_token(
        &mut self,
        asker: u16,
        local: &str,
        proof: &TokenProof,
    ) -> Result<Option<TokenProved>, Denied> {
        let client = self.begin_prove_token(asker, local, proof);
        self.proved(client).expect("a claim is answered")
    }

    /// The same, without waiting for the answer.
    pub fn begin_prove_token(&mut self, asker: u16, local: &str, proof: &TokenProof) -> Client {
        let client = self.connect(local);
        let ask = Ask::Token(Box::new(proof.clone()));
        self.ask_from((asker, Network::UNKNOWN), client, (local, None), ask);
        client
    }

    /// The answer to a claim, once.
    pub fn proved(&mut self, client: Client) -> Option<Result<Option<TokenProved>, Denied>> {
        Some(if_any(self.verdict(client)?.map(granted!(Token))))
    }

    /// A connection that has proved the key of this generation gets what it wishes.
    pub fn admit(
        &mut self,
        local: &str,
        generation: u32,
        wishes: &Wishes,
    ) -> (Client, Result<Admitted, Denied>) {
        let client = self.connect(local);
        let line = self.line(client);
        line.key = generation;
        line.claim = wishes.resume.as_ref().map(|resume| (resume.previd.clone(), resume.h));
        self.ask(client, (local, Some(generation)), Ask::Admit(Box::new(wishes.clone())));
        let admitted = self.awaited(client).expect("wishes are answered").map(granted!(Admitted));
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
