//! Calls of a device, as caller and as callee (RFC 3261 §12 to §15, RFC 3262, RFC 3311).

use bytes::Bytes;
use clock::{Duration, Instant};
use sip::transaction::build_cancel;
use sip::{Draft, Message, Method, Name, NameAddress};

use crate::device::{Device, Purpose, TimerKey};
use crate::report::{CallId, Failure, Report};
use crate::text::{RequestText, contact_uri, session_description};
use crate::{AnswerBehaviour, Profile};

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub local_tag: String,
    remote_tag: String,
    local_uri: String,
    remote_uri: String,
    /// The other side's Contact.
    remote_target: String,
    /// The route set, in the order of our requests.
    route: Vec<String>,
    cseq: u32,
    /// The INVITE: sent by the caller, received by the callee.
    invite: Bytes,
    /// Hang up as soon as that is possible: the user has put the receiver down.
    is_unwanted: bool,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Caller: no final answer yet.
    Calling { has_provisional: bool, is_cancel_wanted: bool, answered_rseq: u32 },
    /// Callee: rings until then. With a reliable 180 it waits for the PRACK first.
    Ringing { until: Option<Instant>, rseq: Option<u32>, resend: Option<Resend> },
    /// Callee: the final answer is repeated until the ACK is here (RFC 3261 §13.3.1.4, §17.2.1).
    Answered { is_success: bool, resend: Resend },
    /// Both: the call is up. The caller keeps its ACK for repetitions of the 200.
    Up { ack: Option<Bytes> },
}

/// Something repeated until the other side confirms it.
#[derive(Clone, Debug)]
struct Resend {
    bytes: Bytes,
    at: Instant,
    interval: Duration,
    give_up_at: Instant,
}

impl Resend {
    fn start(now: Instant, bytes: Bytes, profile: &Profile) -> Resend {
        let t1 = profile.timers.t1;
        Resend { bytes, at: now + t1, interval: t1, give_up_at: now + profile.timers.give_up() }
    }

    fn again(&mut self, now: Instant, profile: &Profile) -> Bytes {
        self.interval = (self.interval * 2).min(profile.timers.t2);
        self.at = now + self.interval;
        self.bytes.clone()
    }
}

impl Device {
    /// Calls `to`; tells the Call-ID.
    pub fn call(&mut self, now: Instant, to: &str) -> CallId {
        let call_id = self.unique("call");
        let branch = self.unique("z9hG4bK");
        let bytes = self
            .initial("INVITE", to, &branch, &call_id, 1)
            .header("Contact", format!("<{}>", contact_uri(&self.profile)))
            .header("Supported", "100rel, timer")
            .header("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, MESSAGE, INFO")
            .finish(Some("application/sdp"), &session_description(&self.profile, 1));
        let local_tag = Message::parse(bytes.clone())
            .ok()
            .and_then(|invite| Some(invite.from()?.tag()?.to_owned()))
            .expect("the INVITE was written with a From tag just now");
        let call = Call {
            local_tag,
            remote_tag: String::new(),
            local_uri: self.profile.public_identity.clone(),
            remote_uri: to.to_owned(),
            remote_target: to.to_owned(),
            route: Vec::new(),
            cseq: 1,
            invite: bytes.clone(),
            is_unwanted: false,
            state: State::Calling { has_provisional: false, is_cancel_wanted: false, answered_rseq: 0 },
        };
        self.calls.insert(call_id.clone(), call);
        self.report(Report::InviteSent { call: call_id.clone(), at: now });
        self.start(now, branch, "INVITE", Purpose::Invite(call_id.clone()), bytes);
        call_id
    }

    /// Ends a call: BYE when it is up, CANCEL when it is not answered yet.
    pub fn hang_up(&mut self, now: Instant, call_id: &str) {
        let Some(call) = self.calls.get_mut(call_id) else { return };
        call.is_unwanted = true;
        match &mut call.state {
            State::Calling { has_provisional: false, is_cancel_wanted, .. } => *is_cancel_wanted = true,
            State::Calling { .. } => self.send_cancel(now, call_id),
            State::Up { .. } => self.in_dialog(now, call_id, "BYE", Purpose::Release(call_id.to_owned())),
            State::Ringing { .. } | State::Answered { .. } => {}
        }
    }

    /// Sends UPDATE, INFO or a re-INVITE in a call that is up.
    pub fn send_in_call(&mut self, now: Instant, call_id: &str, method: Method<'_>) {
        if self.calls.get(call_id).is_some_and(|call| matches!(call.state, State::Up { .. })) {
            self.in_dialog(now, call_id, method.as_str(), Purpose::Other(Some(call_id.to_owned())));
        }
    }

