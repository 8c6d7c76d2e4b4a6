//! The witness: the third vote. It records who holds, who is in sync, and grants the next epoch.
//!
//! It never emits anything but answers, and what it answers is durable first. One process keeps many; each is for one pair.
//!
//! ```text
//!   Proposing ──both accepted──▶ Recording ◀──restart with its record
//! ```

use std::collections::VecDeque;

use clock::Instant;
use serde::{Deserialize, Serialize};

use super::message::{Body, Message, Party, Refused, VERSION};
use super::rules::Rules;
use super::timing::Timing;
use super::types::{
    BothInstances, Epoch, Incarnation, InstanceId, Member, Membership, PairId, Record, SetVersion,
};
use super::{Became, Change, Durable, Output};

/// May a start be declared that can lose records (S2-Q12)?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LossyStart {
    /// Yes, on evidence: what is lost is restored from elsewhere.
    Allowed,
    /// After the first only at the instance that held last: this pair keeps what nobody else has (an HSS), and its disk has
    /// all that ever left, because nothing leaves before it is durable there.
    LastHolder,
}

/// The witness of one pair.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Witness {
    pair: PairId,
    membership: Membership,
    rules: Rules,
    timing: Timing,
    lossy_start: LossyStart,
    state: WitnessState,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

/// What a witness is doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WitnessState {
    /// It is new and asks both instances to count it (S2-Q7).
    Proposing {
        /// Who did so far, and what they know.
        accepted: BothInstances<Option<Acceptance>>,
        /// When to ask again.
        propose_at: Instant,
    },
    /// It counts.
    Recording {
        /// Durable.
        record: Record,
        /// It grants nothing before: 1.25 leases after its start, and after each acknowledgement (S2-Q3, S2-Q7).
        grant_from: Instant,
        /// The same, but only for its start: a holder that ended needs no other wait.
        started_wait: Instant,
    },
}

/// An instance counts a new witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Acceptance {
    /// Which life of it.
    pub incarnation: Incarnation,
    /// What it knows of the pair; its set names everybody whose acknowledgements it waits for.
    pub view: Record,
}

impl Witness {
    /// The first witness of a pair, or one that starts again with what it had persisted. It waits before it grants (S2-Q7).
    pub fn start(
        now: Instant,
        pair: PairId,
        timing: Timing,
        rules: Rules,
        lossy_start: LossyStart,
        record: Record,
    ) -> Witness {
        let grant_from = if rules.boot_wait { now + timing.wait() } else { now };
        let state = WitnessState::Recording { record, grant_from, started_wait: grant_from };
        let membership = record.membership;
        Witness { pair, membership, rules, timing, lossy_start, state, outputs: VecDeque::new() }
    }

    /// A witness that takes the place of one that is lost. It counts when both instances have accepted it.
    pub fn replace(
        now: Instant,
        pair: PairId,
        timing: Timing,
        rules: Rules,
        lossy_start: LossyStart,
        membership: Membership,
    ) -> Witness {
        let accepted = BothInstances { one: None, two: None };
        let state = WitnessState::Proposing { accepted, propose_at: now };
        Witness { pair, membership, rules, timing, lossy_start, state, outputs: VecDeque::new() }
    }

