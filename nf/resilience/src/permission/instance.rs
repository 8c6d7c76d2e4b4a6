//! One of the two instances of a pair: joining, standby, asking, holder, handing over.
//!
//! The holder asks before each batch [`Instance::may_emit`], and emits no record beyond [`Instance::committed`].

use std::collections::VecDeque;

use clock::{Duration, Instant};
use serde::{Deserialize, Serialize};

use super::holder::{Change, Holder, Mirrored};
use super::message::{Body, Message, Party, VERSION};
use super::rules::Rules;
use super::timing::Timing;
use super::types::{
    BothInstances, Epoch, Held, Incarnation, Member, Membership, PairId, Position, Record,
    SetVersion,
};
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
    pair: PairId,
    member: Member,
    rules: Rules,
    timing: Timing,
    /// What it was last told of the pair; blank while joining, but for the membership.
    view: Record,
    /// What it holds of the mirror log.
    held: Option<Held>,
    /// The newest life of the other instance that it heard of.
    other: Option<Incarnation>,
    /// How many questions it has asked.
    asked_count: u32,
    role: Role,
    #[serde(skip)]
    outputs: VecDeque<Output>,
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
        let role = if rules.hello {
            Role::Joining { hello_at: now, ask_from }
        } else {
            Role::Standby { ask_from }
        };
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
            instance.to_witness(Body::Hello);
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
                self.to_witness(Body::Hello);
            }
            Role::Asking(asking) if now >= asking.repeat_at => {
                asking.repeat_at = now + renewal;
                let Asking { epoch, number, .. } = *asking;
                let has_ended = self.view.epoch == epoch && self.view.holder_ended();
                self.to_witness(Body::Ask { epoch, number, has_ended });
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
            self.to_other(Some(other), Body::Mirror { held, is_whole: false });
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
            self.on_ended(now, had_ended);
        }
    }

    /// S2-Q3: a holder that released or died leaves nothing to wait for.
    fn on_ended(&mut self, now: Instant, had_ended: bool) {
        if let Role::Standby { ask_from } = &mut self.role
            && self.view.holder_ended()
            && !had_ended
        {
            *ask_from = now;
        }
    }

    /// How long a standby waits after its last acknowledgement before it asks (S2-Q3).
    fn ask_wait(&self) -> Duration {
        if self.rules.standby_waits { self.timing.wait() } else { self.timing.renewal() }
    }

    /// S2-Q7. What was asked of the old witness is void: its answers count for nothing from here.
    fn on_propose(&mut self, now: Instant, membership: Membership) {
        let knows = !matches!(self.role, Role::Joining { .. }) || !self.rules.knowing_accept;
        if membership < self.view.membership || !knows {
            return;
        }
        if membership > self.view.membership {
            self.view.membership = membership;
            self.outputs.push_back(Output::Persist(Durable::Membership(membership)));
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
        self.to_witness(Body::Accepted(view));
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
        match body {
            Body::Renewal { epoch, sent, echo } => {
                if self.follows(now, from, epoch) {
                    self.answer_renewal(now, from, epoch, sent, echo);
                }
            }
            Body::Mirror { held, is_whole } => {
                if self.follows(now, from, held.epoch) {
                    self.on_mirror(from, held, is_whole);
                }
            }
            Body::Released(epoch) => {
                if self.follows(now, from, epoch) {
                    let had_ended = self.view.holder_ended();
                    self.view.is_released = true;
                    self.on_ended(now, had_ended);
                }
            }
            Body::Heard { epoch, acknowledged, stamp, held } => {
                if let Some(holder) = self.holder_of(epoch) {
                    holder.standby_stamp = holder.standby_stamp.max(Some(stamp));
                    self.on_acknowledged(now, acknowledged);
                    self.on_mirrored(from.incarnation, held);
                    self.feed(from.incarnation);
                }
            }
            Body::Mirrored(held) => {
                if self.holder_of(held.epoch).is_some() {
                    self.on_mirrored(from.incarnation, Some(held));
                }
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

    fn on_granted(&mut self, now: Instant, number: u32, record: Record) {
        let Role::Asking(asking) = self.role else { return };
        let is_ours = asking.number == number
            && record.holder == Some(self.member)
            && record.epoch == asking.epoch.next();
        if !is_ours {
            return;
        }
        let counts_from = if self.rules.lease_from_send { asking.sent } else { now };
        let position = self.held.map_or(Position(0), |held| held.position);
        self.view = record;
        self.held = Some(Held { epoch: record.epoch, position });
        self.role = Role::Holder(Holder::granted(now, counts_from + self.timing.lease(), position));
        self.outputs.push_back(Output::Became(Became::Holder(record.epoch)));
        if record.lossy == Some(record.epoch) {
            self.outputs.push_back(Output::Became(Became::Lossy(record.epoch)));
        }
    }

    /// S2-Q2: the lease counts from when the renewal was sent.
    fn on_acknowledged(&mut self, now: Instant, sent: Option<Instant>) {
        let counts_from = sent.map(|sent| if self.rules.lease_from_send { sent } else { now });
        let lease = self.timing.lease();
        if let (Role::Holder(holder) | Role::HandingOver(holder), Some(from)) = (&mut self.role, counts_from) {
            holder.lease_end = holder.lease_end.max(from + lease);
        }
    }

    fn on_mirrored(&mut self, incarnation: Incarnation, held: Option<Held>) {
        let epoch = self.view.epoch;
        let (Role::Holder(holder) | Role::HandingOver(holder)) = &mut self.role else { return };
        let before = holder.mirrored_by(incarnation);
        let position = held.filter(|held| held.epoch == epoch).map(|held| held.position);
        holder.mirrored = Some(Mirrored { incarnation, position: before.max(position) });
    }

    /// Sends the standby what it lacks: a snapshot first, then record by record.
    fn feed(&mut self, incarnation: Incarnation) {
        let (Role::Holder(holder) | Role::HandingOver(holder)) = &self.role else { return };
        let (epoch, position) = (self.view.epoch, holder.position);
        let body = match holder.mirrored_by(incarnation) {
            None => Body::Mirror { held: Held { epoch, position }, is_whole: true },
            Some(has) if has < position => {
                Body::Mirror { held: Held { epoch, position: has.next() }, is_whole: false }
            }
            Some(_) => return,
        };
        self.to_other(Some(incarnation), body);
    }

    /// Is `from` the holder that this instance follows under `epoch`? A higher epoch is followed from here on.
    fn follows(&mut self, now: Instant, from: Member, epoch: Epoch) -> bool {
        if matches!(self.role, Role::Joining { .. }) {
            return false;
        }
        if epoch > self.view.epoch {
            self.view.epoch = epoch;
            self.view.holder = Some(from);
            self.view.in_sync = BothInstances::only(from);
            self.view.set_version = SetVersion(0);
            self.view.is_released = false;
            self.become_standby(now);
        }
        let is_holder = matches!(self.role, Role::Holder(_) | Role::HandingOver(_));
        let is_current = epoch == self.view.epoch && self.view.holder == Some(from);
        !is_holder && (is_current || !self.rules.epoch_order)
    }

    fn answer_renewal(
        &mut self,
        now: Instant,
        from: Member,
        epoch: Epoch,
        sent: Instant,
        echo: Option<Instant>,
    ) {
        let hears = echo.is_some_and(|echo| now.saturating_since(echo) <= self.timing.echo_age_max());
        let acknowledges = (hears || !self.rules.echo) && !self.view.holder_ended();
        let wait = self.ask_wait();
        let acknowledges = match &mut self.role {
            Role::Standby { ask_from } if acknowledges => {
                *ask_from = (*ask_from).max(now + wait);
                true
            }
            Role::Asking(_) => acknowledges && !self.rules.silence_while_asking,
            _ => false,
        };
        let acknowledged = acknowledges.then_some(sent);
        let body = Body::Heard { epoch, acknowledged, stamp: now, held: self.held };
        self.to_other(Some(from.incarnation), body);
    }

    /// S2-Q5: what is older than what is held is ignored.
    fn on_mirror(&mut self, from: Member, held: Held, is_whole: bool) {
        let follows_on = self
            .held
            .is_some_and(|ours| ours.epoch == held.epoch && ours.position.next() == held.position);
        let is_newer = self.held.is_none_or(|ours| held > ours) || !self.rules.snapshot_order;
        if if is_whole { is_newer } else { follows_on } {
            self.held = Some(held);
        }
        if let Some(ours) = self.held.filter(|ours| ours.epoch == held.epoch) {
            self.to_other(Some(from.incarnation), Body::Mirrored(ours));
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
            Role::Standby { ask_from } => {
                if now >= *ask_from {
                    self.ask(now);
                }
            }
            _ => {}
        }
    }

    /// Keeps the time since when a record waits, and asks to have a silent standby removed (S2-Q5, S2-E5).
    fn settle_waiting(&mut self, now: Instant) {
        let wait = self.timing.commit_wait_max();
        let committed = self.committed();
        let set_version = self.view.set_version;
        let mut removes = None;
        if let Role::Holder(holder) | Role::HandingOver(holder) = &mut self.role {
            if committed >= holder.position {
                holder.waits_since = None;
            } else {
                let since = *holder.waits_since.get_or_insert(now);
                let is_asked = matches!(holder.change, Some((Change::Remove, based_on)) if based_on == set_version);
                if now.saturating_since(since) >= wait && !is_asked {
                    holder.change = Some((Change::Remove, set_version));
                    removes = holder.change;
                }
            }
        }
        self.ask_for(removes);
    }

    /// Asks to have the standby added once it acknowledged everything (S2-Q5).
    fn settle_set(&mut self) {
        let Role::Holder(holder) = &self.role else { return };
        let in_set = *self.view.in_sync.of(self.member.instance.other());
        let (None, Some(mirrored)) = (holder.change, holder.mirrored) else { return };
        let has_everything = mirrored.position == Some(holder.position) || !self.rules.acknowledged_before_add;
        if in_set.is_some() || !has_everything || Some(mirrored.incarnation) != self.other {
            return;
        }
        let change = Some((Change::Add(mirrored.incarnation), self.view.set_version));
        if let Role::Holder(holder) = &mut self.role {
            holder.change = change;
        }
        self.ask_for(change);
    }

    /// The life of the standby whose acknowledgements the holder waits for: it is in the set, or may be by now.
    fn counted(&self, holder: &Holder) -> Option<Incarnation> {
        let in_set = *self.view.in_sync.of(self.member.instance.other());
        match holder.change {
            Some((Change::Add(incarnation), _)) if self.rules.commit_from_asking => Some(incarnation),
            // The addition may have come before the removal, or comes still.
            Some((Change::Remove, _)) if self.rules.remove_first => in_set.or(self.other),
            Some((Change::Remove, _)) => None,
            _ => in_set,
        }
    }

    fn ask(&mut self, now: Instant) {
        self.asked_count += 1;
        let (number, epoch) = (self.asked_count, self.view.epoch);
        let has_ended = self.view.holder_ended();
        self.role =
            Role::Asking(Asking { number, epoch, sent: now, repeat_at: now + self.timing.renewal() });
        self.outputs.push_back(Output::Became(Became::Asking(epoch)));
        self.to_witness(Body::Ask { epoch, number, has_ended });
    }

    /// S2-Q11: final for this epoch.
    fn release(&mut self, now: Instant) {
        let epoch = self.view.epoch;
        self.to_witness(Body::Released(epoch));
        self.to_other(self.other, Body::Released(epoch));
        if let (Role::HandingOver(holder), false) = (&self.role, self.rules.release_final) {
            self.role = Role::Holder(holder.clone());
            return;
        }
        self.view.is_released = true;
        self.become_standby(now);
    }

    fn become_standby(&mut self, now: Instant) {
        if !matches!(self.role, Role::Standby { .. }) {
            self.outputs.push_back(Output::Became(Became::Standby(self.view.epoch)));
        }
        self.role = Role::Standby { ask_from: now + self.ask_wait() };
    }

    fn renew(&mut self, now: Instant) {
        let epoch = self.view.epoch;
        let (Role::Holder(holder) | Role::HandingOver(holder)) = &self.role else { return };
        let (to_standby, to_witness, change) = (holder.standby_stamp, holder.witness_stamp, holder.change);
        self.to_other(None, Body::Renewal { epoch, sent: now, echo: to_standby });
        self.to_witness(Body::Renewal { epoch, sent: now, echo: to_witness });
        self.ask_for(change);
    }

    fn ask_for(&mut self, change: Option<(Change, SetVersion)>) {
        if let Some((change, set_version)) = change {
            self.to_witness(Body::Change { epoch: self.view.epoch, set_version, change });
        }
    }

    fn holder_of(&mut self, epoch: Epoch) -> Option<&mut Holder> {
        let is_ours = epoch == self.view.epoch || !self.rules.epoch_order;
        match &mut self.role {
            Role::Holder(holder) | Role::HandingOver(holder) if is_ours => Some(holder),
            _ => None,
        }
    }

    fn to_witness(&mut self, body: Body) {
        self.send(Party::Witness(self.view.membership), None, body);
    }

    fn to_other(&mut self, incarnation: Option<Incarnation>, body: Body) {
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
