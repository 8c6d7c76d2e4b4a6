//! The response context of a forwarded request (RFC 3261 §16.7): which branches are open, which answer is best so far.

use serde::{Deserialize, Serialize};
use sip::Message;

use crate::function::Origin;
use crate::wire::Flow;

/// A final answer of one branch that was not passed on at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// The response, our Via on top.
    pub response: Message,
    /// Received, or made up.
    pub origin: Origin,
    /// The branch's position.
    pub branch: usize,
    /// Where it came from.
    pub flow: Option<Flow>,
}

/// What is known of the branches of one request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Context {
    /// The client transactions without a final answer.
    pub open: Vec<u64>,
    /// How many branches there were: the next one's position.
    pub branches: usize,
    /// The best final answer so far.
    best: Option<Candidate>,
    /// A 2xx or a 6xx was seen, or the caller cancelled: no new branch makes sense.
    pub is_decided: bool,
}

impl Context {
    /// A branch gave a final answer other than 2xx. The best of all, once it was the last open one.
    pub fn on_final(&mut self, number: u64, candidate: Candidate) -> Option<Candidate> {
        self.open.retain(|open| *open != number);
        let is_better = self
            .best
            .as_ref()
            .is_none_or(|best| rank(candidate.response.status()) < rank(best.response.status()));
        if is_better {
            self.best = Some(candidate);
        }
        if self.open.is_empty() { self.best.take() } else { None }
    }

    /// A branch gave a 2xx: what the others said does not matter any more.
    pub fn on_success(&mut self, number: u64) {
        self.open.retain(|open| *open != number);
        self.is_decided = true;
        self.best = None;
    }
}

/// Lower is better (RFC 3261 §16.7 step 6): 6xx, then the lowest class; within 4xx those that tell the caller what to
/// change. 408, 430, 480 and 503 last in their classes: that one device is not there says least about a call that another answered.
fn rank(status: u16) -> u32 {
    let class = match status / 100 {
        6 => 0,
        class => u32::from(class),
    };
    let within = match status {
        401 | 407 | 415 | 420 | 484 => 0,
        408 | 430 | 480 | 503 => 2,
        _ => 1,
    };
    class * 10 + within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decline_beats_all_and_a_challenge_beats_its_class() {
        let mut statuses = [503, 404, 500, 401, 603, 408, 302];
        statuses.sort_by_key(|status| rank(*status));
        assert_eq!(statuses, [603, 302, 401, 404, 408, 500, 503]);
    }

    #[test]
    fn a_device_that_is_gone_does_not_hide_the_answer_of_one_that_is_there() {
        for gone in [408, 430, 480] {
            assert!(rank(486) < rank(gone), "{gone}");
        }
    }
}
