//! One of the two instances of a pair: joining, standby, asking, holder, handing over.
//!
//! The holder asks before each batch [`Instance::may_emit`], and emits no record beyond [`Instance::committed`].

use std::collections::VecDeque;

use clock::Instant;
use serde::{Deserialize, Serialize};

use super::holder::Holder;
use super::message::{Body, Message, Party, VERSION};
use super::rules::Rules;
use super::timing::Timing;
use super::types::{Epoch, Held, Incarnation, Member, Membership, PairId, Position, Record};
use super::{Became, Durable, Output};

/// What its supervisor tells an instance when it starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which pair.
    pub pair: PairId,
    /// Which of the two, in which of its lives.
    pub member: Member,
    /// The membership that the life before had persisted, or the first one.
    pub membership: Membership,
    /// Times.
    pub timing: Timing,
    /// [`Rules::all`].
    pub rules: Rules,
}

/// X1 or X2.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Instance {
    pub(super) pair: PairId,
    pub(super) member: Member,
    pub(super) rules: Rules,
    pub(super) timing: Timing,
    /// What it was last told of the pair; blank while joining, but for the membership.
    pub(super) view: Record,
    /// What it holds of the mirror log.
    pub(super) held: Option<Held>,
    /// The newest life of the other instance that it heard of.
    pub(super) other: Option<Incarnation>,
    /// How many questions it has asked.
    pub(super) asked_count: u32,
    pub(super) role: Role,
    #[serde(skip)]
    pub(super) outputs: VecDeque<Output>,
}

/// What an instance is, with what is true only then.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// It knows nothing and has told the witness so (S2-Q6).
    Joining {
        /// When to say it again.
        hello_at: Instant,
        /// It must not ask before (S2-Q7).
        ask_from: Instant,
    },
    /// It follows.
    Standby {
        /// It must not ask before (S2-Q3), unless the holder has ended.
        ask_from: Instant,
    },
    /// It asks for the next epoch and acknowledges nothing (S2-Q3).
    Asking(Asking),
    /// It holds.
    Holder(Holder),
    /// It holds, takes nothing new and waits for the last acknowledgement (S2-Q11).
    HandingOver(Holder),
}

/// A question that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asking {
    /// Which one of this life.
    pub number: u32,
    /// The epoch it wants to follow.
    pub epoch: Epoch,
    /// When it was first sent: from then the lease will count (S2-Q2).
    pub sent: Instant,
    /// When to repeat it.
    pub repeat_at: Instant,
}

impl Instance {
    /// A new life that knows nothing.
    pub fn start(now: Instant, start: Start) -> Instance {
        let Start { pair, member, membership, timing, rules } = start;
        let ask_from = if rules.boot_wait { now + timing.wait() } else { now };
        let role =
            if rules.hello { Role::Joining { hello_at: now, ask_from } } else { Role::Standby { ask_from } };
        let view = Record::blank(membership, timing.lease());
        let mut instance = Instance {
            pair,
            member,
            rules,
            timing,
            view,
            held: None,
            other: None,
            asked_count: 0,
            role,
            outputs: VecDeque::new(),
        };
        if !rules.hello {
            instance.tell_witness(Body::Hello);
        }
        instance
    }

