//! What instances of different pairs tell each other over the control link: who serves.
//!
//! ```text
//!   begins to serve ─▶ Stand ─▶ each neighbour instance, again after 5, 10, 20 … ms until it is Heard
//!   otherwise          Stand      each idle interval, so that whoever starts later hears too
//! ```
//!
//! Guarantees: what an epoch older than one heard before says of a pair counts for nothing (S2-Q14); each epoch is told on once.

use std::collections::VecDeque;

use bytes::Bytes;
use clock::{Duration, Instant};
use node::Neighbour;
use resilience::permission::{Epoch, InstanceId, PairId};
use serde::{Deserialize, Serialize};

/// Version of [`Word`] on the wire; another one is not read.
const VERSION: u16 = 1;
/// A word that tells of a new epoch is repeated after this, doubled each time, until it was heard.
const REPEAT: Duration = Duration::from_millis(5);

/// A pair on the other side of a signalling interface.
#[derive(Clone, Debug)]
pub struct NeighbourPair {
    /// Its number.
    pub pair: PairId,
    /// What is to be known when X1 of it serves, and when X2 does.
    pub serving: [Neighbour; 2],
}

/// One instance of a neighbour pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Of which pair.
    pub pair: PairId,
    /// Which of the two.
    pub instance: InstanceId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stand {
    epoch: Epoch,
    is_serving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Word {
    /// So it stands with the pair of who speaks.
    Stand(Stand),
    /// This was heard.
    Heard(Stand),
}

struct Known {
    pair: NeighbourPair,
    epoch: Option<Epoch>,
    instances: [Spoken; 2],
}

/// How far an instance of a neighbour knows how it stands with us.
#[derive(Clone, Copy)]
struct Spoken {
    heard: Option<Stand>,
    next: Instant,
    pause: Duration,
}

/// See the module.
pub(crate) struct Neighbours {
    idle: Duration,
    known: Vec<Known>,
    stand: Stand,
    words: VecDeque<(Address, Bytes)>,
    news: VecDeque<Neighbour>,
}

impl Neighbours {
    /// When nothing is new a word is said each `idle` (`idle_probe`).
    pub(crate) fn new(now: Instant, idle: Duration, pairs: Vec<NeighbourPair>) -> Neighbours {
        let spoken = Spoken { heard: None, next: now, pause: idle };
        let known = pairs.into_iter().map(|pair| Known { pair, epoch: None, instances: [spoken; 2] });
        Neighbours {
            idle,
            known: known.collect(),
            stand: Stand { epoch: Epoch(0), is_serving: false },
            words: VecDeque::new(),
            news: VecDeque::new(),
        }
    }

    /// From now on it stands so with our pair.
    pub(crate) fn on_stand(&mut self, now: Instant, epoch: Epoch, is_serving: bool) {
        self.stand = Stand { epoch, is_serving };
        if is_serving {
            for spoken in self.known.iter_mut().flat_map(|known| &mut known.instances) {
                (spoken.next, spoken.pause) = (now, REPEAT);
            }
        }
    }

    /// Takes a word in; what is none is dropped.
    pub(crate) fn handle_datagram(&mut self, from: Address, datagram: &[u8]) {
        let Ok((VERSION, word)) = postcard::from_bytes::<(u16, Word)>(datagram) else { return };
        let Some(known) = self.known.iter_mut().find(|known| known.pair.pair == from.pair) else { return };
        let index = usize::from(from.instance == InstanceId::Two);
        match word {
            Word::Stand(stand) => {
                if stand.is_serving && known.epoch.is_none_or(|epoch| epoch < stand.epoch) {
                    known.epoch = Some(stand.epoch);
                    self.news.push_back(known.pair.serving[index].clone());
                }
                self.words.push_back((from, encode(Word::Heard(stand))));
            }
            Word::Heard(stand) => {
                let spoken = &mut known.instances[index];
                spoken.heard = Some(stand);
                if stand == self.stand {
                    spoken.pause = self.idle;
                }
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for known in &mut self.known {
            for (spoken, instance) in known.instances.iter_mut().zip(InstanceId::BOTH) {
                if spoken.next > now {
                    continue;
                }
                let is_news = self.stand.is_serving && spoken.heard != Some(self.stand);
                spoken.pause = if is_news { spoken.pause } else { self.idle };
                spoken.next = now + spoken.pause;
                spoken.pause = (spoken.pause * 2).min(self.idle);
                let address = Address { pair: known.pair.pair, instance };
                self.words.push_back((address, encode(Word::Stand(self.stand))));
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.known.iter().flat_map(|known| &known.instances).map(|spoken| spoken.next).min()
    }

    /// The next word to send.
    pub(crate) fn poll_datagram(&mut self) -> Option<(Address, Bytes)> {
        self.words.pop_front()
    }

    /// A neighbour is served by another instance than before.
    pub(crate) fn poll_news(&mut self) -> Option<Neighbour> {
        self.news.pop_front()
    }
}

fn encode(word: Word) -> Bytes {
    postcard::to_allocvec(&(VERSION, word)).expect("a word is plain data: numbers").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Address = Address { pair: PairId(1), instance: InstanceId::One };
    const THEIRS: PairId = PairId(2);
    const IDLE: Duration = Duration::from_millis(200);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1_000_000 + millis * 1000)
    }

    fn serving(name: &str) -> Neighbour {
        Neighbour { addresses: Vec::new(), diameter: Some(("host".into(), name.into())) }
    }

    fn of(pair: PairId) -> Neighbours {
        Neighbours::new(at(0), IDLE, vec![NeighbourPair { pair, serving: [serving("one"), serving("two")] }])
    }

    fn sent(neighbours: &mut Neighbours) -> Vec<(Address, Bytes)> {
        std::iter::from_fn(|| neighbours.poll_datagram()).collect()
    }

    #[test]
    fn a_new_epoch_is_repeated_until_it_is_heard_and_then_only_now_and_then() {
        let mut ours = of(THEIRS);
        ours.on_stand(at(0), Epoch(3), true);
        let mut times = Vec::new();
        for millis in 0..100 {
            ours.handle_timeout(at(millis));
            let words = sent(&mut ours);
            if !words.is_empty() {
                times.push(millis);
                assert_eq!(words.len(), 2, "to each of the two");
            }
        }
        assert_eq!(times, [0, 5, 15, 35, 75]);
        let mut theirs = of(OURS.pair);
        ours.handle_timeout(at(155));
        for (to, word) in sent(&mut ours) {
            theirs.handle_datagram(OURS, &word);
            let heard = sent(&mut theirs);
            assert_eq!(heard.len(), 1);
            ours.handle_datagram(to, &heard[0].1);
        }
        assert_eq!(theirs.poll_news(), Some(serving("one")));
        assert_eq!(theirs.poll_news(), None, "each epoch is told on once");
        ours.handle_timeout(at(315));
        assert_eq!(sent(&mut ours).len(), 2);
        assert_eq!(ours.poll_timeout(), Some(at(515)), "nothing is new");
    }

    #[test]
    fn what_an_older_epoch_says_counts_for_nothing() {
        let mut theirs = of(OURS.pair);
        let (mut old, mut new) = (of(THEIRS), of(THEIRS));
        old.on_stand(at(0), Epoch(3), true);
        new.on_stand(at(0), Epoch(4), true);
        for (neighbours, instance) in [(&mut new, InstanceId::Two), (&mut old, InstanceId::One)] {
            neighbours.handle_timeout(at(0));
            for (_, word) in sent(neighbours) {
                theirs.handle_datagram(Address { instance, ..OURS }, &word);
            }
        }
        assert_eq!(theirs.poll_news(), Some(serving("two")));
        assert_eq!(theirs.poll_news(), None);
    }

    #[test]
    fn noise_and_strangers_are_dropped() {
        let mut ours = of(THEIRS);
        let address = Address { pair: THEIRS, instance: InstanceId::One };
        ours.handle_datagram(address, b"");
        ours.handle_datagram(address, &[0xff; 40]);
        let mut stranger = of(OURS.pair);
        stranger.on_stand(at(0), Epoch(1), true);
        stranger.handle_timeout(at(0));
        for (_, word) in sent(&mut stranger) {
            ours.handle_datagram(Address { pair: PairId(9), instance: InstanceId::One }, &word);
        }
        assert_eq!((ours.poll_news(), ours.poll_datagram()), (None, None));
    }
}
