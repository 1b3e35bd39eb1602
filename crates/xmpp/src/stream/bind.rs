//! The last step: a session is bound (RFC 6120 §7) or resumed (XEP-0198 §5).

use super::state::State;
use super::{Action, BindRefusal, Negotiation, Outlet};
use crate::error::{StanzaCondition, StreamCondition};
use crate::sm::{self, Nonza};
use crate::stanza::{IqType, Kind};
use crate::write::{StanzaError, Writer, error_element};
use crate::{Stanza, ns};

/// So many refused requests in a row are a client that does not listen.
const REFUSALS_MAX: u8 = 8;

impl Negotiation {
    /// After authentication, before there is a session.
    pub(super) fn before_session(&mut self, element: &Stanza<'_>, out: &mut dyn Outlet) -> Action {
        if let Some(nonza) = Nonza::parse(&element.root()) {
            return self.stream_management(nonza, out);
        }
        if element.is("authenticate", ns::SASL2) {
            return self.authenticate_again(out);
        }
        let request = (element.kind() == Kind::Iq && element.iq_type() == Some(IqType::Set))
            .then(|| element.child("bind", ns::BIND))
            .flatten();
        let Some(bind) = request else {
            return self.fail(StreamCondition::NotAuthorized, Some("bind a resource first"), out);
        };
        // An empty resource is what some clients send when they mean none.
        let resource = bind.child("resource", ns::BIND).map(|resource| resource.text().into_owned());
        self.state = State::Binding { id: element.id().map(|id| id.as_ref().into()) };
        Action::Bind { resource: resource.filter(|resource| !resource.is_empty()) }
    }

    fn stream_management(&mut self, nonza: Result<Nonza<'_>, sm::Malformed>, out: &mut dyn Outlet) -> Action {
        let refusal = match nonza {
            Ok(Nonza::Resume { previd, h }) => {
                let previd = previd.into_owned();
                self.state = State::Resuming { previd: previd.as_str().into() };
                return Action::Resume { previd, h };
            }
            // XEP-0198 §3: only once a resource is bound.
            Ok(Nonza::Enable { .. }) => StanzaCondition::UnexpectedRequest,
            Ok(_) => return self.fail(StreamCondition::NotAuthorized, None, out),
            Err(sm::Malformed) => StanzaCondition::BadRequest,
        };
        self.refuse_stream_management(refusal, None, out)
    }

    /// [`asks_for_stream_management`] before the client has proved who it is: what was awaited still is.
    pub(super) fn too_early(&mut self, awaited: State, out: &mut dyn Outlet) -> Action {
        let mut piece = Vec::with_capacity(128);
        sm::write_failed(&mut piece, StanzaCondition::UnexpectedRequest, None);
        out.put(&piece);
        self.refused(awaited, out)
    }

    pub(super) fn answer_bind(
        &mut self,
        id: Option<&str>,
        result: Result<&str, BindRefusal>,
        out: &mut dyn Outlet,
    ) -> Action {
        let condition = match result {
            Ok(jid) => {
                let mut piece = Vec::with_capacity(256);
                let mut writer = self.open_iq(&mut piece, "result", id);
                writer.open_ns("bind", ns::BIND).leaf("jid", jid).close().close();
                drop(writer);
                out.put(&piece);
                return Action::Established;
            }
            Err(BindRefusal::NotAuthorized) => return self.fail(StreamCondition::NotAuthorized, None, out),
            Err(BindRefusal::BadResource) => StanzaCondition::BadRequest,
            Err(BindRefusal::TooMany) => StanzaCondition::ResourceConstraint,
            Err(BindRefusal::Unavailable) => StanzaCondition::InternalServerError,
        };
        let (mut piece, mut error) = (Vec::with_capacity(256), Vec::with_capacity(128));
        error_element(&mut error, &StanzaError::new(condition));
        self.open_iq(&mut piece, "error", id).raw(&error).close();
        out.put(&piece);
        self.refused(State::Session, out)
    }

    pub(super) fn answer_resume(
        &mut self,
        previd: &str,
        result: Result<u32, Option<u32>>,
        out: &mut dyn Outlet,
    ) -> Action {
        match result {
            Ok(h) => {
                let mut piece = Vec::with_capacity(128);
                sm::write_resumed(&mut piece, previd, h);
                out.put(&piece);
                Action::Established
            }
            Err(h) => self.refuse_stream_management(StanzaCondition::ItemNotFound, h, out),
        }
    }

    fn refuse_stream_management(
        &mut self,
        condition: StanzaCondition,
        h: Option<u32>,
        out: &mut dyn Outlet,
    ) -> Action {
        let mut piece = Vec::with_capacity(128);
        sm::write_failed(&mut piece, condition, h);
        out.put(&piece);
        self.refused(State::Session, out)
    }

    fn refused(&mut self, next: State, out: &mut dyn Outlet) -> Action {
        self.state = next;
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= REFUSALS_MAX {
            return self.fail(StreamCondition::PolicyViolation, Some("too many refused requests"), out);
        }
        Action::Read
    }

    fn open_iq<'o>(&self, piece: &'o mut Vec<u8>, iq_type: &str, id: Option<&str>) -> Writer<'o> {
        let mut writer = Writer::new(piece);
        writer
            .open("iq")
            .attr_opt("xmlns", self.framing.stanza_ns())
            .attr("type", iq_type)
            .attr_opt("id", id);
        writer
    }
}

/// Whether a client asks for what it may ask for once it is authenticated. Too early it is told so (XEP-0198 §3, §5), and the
/// stream goes on.
pub(super) fn asks_for_stream_management(element: &Stanza<'_>) -> bool {
    element.is("enable", ns::SM) || element.is("resume", ns::SM)
}