    fn in_dialog(&mut self, now: Instant, call_id: &str, method: &str, purpose: Purpose) {
        let branch = self.unique("z9hG4bK");
        let profile = self.profile.clone();
        let Some(call) = self.calls.get_mut(call_id) else { return };
        call.cseq += 1;
        let cseq = call.cseq;
        let request = call.request(&profile, call_id, method, &branch, cseq);
        let bytes = match method {
            "INVITE" | "UPDATE" => request
                .header("Contact", format!("<{}>", contact_uri(&profile)))
                .finish(Some("application/sdp"), &session_description(&profile, cseq)),
            _ => request.finish(None, ""),
        };
        self.start(now, branch, method, purpose, bytes);
    }

    /// The caller heard something that is not final.
    pub(crate) fn on_provisional(&mut self, now: Instant, purpose: &Purpose, response: &Message) {
        let Purpose::Invite(call_id) = purpose else { return };
        let Some(call) = self.calls.get_mut(call_id) else { return };
        let State::Calling { has_provisional, is_cancel_wanted, answered_rseq } = &mut call.state else {
            return;
        };
        *has_provisional = true;
        let wants_cancel = std::mem::take(is_cancel_wanted);
        let rseq = response.number(Name::Rseq).filter(|_| response.has_token(Name::Require, "100rel"));
        let is_new = rseq.is_some_and(|rseq| rseq > *answered_rseq);
        if let (Some(rseq), true) = (rseq, is_new) {
            *answered_rseq = rseq;
            call.learn(response);
            self.acknowledge_provisional(now, &call_id.clone(), rseq);
        }
        if wants_cancel {
            self.send_cancel(now, &call_id.clone());
        }
    }

    /// PRACK (RFC 3262 §4).
    fn acknowledge_provisional(&mut self, now: Instant, call_id: &str, rseq: u32) {
        let branch = self.unique("z9hG4bK");
        let profile = self.profile.clone();
        let Some(call) = self.calls.get_mut(call_id) else { return };
        call.cseq += 1;
        let bytes = call
            .request(&profile, call_id, "PRACK", &branch, call.cseq)
            .header("RAck", format!("{rseq} 1 INVITE"))
            .finish(None, "");
        self.start(now, branch, "PRACK", Purpose::Other(Some(call_id.to_owned())), bytes);
    }

    fn send_cancel(&mut self, now: Instant, call_id: &str) {
        let Some(call) = self.calls.get(call_id) else { return };
        let Ok(invite) = Message::parse(call.invite.clone()) else { return };
        let branch = invite.via().and_then(|via| via.branch()).unwrap_or_default().to_owned();
        let bytes = build_cancel(&invite).emit();
        self.start(now, branch, "CANCEL", Purpose::Other(None), bytes);
    }

    /// The caller has its final answer, or will have none.
    pub(crate) fn on_invite_answer(
        &mut self,
        now: Instant,
        call_id: CallId,
        response: Option<&Message>,
        failure: Failure,
    ) {
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        match response.filter(|response| response.status() < 300) {
            None => {
                self.calls.remove(&call_id);
                self.report(Report::CallFailed { call: call_id, failure });
            }
            Some(response) => {
                if let State::Up { ack: Some(ack) } = &call.state {
                    let ack = ack.clone();
                    return self.send(ack);
                }
                call.learn(response);
                call.state = State::Up { ack: None };
                self.report(Report::Answered { call: call_id.clone(), at: now });
                self.acknowledge(&call_id, response);
                self.release_if_unwanted(now, &call_id);
            }
        }
    }

    /// A 200 that crossed a CANCEL, or an ACK after the callee hung up: the call is up, and goes down by BYE.
    fn release_if_unwanted(&mut self, now: Instant, call_id: &str) {
        if self.calls.get(call_id).is_some_and(|call| call.is_unwanted) {
            self.hang_up(now, call_id);
        }
    }

    /// ACK for a 2xx: end to end, along the route set (RFC 3261 §13.2.2.4).
    pub(crate) fn acknowledge(&mut self, call_id: &str, response: &Message) {
        let branch = self.unique("z9hG4bK");
        let profile = self.profile.clone();
        let cseq = response.cseq().map_or(1, |cseq| cseq.number);
        let Some(call) = self.calls.get_mut(call_id) else { return };
        let bytes = call.request(&profile, call_id, "ACK", &branch, cseq).finish(None, "");
        call.state = State::Up { ack: Some(bytes.clone()) };
        self.send(bytes);
    }

