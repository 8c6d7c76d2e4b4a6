//! What is to be attempted, how often and how long: the traffic set and the time profile (spec 3.2 to 3.4).

use clap::ValueEnum;
use clock::Duration;
use ue::AnswerBehaviour;

use crate::random::Random;

/// Shares of scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// Successful calls.
    Call,
    /// Messages.
    Message,
    /// Registrations, each with a fresh challenge.
    Registration,
    /// The default mix of spec 3.4.
    Mixed,
}

/// One path through a use-case, with what success means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// REGISTER, 401, REGISTER, 200 of a device that is registered already.
    Reregistration,
    /// The same of one that is not.
    Registration,
    /// The device's own end of its registration.
    Deregistration,
    /// INVITE to ACK, a while, BYE to 200.
    Call,
    /// Cancelled while it rings: 487.
    CallAbandoned,
    /// 486.
    CallRejected,
    /// To a subscriber without a device: 480.
    CallToNobody,
    /// MESSAGE, 200.
    Message,
    /// To a subscriber without a device: 480 or 404.
    MessageToNobody,
}

/// What a device is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Registered, answers calls.
    Answering,
    /// Registered, rejects calls.
    Busy,
    /// Registered, rings for ever.
    Ringing,
    /// Never registered.
    Absent,
    /// Comes and goes.
    Coming,
}

impl Mix {
    /// The scenario of the next attempt. The default mix adds up to 100; its source could not be verified (spec 3.4).
    pub fn draw(self, random: &mut Random) -> Scenario {
        match self {
            Mix::Call => Scenario::Call,
            Mix::Message => Scenario::Message,
            Mix::Registration => Scenario::Registration,
            Mix::Mixed => match random.below(100) {
                0..38 => Scenario::Call,
                38..41 => Scenario::CallAbandoned,
                41..44 => Scenario::CallRejected,
                44..46 => Scenario::CallToNobody,
                46..82 => Scenario::Message,
                82..84 => Scenario::MessageToNobody,
                84..96 => Scenario::Reregistration,
                96..98 => Scenario::Registration,
                _ => Scenario::Deregistration,
            },
        }
    }

    /// The part of the device at `index`: of 20, in the default mix, one each is busy, rings for ever or is absent, and
    /// two come and go.
    pub fn part(self, index: usize) -> Part {
        match (self, index % 20) {
            (Mix::Registration, _) => Part::Coming,
            (Mix::Mixed, 0) => Part::Busy,
            (Mix::Mixed, 1) => Part::Ringing,
            (Mix::Mixed, 2) => Part::Absent,
            (Mix::Mixed, 3 | 4) => Part::Coming,
            _ => Part::Answering,
        }
    }
}

impl Part {
    /// How such a device answers a call.
    pub fn behaviour(self) -> AnswerBehaviour {
        match self {
            Part::Busy => AnswerBehaviour::Busy,
            Part::Ringing => AnswerBehaviour::Never,
            Part::Answering | Part::Absent | Part::Coming => AnswerBehaviour::Accept,
        }
    }
}

impl Scenario {
    /// For people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Reregistration => "re-registration",
            Scenario::Registration => "registration",
            Scenario::Deregistration => "de-registration",
            Scenario::Call => "call",
            Scenario::CallAbandoned => "call abandoned",
            Scenario::CallRejected => "call rejected",
            Scenario::CallToNobody => "call to unregistered",
            Scenario::Message => "message",
            Scenario::MessageToNobody => "message to unregistered",
        }
    }

    /// Which device begins, and which is called.
    pub fn parts(self) -> (Part, Option<Part>) {
        match self {
            Scenario::Reregistration => (Part::Answering, None),
            Scenario::Registration | Scenario::Deregistration => (Part::Coming, None),
            Scenario::Call | Scenario::Message => (Part::Answering, Some(Part::Answering)),
            Scenario::CallAbandoned => (Part::Answering, Some(Part::Ringing)),
            Scenario::CallRejected => (Part::Answering, Some(Part::Busy)),
            Scenario::CallToNobody | Scenario::MessageToNobody => (Part::Answering, Some(Part::Absent)),
        }
    }

    /// The final statuses that a refused scenario is to end with. Empty: it is to succeed.
    pub fn refusals(self) -> &'static [u16] {
        match self {
            Scenario::CallAbandoned => &[487],
            Scenario::CallRejected => &[486],
            Scenario::CallToNobody | Scenario::MessageToNobody => &[404, 480],
            _ => &[],
        }
    }
}

/// When attempts start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second, whatever becomes of them: Poisson arrivals.
    Rate(f64),
    /// Each the moment another ends, so many at once: no think time.
    Window(usize),
}

/// One run.
#[derive(Clone, Debug)]
pub struct Load {
    /// What.
    pub mix: Mix,
    /// How often.
    pub pace: Pace,
    /// At the start, not counted: at least 30 s in a run that is published (spec 1.6).
    pub transient: Duration,
    /// Counted.
    pub duration: Duration,
    /// Stop after so many attempts.
    pub attempts_max: u64,
    /// How long a call is held, on average.
    pub hold_mean: Duration,
    /// Where choices come from.
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_mix_has_the_shares_of_the_specification() {
        let mut random = Random::new(1, "mix");
        let draws: Vec<Scenario> = (0..100_000).map(|_| Mix::Mixed.draw(&mut random)).collect();
        for (scenario, percent) in [
            (Scenario::Call, 38),
            (Scenario::CallAbandoned, 3),
            (Scenario::CallRejected, 3),
            (Scenario::CallToNobody, 2),
            (Scenario::Message, 36),
            (Scenario::MessageToNobody, 2),
            (Scenario::Reregistration, 12),
            (Scenario::Registration, 2),
            (Scenario::Deregistration, 2),
        ] {
            let share = draws.iter().filter(|drawn| **drawn == scenario).count().div_ceil(100);
            assert!(share.abs_diff(percent * 10) < 15, "{}: {share} of 1000", scenario.name());
        }
    }
}