    /// Takes in a message.
    pub fn handle_message(&mut self, now: Instant, from: Party, message: Message) {
        let is_for_us = message.to.is_none_or(|to| to == self.member.incarnation) || !self.rules.incarnations;
        if !message.is_readable(self.pair) || !is_for_us {
            return;
        }
        match from {
            Party::Supervisor => self.on_supervisor(now, message.body),
            Party::Witness(_) if message.body == Body::Propose => self.on_propose(now, message.membership),
            _ if message.membership != self.view.membership && self.rules.membership_order => {}
            Party::Witness(_) => self.on_witness(now, message.body),
            Party::Instance(instance) if instance != self.member.instance => {
                let Some(incarnation) = message.from else { return };
                if self.other.is_some_and(|known| known > incarnation) && self.rules.incarnations {
                    return;
                }
                self.other = Some(incarnation);
                self.on_other(now, Member { instance, incarnation }, message.body);
            }
            Party::Instance(_) => {}
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let renewal = self.timing.renewal();
        match &mut self.role {
            Role::Joining { hello_at, .. } if now >= *hello_at => {
                *hello_at = now + renewal;
                self.tell_witness(Body::Hello);
            }
            Role::Asking(asking) if now >= asking.repeat_at => {
                asking.repeat_at = now + renewal;
                let Asking { epoch, number, .. } = *asking;
                let has_ended = self.view.epoch == epoch && self.view.holder_ended();
                self.tell_witness(Body::Ask { epoch, number, has_ended });
            }
            Role::Holder(holder) | Role::HandingOver(holder) if now >= holder.renew_at => {
                holder.renew_at = now + renewal;
                self.renew(now);
            }
            _ => {}
        }
        self.settle(now);
    }

    /// What it has to say, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Instance::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.role {
            Role::Joining { hello_at, .. } => Some(*hello_at),
            Role::Standby { ask_from } => Some(*ask_from),
            Role::Asking(asking) => Some(asking.repeat_at),
            Role::Holder(holder) | Role::HandingOver(holder) => {
                let gives_up = holder.waits_since.filter(|_| holder.change.is_none());
                let gives_up = gives_up.map(|since| since + self.timing.commit_wait_max());
                Some(gives_up.map_or(holder.renew_at, |at| at.min(holder.renew_at)))
            }
        }
    }

    /// The holder commits one more record and mirrors it. Returns its position; `None` for who may not.
    pub fn commit(&mut self, now: Instant) -> Option<Position> {
        if !self.may_emit(now) {
            return None;
        }
        let Role::Holder(holder) = &mut self.role else { return None };
        holder.position = holder.position.next();
        let held = Held { epoch: self.view.epoch, position: holder.position };
        self.held = Some(held);
        if let Some(other) = self.other {
            self.tell_other(Some(other), Body::Mirror { held, is_whole: false });
        }
        self.settle(now);
        Some(held.position)
    }

    /// The holder begins an orderly hand-over (S2-Q11). Refused when nobody is in sync to take it.
    pub fn hand_over(&mut self, now: Instant) -> bool {
        let Role::Holder(holder) = &self.role else { return false };
        if !self.is_protected() {
            return false;
        }
        self.role = Role::HandingOver(holder.clone());
        self.settle(now);
        true
    }

    /// May anything be emitted now? To be asked directly before each batch (S2-Q2).
    pub fn may_emit(&self, now: Instant) -> bool {
        match &self.role {
            Role::Holder(holder) | Role::HandingOver(holder) => now < holder.lease_end || !self.rules.lease,
            _ => false,
        }
    }

    /// Up to here records may be emitted, under a lease: the standby holds them, or there is none in sync (S2-Q10).
    pub fn committed(&self) -> Position {
        let (Role::Holder(holder) | Role::HandingOver(holder)) = &self.role else { return Position(0) };
        match self.counted(holder) {
            Some(_) if !self.rules.commit => holder.position,
            Some(incarnation) => holder.mirrored_by(incarnation).unwrap_or(Position(0)),
            None => holder.position,
        }
    }

    /// The newest epoch it knows of.
    pub fn epoch(&self) -> Epoch {
        self.view.epoch
    }

    /// Does it hold, with a standby that the witness has in the set?
    pub fn is_protected(&self) -> bool {
        matches!(self.role, Role::Holder(_) | Role::HandingOver(_))
            && self.view.in_sync.of(self.member.instance.other()).is_some()
    }

    /// Other rules from here on: for the model, which shows so what each rule is for.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// What it is.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Which pair it is one of.
    pub fn pair(&self) -> PairId {
        self.pair
    }

    /// Who it is.
    pub fn member(&self) -> Member {
        self.member
    }

    /// What it holds of the mirror log.
    pub fn held(&self) -> Option<Held> {
        self.held
    }

    /// What it was last told of the pair.
    pub fn view(&self) -> &Record {
        &self.view
    }

    fn on_supervisor(&mut self, now: Instant, body: Body) {
        if let Body::Died(member) = body
            && member.instance != self.member.instance
        {
            let had_ended = self.view.holder_ended();
            self.view.end_life(member);
            // What it acknowledged is no reason to have it added again.
            if let Role::Holder(holder) | Role::HandingOver(holder) = &mut self.role {
                holder.mirrored.take_if(|mirrored| mirrored.incarnation == member.incarnation);
            }
            self.on_ended(now, had_ended);
        }
    }

    /// S2-Q7. What was asked of the old witness is void: its answers count for nothing from here.
    fn on_propose(&mut self, now: Instant, membership: Membership) {
        let knows = !matches!(self.role, Role::Joining { .. }) || !self.rules.knowing_accept;
        if membership < self.view.membership || !knows {
            return;
        }
        if membership > self.view.membership {
            self.view.membership = membership;
            if self.rules.membership_durable {
                self.outputs.push_back(Output::Persist(Durable::Membership(membership)));
            }
            match &mut self.role {
                Role::Asking(_) => self.role = Role::Standby { ask_from: now + self.timing.wait() },
                Role::Standby { ask_from } => *ask_from = (*ask_from).max(now + self.timing.wait()),
                Role::Holder(holder) | Role::HandingOver(holder) => holder.witness_stamp = None,
                Role::Joining { .. } => {}
            }
        }
        let mut view = self.view;
        if let Role::Holder(holder) | Role::HandingOver(holder) = &self.role {
            *view.in_sync.of_mut(self.member.instance.other()) = self.counted(holder);
        }
        self.tell_witness(Body::Accepted(view));
    }

    fn on_witness(&mut self, now: Instant, body: Body) {
        match body {
            Body::Stands(record) => self.on_stands(now, record),
            Body::Heard { epoch, acknowledged, stamp, .. } => {
                if let Some(holder) = self.holder_of(epoch) {
                    holder.witness_stamp = holder.witness_stamp.max(Some(stamp));
                    self.on_acknowledged(now, acknowledged);
                }
            }
            Body::Granted { number, record } => self.on_granted(now, number, record),
            Body::Refused { number, record, .. } => {
                if matches!(self.role, Role::Asking(asking) if asking.number == number) {
                    self.role = Role::Standby { ask_from: now + self.timing.renewal() };
                }
                self.on_stands(now, record);
            }
            _ => {}
        }
    }

    fn on_other(&mut self, now: Instant, from: Member, body: Body) {
        let words_of_holder = match body {
            Body::Renewal { epoch, .. } | Body::Released(epoch) => Some(epoch),
            Body::Mirror { held, .. } => Some(held.epoch),
            _ => None,
        };
        if words_of_holder.is_some_and(|epoch| !self.follows(now, from, epoch)) {
            return;
        }
        match body {
            Body::Renewal { epoch, sent, echo } => self.answer_renewal(now, from, epoch, sent, echo),
            Body::Mirror { held, is_whole } => self.on_mirror(from, held, is_whole),
            Body::Released(_) => {
                let had_ended = self.view.holder_ended();
                self.view.is_released = true;
                self.on_ended(now, had_ended);
            }
            Body::Heard { epoch, acknowledged, stamp, held } => {
                if let Some(holder) = self.holder_of(epoch) {
                    holder.standby_stamp = holder.standby_stamp.max(Some(stamp));
                    self.on_acknowledged(now, acknowledged);
                    self.on_mirrored(from.incarnation, held);
                    self.feed(from.incarnation);
                }
            }
            Body::Mirrored(held) if held.epoch == self.view.epoch => {
                self.on_mirrored(from.incarnation, Some(held));
            }
            _ => {}
        }
    }

    /// The witness says how it stands. A higher epoch ends whatever this instance was.
    fn on_stands(&mut self, now: Instant, record: Record) {
        let wait = self.ask_wait();
        if let Role::Joining { ask_from, .. } = self.role {
            if record.known.names(self.member) || !self.rules.incarnations {
                // The lease of the pair may be longer than the one this instance was started with.
                if let Ok(timing) = Timing::of(record.lease) {
                    self.timing = timing;
                }
                self.view = record;
                self.role = Role::Standby { ask_from: ask_from.max(now + self.timing.wait()) };
                self.outputs.push_back(Output::Became(Became::Welcome(record.epoch)));
            }
            return;
        }
        if !record.is_newer_than(&self.view) && self.rules.epoch_order {
            return;
        }
        let is_higher = record.epoch > self.view.epoch;
        let was_protected = self.is_protected();
        let had_ended = self.view.holder_ended() && !is_higher;
        self.view = record;
        let other = *record.known.of(self.member.instance.other());
        self.other = self.other.max(other);
        match &mut self.role {
            // Its own grant is on the way: it goes on asking until it comes.
            Role::Asking(_) if record.holder == Some(self.member) => {}
            Role::Standby { ask_from } if is_higher => {
                *ask_from = now + wait;
                self.on_ended(now, had_ended);
            }
            Role::Standby { .. } => self.on_ended(now, had_ended),
            Role::Asking(_) if !is_higher => {}
            Role::Holder(holder) | Role::HandingOver(holder)
                if !is_higher && record.in_sync.names(self.member) =>
            {
                if holder.change.is_some_and(|(_, based_on)| based_on < record.set_version) {
                    holder.change = None;
                    holder.waits_since = None;
                }
                let is_protected = self.is_protected();
                if was_protected != is_protected {
                    let became =
                        if is_protected { Became::Protected } else { Became::Unprotected }(record.epoch);
                    self.outputs.push_back(Output::Became(became));
                }
            }
            _ => self.become_standby(now),
        }
    }

    /// What follows from the state as it is now, after whatever changed it.
    fn settle(&mut self, now: Instant) {
        self.settle_waiting(now);
        self.settle_set();
        match &self.role {
            Role::HandingOver(holder) => {
                let counted = self.counted(holder);
                let has_everything = counted
                    .is_none_or(|incarnation| holder.mirrored_by(incarnation) == Some(holder.position));
                let is_settled = holder.change.is_none() && self.is_protected() && has_everything;
                if is_settled || !self.rules.release_after_last {
                    self.release(now);
                } else if !self.is_protected() {
                    // Nobody is there to take over any more.
                    self.role = Role::Holder(holder.clone());
                }
            }
            Role::Standby { ask_from } if now >= *ask_from => self.ask(now),
            _ => {}
        }
    }

    pub(super) fn tell_witness(&mut self, body: Body) {
        self.send(Party::Witness(self.view.membership), None, body);
    }

    pub(super) fn tell_other(&mut self, incarnation: Option<Incarnation>, body: Body) {
        self.send(Party::Instance(self.member.instance.other()), incarnation, body);
    }

    fn send(&mut self, to: Party, incarnation: Option<Incarnation>, body: Body) {
        let message = Message {
            version: VERSION,
            pair: self.pair,
            membership: self.view.membership,
            from: Some(self.member.incarnation),
            to: incarnation,
            body,
        };
        self.outputs.push_back(Output::Send { to, message });
    }
}
