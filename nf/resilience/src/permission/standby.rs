//! What an instance does while it follows, and how it comes to hold: acknowledge, mirror, ask, be granted.

use clock::{Duration, Instant};

use super::holder::Holder;
use super::instance::{Asking, Instance, Role};
use super::message::Body;
use super::types::{BothInstances, Epoch, Held, Member, Position, Record, SetVersion};
use super::{Became, Output};

impl Instance {
    /// Is `from` the holder that this instance follows under `epoch`? A higher epoch is followed from here on.
    pub(super) fn follows(&mut self, now: Instant, from: Member, epoch: Epoch) -> bool {
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

    pub(super) fn answer_renewal(
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
        self.tell_other(Some(from.incarnation), body);
    }

    /// S2-Q5: what is older than what is held is ignored.
    pub(super) fn on_mirror(&mut self, from: Member, held: Held, is_whole: bool) {
        let follows_on =
            self.held.is_some_and(|ours| ours.epoch == held.epoch && ours.position.next() == held.position);
        let is_newer = self.held.is_none_or(|ours| held > ours) || !self.rules.snapshot_order;
        if if is_whole { is_newer } else { follows_on } {
            self.held = Some(held);
        }
        if let Some(ours) = self.held.filter(|ours| ours.epoch == held.epoch) {
            self.tell_other(Some(from.incarnation), Body::Mirrored(ours));
        }
    }

    /// S2-Q3: a holder that released or died leaves nothing to wait for.
    pub(super) fn on_ended(&mut self, now: Instant, had_ended: bool) {
        if let Role::Standby { ask_from } = &mut self.role
            && self.view.holder_ended()
            && !had_ended
        {
            *ask_from = now;
        }
    }

    /// How long a standby waits after its last acknowledgement before it asks (S2-Q3).
    pub(super) fn ask_wait(&self) -> Duration {
        if self.rules.standby_waits { self.timing.wait() } else { self.timing.renewal() }
    }

    pub(super) fn ask(&mut self, now: Instant) {
        self.asked_count += 1;
        let (number, epoch) = (self.asked_count, self.view.epoch);
        let has_ended = self.view.holder_ended();
        self.role = Role::Asking(Asking { number, epoch, sent: now, repeat_at: now + self.timing.renewal() });
        self.outputs.push_back(Output::Became(Became::Asking(epoch)));
        self.tell_witness(Body::Ask { epoch, number, has_ended });
    }

    pub(super) fn on_granted(&mut self, now: Instant, number: u32, record: Record) {
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

    pub(super) fn become_standby(&mut self, now: Instant) {
        if !matches!(self.role, Role::Standby { .. }) {
            self.outputs.push_back(Output::Became(Became::Standby(self.view.epoch)));
        }
        self.role = Role::Standby { ask_from: now + self.ask_wait() };
    }
}