    /// The callee is called, or a call is changed by a re-INVITE.
    pub(crate) fn on_invite(&mut self, now: Instant, invite: Message) {
        let call_id = invite.call_id().to_owned();
        let key = invite_key(&invite);
        if invite.to().is_some_and(|to| to.tag().is_some()) {
            let (status, reason) = if self.calls.contains_key(&call_id) {
                (200, "OK")
            } else {
                (481, "Call/Transaction Does Not Exist")
            };
            let response = self.final_answer(&invite, status, reason);
            return self.answer(now, key, response);
        }
        if self.calls.contains_key(&call_id) {
            // A second copy with another branch: a fork, or a replay that should have kept its branch.
            let response = self.final_answer(&invite, 482, "Loop Detected");
            return self.answer(now, key, response);
        }
        self.report(Report::InviteArrived { call: call_id.clone(), at: now });
        let local_tag = self.unique("t");
        let callee = self.profile.callee;
        let is_reliable = callee.is_ringing_reliable && invite.has_token(Name::Supported, "100rel");
        let until = (callee.answer != AnswerBehaviour::Never).then(|| now + callee.ring);
        let Some(call) = Call::of_invite(&invite, local_tag, until, is_reliable) else { return };
        self.calls.insert(call_id.clone(), call);
        let mut ringing = Draft::response(&invite, 180, "Ringing", &self.local_tag(&invite));
        for value in invite.headers(Name::RecordRoute) {
            ringing.push_back(Name::RecordRoute, value);
        }
        ringing.push_back(Name::Contact, format!("<{}>", contact_uri(&self.profile)));
        if is_reliable {
            ringing.push_back(Name::Require, "100rel");
            ringing.push_back(Name::Rseq, "1");
        }
        let ringing = ringing.emit();
        if is_reliable {
            let resend = Resend::start(now, ringing.clone(), &self.profile);
            if let Some(State::Ringing { resend: slot, .. }) =
                self.calls.get_mut(&call_id).map(|call| &mut call.state)
            {
                *slot = Some(resend);
            }
        }
        self.answer(now, key, ringing);
        if callee.ring.is_zero() && !is_reliable {
            self.on_call_timer(now, call_id);
        } else {
            self.arm_call(&call_id);
        }
    }

    /// What a callee answers finally.
    fn final_answer(&self, invite: &Message, status: u16, reason: &str) -> Bytes {
        let mut draft = Draft::response(invite, status, reason, &self.local_tag(invite));
        if status < 300 {
            for value in invite.headers(Name::RecordRoute) {
                draft.push_back(Name::RecordRoute, value);
            }
            draft.push_back(Name::Contact, format!("<{}>", contact_uri(&self.profile)));
            draft.set_body("application/sdp", session_description(&self.profile, 1));
        }
        draft.emit()
    }

    pub(crate) fn on_call_timer(&mut self, now: Instant, call_id: CallId) {
        let profile = self.profile.clone();
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        match &mut call.state {
            State::Ringing { resend: Some(resend), .. } if resend.at <= now => {
                if resend.give_up_at > now {
                    let bytes = resend.again(now, &profile);
                    self.send(bytes);
                } else {
                    // RFC 3262 §3: no PRACK came for the reliable 180.
                    self.finish_ringing(now, &call_id, 500, "Server Internal Error");
                }
            }
            State::Ringing { until: Some(until), rseq: None, .. } if *until <= now => {
                let (status, reason) = match profile.callee.answer {
                    AnswerBehaviour::Busy => (486, "Busy Here"),
                    AnswerBehaviour::Accept | AnswerBehaviour::Never => (200, "OK"),
                };
                self.finish_ringing(now, &call_id, status, reason);
            }
            State::Answered { resend, is_success } if resend.at <= now => {
                if resend.give_up_at > now {
                    let bytes = resend.again(now, &profile);
                    self.send(bytes);
                } else {
                    let is_success = *is_success;
                    self.calls.remove(&call_id);
                    if is_success {
                        self.report(Report::CallFailed { call: call_id.clone(), failure: Failure::TimedOut });
                    }
                }
            }
            _ => {}
        }
        self.arm_call(&call_id);
    }

    fn finish_ringing(&mut self, now: Instant, call_id: &str, status: u16, reason: &str) {
        let Some(call) = self.calls.get(call_id) else { return };
        let Ok(invite) = Message::parse(call.invite.clone()) else { return };
        let bytes = self.final_answer(&invite, status, reason);
        let resend = Resend::start(now, bytes.clone(), &self.profile);
        let is_success = status < 300;
        if let Some(call) = self.calls.get_mut(call_id) {
            call.state = State::Answered { is_success, resend };
        }
        if is_success {
            self.report(Report::AnswerSent { call: call_id.to_owned(), at: now });
        }
        self.answer(now, invite_key(&invite), bytes);
        self.arm_call(call_id);
    }

