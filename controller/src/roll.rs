//! Rolling replacement as the controller sees it: since when a pair is without protection, who is held back, and what people are told of it.
//! Who is held back is decided in `controller/plan/src/roll.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crds::FunctionRole;
use node::config::FunctionKind;
use plan::{HeldBack, Instance, ProcessName, Protection};

use crate::controller::Controller;
use crate::health::{Health, State};
use crate::http;

/// While somebody is held back the world is looked at so often: a roll of four pairs has about ten steps.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// What is known of a roll.
#[derive(Debug, Default)]
pub struct Rolling {
    /// Who waits, as of the last look.
    pub held_back: BTreeMap<ProcessName, HeldBack>,
    /// When each pair was protected last, or was waited for anew.
    whole: BTreeMap<FunctionKind, Instant>,
}

impl Rolling {
    /// Something else is desired: everybody is waited for as long as from the beginning, also who has been broken for hours. What is
    /// desired now may mend them.
    pub fn begin_anew(&mut self) {
        self.whole.clear();
    }

    /// How it is with the protection of each pair, whose lease is so long.
    pub fn protection(
        &mut self,
        now: Instant,
        lease: Duration,
        health: &BTreeMap<ProcessName, Health>,
    ) -> BTreeMap<FunctionKind, Protection> {
        let judge = |kind: FunctionKind| {
            let is_whole = is_whole(kind, now, lease, health);
            let last = self.whole.entry(kind).or_insert(now);
            if is_whole {
                *last = now;
                return (kind, Protection::Whole);
            }
            (kind, Protection::Missing(now.saturating_duration_since(*last)))
        };
        FunctionKind::ALL.map(judge).into()
    }

    /// Why the roll has not ended, in a sentence; `None`: there is none.
    pub fn sentence(&self) -> Option<String> {
        // Who waits for a turn waits for those who wait for protection.
        let unprotected = self.held_back.iter().find(|(_, reason)| **reason == HeldBack::Unprotected);
        let (name, reason) = unprotected.or_else(|| self.held_back.first_key_value())?;
        let sentence = match (reason, name) {
            (HeldBack::Turn(first), _) => format!("{name} is replaced after {first}"),
            (HeldBack::Unprotected, ProcessName::Function(kind, instance)) => {
                let other = instance.other().unwrap_or(Instance::Alone);
                let other = ProcessName::Function(*kind, other);
                format!("{name} is replaced when {other} can take over")
            }
            (HeldBack::HandsOver, _) => {
                format!("{name} leaves it to the other one to serve, and is replaced then")
            }
            (HeldBack::Unprotected, _) => format!("{name} is replaced when whoever serves may fail"),
        };
        match self.held_back.len() - 1 {
            0 => Some(sentence),
            others => Some(format!("{sentence}; {others} more wait")),
        }
    }
}

/// How long an instance may take to say whether it hands over: it answers at once.
const PATIENCE: Duration = Duration::from_secs(1);

impl Controller {
    /// Asks whoever is to leave serving to the other one of its pair. Who refuses, because its standby has just fallen behind, is asked again
    /// at the next look.
    pub(crate) async fn ask_to_hand_over(&mut self) {
        let leaves = self.rolling.held_back.iter().find(|(_, reason)| **reason == HeldBack::HandsOver);
        let Some((name, _)) = leaves.map(|(name, reason)| (*name, *reason)) else { return };
        let socket = self.places.socket(name);
        match http::post(&socket, "/command/hand-over", b"{}".to_vec(), PATIENCE).await {
            Ok(answer) if answer.is_success() => {
                self.history.note(Some(name), "HandedOver", "to be replaced");
            }
            Ok(answer) => {
                tracing::info!(function = name.as_str(), reason = answer.text(), "does not hand over")
            }
            Err(error) => tracing::warn!(function = name.as_str(), %error, "does not hand over"),
        }
    }

    /// Takes up whom a plan holds back; says whether its actions end a roll.
    pub(crate) fn hold_back(&mut self, held_back: BTreeMap<ProcessName, HeldBack>) -> bool {
        let before = std::mem::replace(&mut self.rolling.held_back, held_back);
        let now = &self.rolling.held_back;
        if before.is_empty() && !now.is_empty() {
            let names: Vec<&str> = now.keys().map(|name| name.as_str()).collect();
            let message =
                format!("one after another, so that nobody notices; these wait: {}", names.join(", "));
            self.history.note(None, "Rolling", message);
        }
        !before.is_empty() && now.is_empty() && self.accepted.is_some()
    }
}