    /// Takes in a message.
    pub fn handle_message(&mut self, now: Instant, from: Party, message: Message) {
        if !message.is_readable(self.pair) {
            return;
        }
        let is_ours = message.membership == self.membership || !self.rules.membership_order;
        match (from, message.body) {
            (Party::Supervisor, Body::Died(member)) => self.on_died(member),
            (Party::Supervisor, Body::DeclareLossy { epoch, member }) => self.on_declare(epoch, member),
            (Party::Instance(instance), body) if is_ours => {
                let Some(incarnation) = message.from else { return };
                self.on_instance(now, Member { instance, incarnation }, body);
            }
            _ => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let WitnessState::Proposing { accepted, propose_at } = &mut self.state else { return };
        if now < *propose_at {
            return;
        }
        *propose_at = now + self.timing.renewal();
        let missing: Vec<_> =
            InstanceId::BOTH.into_iter().filter(|&instance| accepted.of(instance).is_none()).collect();
        for instance in missing {
            self.send(instance, None, Body::Propose);
        }
    }

    /// What it has to say, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Witness::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            WitnessState::Proposing { propose_at, .. } => Some(propose_at),
            WitnessState::Recording { .. } => None,
        }
    }

    /// Is this one that a lossy start may be declared for, once nobody else can come back?
    pub fn may_begin(&self, member: Member) -> bool {
        let last = self.record().and_then(|record| record.holder);
        match self.lossy_start {
            LossyStart::Allowed => true,
            LossyStart::LastHolder => last.is_none_or(|last| last.instance == member.instance),
        }
    }

    /// Its record, if it counts.
    pub fn record(&self) -> Option<&Record> {
        match &self.state {
            WitnessState::Recording { record, .. } => Some(record),
            WitnessState::Proposing { .. } => None,
        }
    }

    /// Other rules from here on: for the model, which shows so what each rule is for.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// What it is doing.
    pub fn state(&self) -> &WitnessState {
        &self.state
    }

    /// Which witness it is.
    pub fn membership(&self) -> Membership {
        self.membership
    }

    fn on_instance(&mut self, now: Instant, from: Member, body: Body) {
        match (&self.state, body) {
            (WitnessState::Proposing { .. }, Body::Accepted(view)) => self.on_accepted(now, from, view),
            (WitnessState::Proposing { .. }, _) => {}
            (WitnessState::Recording { .. }, Body::Hello) => self.on_hello(from),
            (WitnessState::Recording { record, .. }, body) => {
                let is_living = record.known.names(from) || !self.rules.incarnations;
                if !is_living {
                    return;
                }
                match body {
                    Body::Renewal { epoch, sent, echo } => self.on_renewal(now, from, epoch, sent, echo),
                    Body::Change { epoch, set_version, change } => {
                        self.on_change(from, epoch, set_version, change);
                    }
                    Body::Ask { epoch, number, has_ended } => {
                        self.on_ask(now, from, epoch, number, has_ended)
                    }
                    Body::Released(epoch) => self.on_released(from, epoch),
                    _ => {}
                }
            }
        }
    }

    /// S2-Q6: the life before is over; it leaves the set, and if it held, the holder is taken for dead.
    fn on_hello(&mut self, from: Member) {
        let Some((record, _)) = self.recording() else { return };
        let before = *record.known.of(from.instance);
        if before.is_some_and(|known| known > from.incarnation) {
            return;
        }
        if before != Some(from.incarnation) {
            *record.known.of_mut(from.instance) = Some(from.incarnation);
            if self.rules.incarnations {
                self.end_life(from.instance, before);
            } else {
                self.rename(from);
            }
        }
        self.stands(from.instance);
    }

    fn on_died(&mut self, member: Member) {
        self.end_life(member.instance, Some(member.incarnation));
    }

    fn on_released(&mut self, from: Member, epoch: Epoch) {
        let Some((record, _)) = self.recording() else { return };
        if record.epoch == epoch && record.holder == Some(from) && !record.is_released {
            record.is_released = true;
            self.persist();
            self.stands(from.instance.other());
        }
    }

    /// S2-Q12. Before the first grant nothing can be lost, so nothing needs to be proved.
    fn on_declare(&mut self, epoch: Epoch, member: Member) {
        let is_first = epoch == Epoch(0);
        let is_allowed = is_first || self.may_begin(member);
        let needs_evidence = self.rules.lossy_evidence;
        let Some((record, _)) = self.recording() else { return };
        let nobody_comes_back = record.holder_ended() && record.in_sync.is_empty();
        if record.epoch == epoch
            && record.known.names(member)
            && is_allowed
            && (nobody_comes_back || !needs_evidence)
        {
            record.in_sync = BothInstances::only(member);
            record.set_version = record.set_version.next();
            record.lossy = Some(epoch.next());
            self.persist();
            self.stands(member.instance);
        }
    }

    fn on_renewal(&mut self, now: Instant, from: Member, epoch: Epoch, sent: Instant, echo: Option<Instant>) {
        let (timing, rules) = (self.timing, self.rules);
        let Some((record, grant_from)) = self.recording() else { return };
        let holds = record.epoch == epoch && record.holder == Some(from) && !record.holder_ended();
        if !holds && rules.epoch_order {
            self.stands(from.instance);
            return;
        }
        let hears =
            echo.is_some_and(|echo| now.saturating_since(echo) <= timing.echo_age_max()) || !rules.echo;
        if hears {
            // Never earlier than it was: the wait after a start stays.
            *grant_from = (*grant_from).max(now + timing.wait());
        }
        let acknowledged = hears.then_some(sent);
        let body = Body::Heard { epoch, acknowledged, stamp: now, held: None };
        self.send(from.instance, Some(from.incarnation), body);
    }

    fn on_change(&mut self, from: Member, epoch: Epoch, set_version: SetVersion, change: Change) {
        let rules = self.rules;
        let Some((record, _)) = self.recording() else { return };
        let is_unchanged =
            record.epoch == epoch && record.set_version == set_version && record.holder == Some(from);
        if is_unchanged || !rules.compare_and_set {
            let standby = from.instance.other();
            *record.in_sync.of_mut(standby) = match change {
                Change::Add(incarnation) => Some(incarnation),
                Change::Remove => None,
            };
            record.set_version = record.set_version.next();
            self.persist();
        }
        self.stands(from.instance);
    }

    fn on_ask(&mut self, now: Instant, from: Member, epoch: Epoch, number: u32, has_ended: bool) {
        let (timing, rules) = (self.timing, self.rules);
        let WitnessState::Recording { record, grant_from, started_wait } = &mut self.state else { return };
        let is_granted_before = record.holder == Some(from) && record.epoch == epoch.next();
        if is_granted_before {
            // Its answer was lost. The asker acknowledged nobody since it asks, and we acknowledged nobody since.
            *grant_from = (*grant_from).max(now + timing.wait());
            let body = Body::Granted { number, record: *record };
            self.send(from.instance, Some(from.incarnation), body);
            return;
        }
        let earliest = if has_ended || record.holder_ended() { *started_wait } else { *grant_from };
        let refused = if record.epoch != epoch {
            Some(Refused::OtherEpoch)
        } else if rules.in_sync_only && !record.in_sync.names(from) {
            Some(Refused::NotInSync)
        } else if now < earliest && rules.witness_waits {
            Some(Refused::TooEarly)
        } else {
            None
        };
        match refused {
            Some(reason) => {
                let body = Body::Refused { number, reason, record: *record };
                self.send(from.instance, Some(from.incarnation), body);
            }
            None => self.grant(now, from, number),
        }
    }

    /// S2-Q4: the epoch rises by one and only the new holder is in sync, in one step.
    fn grant(&mut self, now: Instant, to: Member, number: u32) {
        let (timing, rules) = (self.timing, self.rules);
        let WitnessState::Recording { record, grant_from, .. } = &mut self.state else { return };
        record.epoch = record.epoch.next();
        record.is_released = false;
        record.holder = Some(to);
        if rules.set_reset_at_grant {
            record.in_sync = BothInstances::only(to);
        }
        record.set_version = record.set_version.next();
        // The grant is the first acknowledgement of the new lease.
        *grant_from = now + timing.wait();
        let record = *record;
        self.persist();
        self.outputs.push_back(Output::Became(Became::Granted(record.epoch, to)));
        self.send(to.instance, Some(to.incarnation), Body::Granted { number, record });
    }

    fn on_accepted(&mut self, now: Instant, from: Member, view: Record) {
        let needs_both = self.rules.both_accept;
        let WitnessState::Proposing { accepted, .. } = &mut self.state else { return };
        *accepted.of_mut(from.instance) = Some(Acceptance { incarnation: from.incarnation, view });
        let (one, two) = (accepted.one, accepted.two);
        let is_enough = if needs_both { one.is_some() && two.is_some() } else { true };
        if is_enough {
            self.become_effective(now, BothInstances { one, two });
        }
    }

    /// The newest view counts; of two that are equal, the holder's own, which names whoever it waits for.
    fn become_effective(&mut self, now: Instant, accepted: BothInstances<Option<Acceptance>>) {
        let mut newest: Option<(bool, Record)> = None;
        let mut known = BothInstances { one: None, two: None };
        for instance in InstanceId::BOTH {
            let Some(Acceptance { incarnation, view }) = *accepted.of(instance) else { continue };
            let is_holder = view.holder == Some(Member { instance, incarnation });
            let is_better = newest.is_none_or(|(best_is_holder, best)| {
                view.is_newer_than(&best) || (!best.is_newer_than(&view) && is_holder && !best_is_holder)
            });
            if is_better {
                newest = Some((is_holder, view));
            }
            let mut latest = Some(incarnation);
            for view_known in [&accepted.one, &accepted.two].into_iter().flatten() {
                latest = latest.max(*view_known.view.known.of(instance));
            }
            *known.of_mut(instance) = latest;
        }
        let Some((_, mut record)) = newest else { return };
        record.membership = self.membership;
        record.known = known;
        let grant_from = if self.rules.boot_wait { now + self.timing.wait() } else { now };
        self.state = WitnessState::Recording { record, grant_from, started_wait: grant_from };
        self.persist();
        self.outputs.push_back(Output::Became(Became::Effective(self.membership)));
    }

    /// Takes a life out of the set and tells the other instance, which need not wait for a holder that is dead.
    fn end_life(&mut self, instance: InstanceId, incarnation: Option<Incarnation>) {
        let Some((record, _)) = self.recording() else { return };
        let before = record.in_sync;
        if let Some(incarnation) = incarnation {
            record.end_life(Member { instance, incarnation });
        }
        let has_changed = record.in_sync != before;
        if has_changed {
            record.set_version = record.set_version.next();
        }
        self.persist();
        if has_changed {
            self.stands(instance.other());
        }
    }

    /// Only with the rule of incarnations off: the new life inherits what the old one was.
    fn rename(&mut self, member: Member) {
        let Some((record, _)) = self.recording() else { return };
        let in_sync = record.in_sync.of_mut(member.instance);
        *in_sync = in_sync.map(|_| member.incarnation);
        if let Some(holder) = &mut record.holder
            && holder.instance == member.instance
        {
            holder.incarnation = member.incarnation;
        }
        self.persist();
    }

    fn recording(&mut self) -> Option<(&mut Record, &mut Instant)> {
        match &mut self.state {
            WitnessState::Recording { record, grant_from, .. } => Some((record, grant_from)),
            WitnessState::Proposing { .. } => None,
        }
    }

    fn persist(&mut self) {
        if let WitnessState::Recording { record, .. } = self.state {
            self.outputs.push_back(Output::Persist(Durable::Record(record)));
        }
    }

    fn stands(&mut self, to: InstanceId) {
        let WitnessState::Recording { record, .. } = self.state else { return };
        if let Some(incarnation) = *record.known.of(to) {
            self.send(to, Some(incarnation), Body::Stands(record));
        }
    }

    fn send(&mut self, to: InstanceId, incarnation: Option<Incarnation>, body: Body) {
        let message = Message {
            version: VERSION,
            pair: self.pair,
            membership: self.membership,
            from: None,
            to: incarnation,
            body,
        };
        self.outputs.push_back(Output::Send { to: Party::Instance(to), message });
    }
}