    fn arm_call(&mut self, call_id: &str) {
        let deadline = self.calls.get(call_id).and_then(|call| match &call.state {
            State::Ringing { resend: Some(resend), .. } => Some(resend.at),
            State::Ringing { until, rseq: None, .. } => *until,
            State::Answered { resend, .. } => Some(resend.at),
            State::Ringing { .. } | State::Calling { .. } | State::Up { .. } => None,
        });
        self.timers.set(TimerKey::Call(call_id.to_owned()), deadline);
    }

    pub(crate) fn on_ack(&mut self, now: Instant, ack: &Message) {
        let call_id = ack.call_id().to_owned();
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        let State::Answered { is_success, .. } = &call.state else { return };
        if *is_success {
            call.state = State::Up { ack: None };
            self.report(Report::Acknowledged { call: call_id.clone(), at: now });
            self.release_if_unwanted(now, &call_id);
        } else {
            self.calls.remove(&call_id);
        }
        self.arm_call(&call_id);
    }

    /// A PRACK confirms the reliable 180: the phone may be picked up.
    pub(crate) fn on_prack(&mut self, call_id: &str) {
        if let Some(State::Ringing { rseq, resend, .. }) =
            self.calls.get_mut(call_id).map(|call| &mut call.state)
        {
            (*rseq, *resend) = (None, None);
        }
        self.arm_call(call_id);
    }

    pub(crate) fn on_cancel(&mut self, now: Instant, cancel: &Message) {
        let call_id = cancel.call_id().to_owned();
        let is_ringing =
            self.calls.get(&call_id).is_some_and(|call| matches!(call.state, State::Ringing { .. }));
        if is_ringing {
            self.finish_ringing(now, &call_id, 487, "Request Terminated");
            self.report(Report::CallFailed { call: call_id, failure: Failure::Refused(487) });
        }
    }

    pub(crate) fn on_bye(&mut self, bye: &Message) {
        let call_id = bye.call_id().to_owned();
        if self.calls.remove(&call_id).is_some() {
            self.timers.set(TimerKey::Call(call_id.clone()), None);
            self.report(Report::HungUp { call: call_id });
        }
    }
}

impl Call {
    /// The callee's side of a new call. `None` when the INVITE lacks what a dialog needs.
    fn of_invite(
        invite: &Message,
        local_tag: String,
        until: Option<Instant>,
        is_reliable: bool,
    ) -> Option<Call> {
        let contact = invite.values(Name::Contact).next().and_then(NameAddress::parse)?;
        let from = invite.from()?;
        Some(Call {
            local_tag,
            remote_tag: from.tag().unwrap_or_default().to_owned(),
            local_uri: invite.to()?.uri_text.to_owned(),
            remote_uri: from.uri_text.to_owned(),
            remote_target: contact.uri_text.to_owned(),
            route: invite.values(Name::RecordRoute).map(str::to_owned).collect(),
            cseq: 0,
            invite: invite.raw().clone(),
            is_unwanted: false,
            state: State::Ringing { until, rseq: is_reliable.then_some(1), resend: None },
        })
    }

    /// Takes dialog state from a response to the caller (RFC 3261 §12.1.2).
    fn learn(&mut self, response: &Message) {
        if let Some(tag) = response.to().and_then(|to| to.tag().map(str::to_owned)) {
            self.remote_tag = tag;
        }
        if let Some(contact) = response.values(Name::Contact).next().and_then(NameAddress::parse) {
            self.remote_target = contact.uri_text.to_owned();
        }
        self.route = response.values(Name::RecordRoute).map(str::to_owned).collect();
        self.route.reverse();
    }

    /// A request in this dialog.
    fn request(
        &self,
        profile: &Profile,
        call_id: &str,
        method: &str,
        branch: &str,
        cseq: u32,
    ) -> RequestText {
        let to_tag =
            if self.remote_tag.is_empty() { String::new() } else { format!(";tag={}", self.remote_tag) };
        RequestText::new(profile, method, &self.remote_target, branch)
            .headers("Route", &self.route)
            .header("From", format!("<{}>;tag={}", self.local_uri, self.local_tag))
            .header("To", format!("<{}>{to_tag}", self.remote_uri))
            .header("Call-ID", call_id)
            .header("CSeq", format!("{cseq} {method}"))
    }
}

/// Under which an INVITE's answer is kept for repetitions.
fn invite_key(invite: &Message) -> String {
    format!("{} INVITE", invite.via().and_then(|via| via.branch()).unwrap_or_default())
}