/// One serves and says that the other one can take over; the other one is ready to, and so is the witness.
fn is_whole(
    kind: FunctionKind,
    now: Instant,
    lease: Duration,
    health: &BTreeMap<ProcessName, Health>,
) -> bool {
    // S2-Q7: one that was started lets nobody serve for 1.25 leases, after a hand-over neither.
    let witness = health.get(&ProcessName::Witness);
    let may_grant = witness.is_some_and(|witness| witness.has_been_ready(now, lease * 2));
    let ready = |name: &ProcessName| health.get(name).filter(|health| health.state == State::Ready);
    let role = |health: &Health| health.place.map(|place| place.role);
    let pair = ProcessName::pair(kind);
    let [Some(first), Some(second)] = [ready(&pair[0]), ready(&pair[1])] else { return false };
    let (serving, standby) = match (role(first), role(second)) {
        (Some(FunctionRole::Serving), Some(FunctionRole::Standby)) => (first, second),
        (Some(FunctionRole::Standby), Some(FunctionRole::Serving)) => (second, first),
        _ => return false,
    };
    // What it said of the life before of its standby is not true of this one.
    serving.says_protected_since(standby) && may_grant
}

#[cfg(test)]
mod tests {
    use crate::health::{Heard, PairPlace, Probe};

    use super::*;

    const KIND: FunctionKind = FunctionKind::Scscf;
    const LEASE: Duration = Duration::from_millis(200);

    /// A pair of which the first serves; the standby was heard `standby_at` and the one that serves asked `serving_at` milliseconds
    /// after the start.
    fn pair(
        start: Instant,
        protected: bool,
        standby_at: u64,
        serving_at: u64,
    ) -> BTreeMap<ProcessName, Health> {
        let heard = |name: ProcessName, role: Option<FunctionRole>, at: u64| {
            let mut health = Health::new(start);
            let place = role.map(|role| PairPlace { role, epoch: Some(1), protected: Some(protected) });
            let at = start + Duration::from_millis(at);
            let heard = Ok(Heard { missing: Vec::new(), place });
            health.on_probe(&Probe { name, began: at, ended: at, heard });
            (name, health)
        };
        let [first, second] = ProcessName::pair(KIND);
        [
            heard(first, Some(FunctionRole::Serving), serving_at),
            heard(second, Some(FunctionRole::Standby), standby_at),
            heard(ProcessName::Witness, None, 0),
        ]
        .into()
    }

    #[test]
    fn a_pair_is_whole_when_who_serves_says_so_of_this_standby() {
        let start = Instant::now();
        let is_whole = |kind, health: &_| is_whole(kind, start + LEASE * 2, LEASE, health);
        assert!(is_whole(KIND, &pair(start, true, 10, 11)));
        assert!(
            !is_whole(KIND, &pair(start, true, 10, 10)),
            "it may have spoken of the standby's life before"
        );
        assert!(!is_whole(KIND, &pair(start, false, 10, 11)));
        let mut witnessless = pair(start, true, 10, 11);
        witnessless.remove(&ProcessName::Witness);
        assert!(!is_whole(KIND, &witnessless), "nobody could let the other one serve");
        let early = start + LEASE * 2 - Duration::from_millis(1);
        assert!(
            !super::is_whole(KIND, early, LEASE, &pair(start, true, 10, 11)),
            "the witness has just started"
        );
    }

    #[test]
    fn the_time_without_protection_counts_from_the_last_moment_with_it_or_from_what_is_desired_anew() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rolling = Rolling::default();
        let (whole, broken) = (pair(start, true, 10, 11), pair(start, false, 10, 11));
        let check = |rolling: &mut Rolling, seconds, health: &BTreeMap<_, _>, expected| {
            assert_eq!(rolling.protection(at(seconds), LEASE, health)[&KIND], expected);
        };
        let missing = |seconds| Protection::Missing(Duration::from_secs(seconds));
        check(&mut rolling, 1, &broken, missing(0));
        check(&mut rolling, 4, &broken, missing(3));
        check(&mut rolling, 5, &whole, Protection::Whole);
        check(&mut rolling, 7, &broken, missing(2));
        rolling.begin_anew();
        check(&mut rolling, 8, &broken, missing(0));
    }

    #[test]
    fn what_a_roll_waits_for_is_a_sentence() {
        let name = |text: &str| text.parse::<ProcessName>().expect("it is a name");
        let mut rolling = Rolling::default();
        assert_eq!(rolling.sentence(), None);
        rolling.held_back.insert(name("host-agent"), HeldBack::Turn("hss"));
        assert_eq!(rolling.sentence().as_deref(), Some("host-agent is replaced after hss"));
        rolling.held_back.insert(name("hss-2"), HeldBack::Unprotected);
        let expected = "hss-2 is replaced when hss-1 can take over; 1 more wait";
        assert_eq!(rolling.sentence().as_deref(), Some(expected));
    }
}
