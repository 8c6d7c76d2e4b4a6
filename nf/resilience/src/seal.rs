//! Datagrams between two of our own, authenticated and encrypted: Noise KK over UDP (S2-E8). They carry session keys, private
//! identities and message bodies, so none leaves in the clear.
//!
//! ```text
//!   initiation  1 │ sender u32 │ Noise e, es, ss + stamp u64
//!   response    2 │ sender u32 │ receiver u32 │ Noise e, ee, se
//!   transport   3 │ receiver u32 │ nonce u64 │ ciphertext
//! ```
//!
//! Flow: [`Seal::seal`] wraps what is to be sent, or begins a handshake and drops it when there is no session: the link above
//! repeats. [`Seal::open`] takes what came; [`Seal::poll_datagram`] gives words of the handshake. Both ends may begin at once:
//! then there are two sessions, either serves.
//!
//! Guarantees: what `open` returns was sealed by the holder of the other key, in this form, and is returned once. A recorded
//! initiation that is played again ends no session: who answers sends with a new session only after it heard through it, and
//! drops stamps that do not rise.
//!
//! Assumptions: each end knows the other's public key; the stamps of one end rise over its restarts (its incarnation).

use std::collections::VecDeque;
use std::fmt;

use crate::permission::Incarnation;
use bytes::{BufMut, Bytes, BytesMut};
use clock::{Duration, Instant};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver, FallbackResolver};
use snow::{Builder, HandshakeState, StatelessTransportState};

const PATTERN: &str = "Noise_KK_25519_ChaChaPoly_BLAKE2s";
const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const TRANSPORT: u8 = 3;
const TRANSPORT_HEADER_BYTES: usize = 1 + 4 + 8;
const TAG_BYTES: usize = 16;
/// What a sealed datagram is longer than its content.
pub const OVERHEAD_BYTES: usize = TRANSPORT_HEADER_BYTES + TAG_BYTES;
/// A handshake that is not answered is begun again after this, doubled each time.
const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(10);
const HANDSHAKE_PATIENCE_MAX: Duration = Duration::from_secs(1);
/// Another session after so long: what one key protects is bounded.
const SESSION_LIFE: Duration = Duration::from_secs(3600);
/// Sessions that can still be heard through: one that is used, one that was, two that begin.
const SESSIONS_MAX: usize = 4;
/// Nonces behind the newest that are still taken once.
const WINDOW: u64 = 1024;

/// A private key of 32 bytes (X25519).
#[derive(Clone)]
pub struct PrivateKey([u8; 32]);

/// The public key that belongs to a [`PrivateKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey([redacted])")
    }
}

impl PrivateKey {
    /// Makes a key out of 32 bytes that nobody can guess.
    pub fn from_random(bytes: [u8; 32]) -> PrivateKey {
        PrivateKey(bytes)
    }

    /// The key that the other end is told.
    pub fn public(&self) -> PublicKey {
        let mut curve = DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("it is compiled in");
        curve.set(&self.0);
        PublicKey(curve.pubkey().try_into().expect("a public key has 32 bytes"))
    }
}

/// Why a datagram is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is none of the three.
    #[error("not a datagram of ours")]
    Malformed,
    /// No session has its number: an end was restarted, or it is forged.
    #[error("of a session that is not known")]
    NoSession,
    /// The other end's key did not make it, or it was changed.
    #[error("not made by the other end")]
    Forged,
    /// It came before.
    #[error("played again")]
    Repeated,
}

struct Session {
    own_index: u32,
    other_index: u32,
    keys: StatelessTransportState,
    begun: Instant,
    nonce_next: u64,
    heard: Window,
    /// Did something come through it? Before that, who answered does not send through it.
    is_confirmed: bool,
}

struct Handshake {
    own_index: u32,
    state: Box<HandshakeState>,
    again_at: Instant,
    tries: u32,
}

/// One end.
pub struct Seal {
    own: PrivateKey,
    other: PublicKey,
    prologue: Vec<u8>,
    random: StdRng,
    /// The stamp of the next initiation.
    stamp: u64,
    /// The newest of the other end.
    stamp_heard: Option<u64>,
    handshake: Option<Handshake>,
    /// When the last handshake was begun.
    begun: Option<Instant>,
    /// The one to send through first.
    sessions: VecDeque<Session>,
    outgoing: VecDeque<Bytes>,
}

impl Seal {
    /// The end that has `own`, towards the one that has the key of `other`. `context` must be the same on both: what they are to
    /// each other. `seed` is random and used once. `incarnation` rises with each start.
    pub fn new(
        own: PrivateKey,
        other: PublicKey,
        context: &[u8],
        incarnation: Incarnation,
        seed: [u8; 32],
    ) -> Seal {
        Seal {
            own,
            other,
            prologue: [b"evertone link 1 ", context].concat(),
            random: StdRng::from_seed(seed),
            stamp: u64::from(incarnation.0) << 32,
            stamp_heard: None,
            handshake: None,
            begun: None,
            sessions: VecDeque::new(),
            outgoing: VecDeque::new(),
        }
    }

    /// Wraps a datagram. `None`: there is no session yet; one is begun, and the datagram is lost as datagrams may be.
    pub fn seal(&mut self, now: Instant, content: &[u8]) -> Option<Bytes> {
        let session = self.sessions.iter().find(|session| session.is_confirmed);
        let is_fresh = session.is_some_and(|session| now.saturating_since(session.begun) <= SESSION_LIFE);
        if !is_fresh && self.handshake.is_none() {
            self.begin(now, 0);
        }
        self.seal_through_first(content)
    }

    fn seal_through_first(&mut self, content: &[u8]) -> Option<Bytes> {
        let session = self.sessions.iter_mut().find(|session| session.is_confirmed)?;
        let nonce = session.nonce_next;
        session.nonce_next += 1;
        let mut out = BytesMut::with_capacity(OVERHEAD_BYTES + content.len());
        out.put_u8(TRANSPORT);
        out.put_u32(session.other_index);
        out.put_u64(nonce);
        out.resize(OVERHEAD_BYTES + content.len(), 0);
        let written = session.keys.write_message(nonce, content, &mut out[TRANSPORT_HEADER_BYTES..]).ok()?;
        out.truncate(TRANSPORT_HEADER_BYTES + written);
        Some(out.freeze())
    }

    /// Takes a datagram. `None`: it was a word of the handshake.
    ///
    /// # Errors
    /// When it is not of the other end, or came before; then nothing has changed.
    pub fn open(&mut self, now: Instant, datagram: &[u8]) -> Result<Option<Bytes>, OpenError> {
        let (kind, rest) = datagram.split_first().ok_or(OpenError::Malformed)?;
        match *kind {
            INITIATION => self.on_initiation(now, rest).map(|()| None),
            RESPONSE => self.on_response(now, rest).map(|()| None),
            TRANSPORT => {
                let result = self.on_transport(rest);
                if result == Err(OpenError::NoSession) {
                    self.begin_unasked(now);
                }
                result.map(Some)
            }
            _ => Err(OpenError::Malformed),
        }
    }

    /// The next word of a handshake to send.
    pub fn poll_datagram(&mut self) -> Option<Bytes> {
        self.outgoing.pop_front()
    }

    /// When to call [`Seal::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.handshake.as_ref().map(|handshake| handshake.again_at)
    }

    /// Begins an unanswered handshake again.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(handshake) = self.handshake.take_if(|handshake| handshake.again_at <= now) {
            self.begin(now, handshake.tries.saturating_add(1));
        }
    }

    /// Is there a session to send through?
    pub fn is_open(&self) -> bool {
        self.sessions.iter().any(|session| session.is_confirmed)
    }

    /// The other end speaks through a session that died with the life before this one. It goes on so until it hears of another,
    /// which this end may have no other reason to begin. Whoever forges such datagrams causes a handshake now and then.
    fn begin_unasked(&mut self, now: Instant) {
        let is_recent = self.begun.is_some_and(|begun| now.saturating_since(begun) < HANDSHAKE_PATIENCE);
        if self.handshake.is_none() && !is_recent {
            self.begin(now, 0);
        }
    }

    fn begin(&mut self, now: Instant, tries: u32) {
        self.begun = Some(now);
        let mut state = self.noise(true);
        self.stamp += 1;
        let own_index = self.random.next_u32();
        let mut message = [0; 128];
        let length = state.write_message(&self.stamp.to_be_bytes(), &mut message).expect("it has room");
        let mut bytes = BytesMut::new();
        bytes.put_u8(INITIATION);
        bytes.put_u32(own_index);
        bytes.extend_from_slice(&message[..length]);
        let patience = (HANDSHAKE_PATIENCE * 2u32.pow(tries.min(10))).min(HANDSHAKE_PATIENCE_MAX);
        self.outgoing.push_back(bytes.freeze());
        let again_at = now + patience;
        self.handshake = Some(Handshake { own_index, state: Box::new(state), again_at, tries });
    }

    fn on_initiation(&mut self, now: Instant, rest: &[u8]) -> Result<(), OpenError> {
        let (sender, message) = number(rest)?;
        let mut state = self.noise(false);
        let mut stamp = [0; 128];
        let length = state.read_message(message, &mut stamp).map_err(|_| OpenError::Forged)?;
        let stamp = stamp[..length].try_into().map_err(|_| OpenError::Malformed)?;
        let stamp = u64::from_be_bytes(stamp);
        if self.stamp_heard.is_some_and(|heard| heard >= stamp) {
            return Err(OpenError::Repeated);
        }
        let mut answer = [0; 128];
        let length = state.write_message(&[], &mut answer).map_err(|_| OpenError::Forged)?;
        let keys = state.into_stateless_transport_mode().map_err(|_| OpenError::Forged)?;
        self.stamp_heard = Some(stamp);
        let own_index = self.random.next_u32();
        let mut bytes = BytesMut::new();
        bytes.put_u8(RESPONSE);
        bytes.put_u32(own_index);
        bytes.put_u32(sender);
        bytes.extend_from_slice(&answer[..length]);
        self.outgoing.push_back(bytes.freeze());
        self.add(Session::new(now, own_index, sender, keys, false));
        Ok(())
    }

    fn on_response(&mut self, now: Instant, rest: &[u8]) -> Result<(), OpenError> {
        let (sender, rest) = number(rest)?;
        let (receiver, message) = number(rest)?;
        let handshake = self.handshake.take_if(|handshake| handshake.own_index == receiver);
        let Some(mut handshake) = handshake else { return Err(OpenError::NoSession) };
        let mut nothing = [0; 16];
        if handshake.state.read_message(message, &mut nothing).is_err() {
            // A forged answer must not end a handshake, but it has used up its state: begin it again in its time.
            self.handshake = Some(Handshake { state: Box::new(self.noise(true)), ..handshake });
            return Err(OpenError::Forged);
        }
        let keys = handshake.state.into_stateless_transport_mode().map_err(|_| OpenError::Forged)?;
        self.add(Session::new(now, handshake.own_index, sender, keys, true));
        // So that the other end hears through it and may send too.
        let confirmation = self.seal_through_first(&[]);
        self.outgoing.extend(confirmation);
        Ok(())
    }

    fn on_transport(&mut self, rest: &[u8]) -> Result<Bytes, OpenError> {
        let (receiver, rest) = number(rest)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<8>().ok_or(OpenError::Malformed)?;
        let nonce = u64::from_be_bytes(*nonce);
        let position = self.sessions.iter().position(|session| session.own_index == receiver);
        let position = position.ok_or(OpenError::NoSession)?;
        let session = &mut self.sessions[position];
        if session.heard.has(nonce) {
            return Err(OpenError::Repeated);
        }
        let mut content = vec![0; ciphertext.len()];
        let read = session.keys.read_message(nonce, ciphertext, &mut content);
        let length = read.map_err(|_| OpenError::Forged)?;
        content.truncate(length);
        session.heard.take(nonce);
        if !std::mem::replace(&mut session.is_confirmed, true) {
            let newest = self.sessions.remove(position).expect("it was found");
            self.sessions.push_front(newest);
        }
        Ok(content.into())
    }

    /// Sessions that are not heard through yet wait at the back.
    fn add(&mut self, session: Session) {
        match session.is_confirmed {
            true => self.sessions.push_front(session),
            false => self.sessions.push_back(session),
        }
        while self.sessions.len() > SESSIONS_MAX {
            // The oldest that others have replaced, or the oldest that nobody ever spoke through.
            let unused = self.sessions.iter().position(|session| !session.is_confirmed);
            let last = self.sessions.len() - 1;
            self.sessions.remove(unused.filter(|unused| *unused < last).unwrap_or(last - 1));
        }
    }

    fn noise(&mut self, is_initiator: bool) -> HandshakeState {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        let resolver = FallbackResolver::new(Box::new(Told(seed)), Box::new(DefaultResolver));
        let builder = Builder::with_resolver(PATTERN.parse().expect("it is a pattern"), Box::new(resolver))
            .local_private_key(&self.own.0)
            .and_then(|builder| builder.remote_public_key(&self.other.0))
            .and_then(|builder| builder.prologue(&self.prologue))
            .expect("each is set once");
        let built = if is_initiator { builder.build_initiator() } else { builder.build_responder() };
        built.expect("the pattern has all it needs")
    }
}

impl Session {
    fn new(
        now: Instant,
        own_index: u32,
        other_index: u32,
        keys: StatelessTransportState,
        is_confirmed: bool,
    ) -> Session {
        Session {
            own_index,
            other_index,
            keys,
            begun: now,
            nonce_next: 0,
            heard: Window::default(),
            is_confirmed,
        }
    }
}

/// Which nonces came, of the newest [`WINDOW`].
struct Window {
    /// One past the newest.
    end: u64,
    bits: [u64; (WINDOW / 64) as usize],
}

impl Default for Window {
    fn default() -> Window {
        Window { end: 0, bits: [0; (WINDOW / 64) as usize] }
    }
}

impl Window {
    /// Did it come, or is it too old to tell?
    fn has(&self, nonce: u64) -> bool {
        nonce < self.end && (self.end - nonce > WINDOW || self.bits[word(nonce)] & bit(nonce) != 0)
    }

    fn take(&mut self, nonce: u64) {
        if nonce >= self.end {
            // What lies between has not come.
            let first = self.end.max(nonce.saturating_sub(WINDOW - 1));
            (first..nonce).for_each(|skipped| self.bits[word(skipped)] &= !bit(skipped));
            self.end = nonce.saturating_add(1);
        }
        self.bits[word(nonce)] |= bit(nonce);
    }
}

fn word(nonce: u64) -> usize {
    (nonce % WINDOW / 64) as usize
}

fn bit(nonce: u64) -> u64 {
    1 << (nonce % 64)
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), OpenError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(OpenError::Malformed)?;
    Ok((u32::from_be_bytes(*number), rest))
}

/// Randomness that a core is given, not takes.
struct Told([u8; 32]);

struct ToldRandom(StdRng);

impl snow::types::Random for ToldRandom {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(out);
        Ok(())
    }
}

impl CryptoResolver for Told {
    fn resolve_rng(&self) -> Option<Box<dyn snow::types::Random>> {
        Some(Box::new(ToldRandom(StdRng::from_seed(self.0))))
    }

    fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn snow::types::Dh>> {
        None
    }

    fn resolve_hash(&self, _: &HashChoice) -> Option<Box<dyn snow::types::Hash>> {
        None
    }

    fn resolve_cipher(&self, _: &CipherChoice) -> Option<Box<dyn snow::types::Cipher>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_micros(milliseconds * 1000)
    }

    fn key(byte: u8) -> PrivateKey {
        PrivateKey::from_random([byte; 32])
    }

    fn end(own: u8, other: u8, incarnation: u32) -> Seal {
        Seal::new(
            key(own),
            key(other).public(),
            b"pair scscf",
            Incarnation(incarnation),
            [own ^ incarnation as u8; 32],
        )
    }

    /// Carries words of the handshake until there are none.
    fn settle(now: Instant, one: &mut Seal, two: &mut Seal) {
        loop {
            let (there, back) = (one.poll_datagram(), two.poll_datagram());
            if there.is_none() && back.is_none() {
                return;
            }
            there.into_iter().for_each(|bytes| drop(two.open(now, &bytes).expect("it is ours")));
            back.into_iter().for_each(|bytes| drop(one.open(now, &bytes).expect("it is ours")));
        }
    }

    fn open_pair() -> (Seal, Seal) {
        let (mut one, mut two) = (end(1, 2, 1), end(2, 1, 1));
        assert_eq!(one.seal(at(0), b"too early"), None);
        settle(at(0), &mut one, &mut two);
        assert!(one.is_open() && two.is_open());
        (one, two)
    }

    #[test]
    fn what_one_seals_the_other_opens_once_and_nobody_reads_it_on_the_way() {
        let (mut one, mut two) = open_pair();
        for (text, now) in [("there", 1), ("and again", 2)] {
            let sealed = one.seal(at(now), text.as_bytes()).expect("there is a session");
            assert_eq!(sealed.len(), text.len() + OVERHEAD_BYTES);
            assert!(!sealed.windows(4).any(|window| window == &text.as_bytes()[..4]));
            assert_eq!(two.open(at(now), &sealed).expect("it is good").as_deref(), Some(text.as_bytes()));
            assert_eq!(two.open(at(now), &sealed), Err(OpenError::Repeated));
        }
        let back = two.seal(at(3), b"back").expect("there is a session");
        assert_eq!(one.open(at(3), &back).expect("it is good").as_deref(), Some(&b"back"[..]));
    }

    #[test]
    fn a_datagram_that_was_changed_anywhere_is_not_taken_and_does_no_harm() {
        let (mut one, mut two) = open_pair();
        let sealed = one.seal(at(1), b"INVITE").expect("there is a session");
        for position in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[position] ^= 1;
            assert!(two.open(at(1), &changed).is_err(), "{position}");
            assert!(two.open(at(1), &sealed[..position]).is_err(), "{position}");
        }
        assert!(two.open(at(1), &sealed).is_ok());
    }

    #[test]
    fn a_stranger_and_another_context_get_no_session() {
        let mut two = end(2, 1, 1);
        let mut stranger = Seal::new(key(3), key(2).public(), b"pair scscf", Incarnation(1), [9; 32]);
        let mut elsewhere = Seal::new(key(1), key(2).public(), b"pair hss", Incarnation(1), [9; 32]);
        for other in [&mut stranger, &mut elsewhere] {
            assert_eq!(other.seal(at(0), b"hello"), None);
            let initiation = other.poll_datagram().expect("it tries");
            assert_eq!(two.open(at(0), &initiation), Err(OpenError::Forged));
            assert_eq!(two.poll_datagram(), None, "and hears nothing");
        }
    }

    #[test]
    fn both_may_begin_at_once() {
        let (mut one, mut two) = (end(1, 2, 1), end(2, 1, 1));
        assert_eq!((one.seal(at(0), b"x"), two.seal(at(0), b"y")), (None, None));
        settle(at(0), &mut one, &mut two);
        let there = one.seal(at(1), b"there").expect("there is a session");
        let back = two.seal(at(1), b"back").expect("there is a session");
        assert!(two.open(at(1), &there).is_ok() && one.open(at(1), &back).is_ok());
    }

    #[test]
    fn a_lost_word_is_said_again_and_a_restarted_end_is_heard() {
        let (mut one, mut two) = (end(1, 2, 1), end(2, 1, 1));
        assert_eq!(one.seal(at(0), b"x"), None);
        let lost = one.poll_datagram().expect("the first try");
        assert_eq!(one.poll_timeout(), Some(at(10)));
        one.handle_timeout(at(9));
        assert_eq!(one.poll_datagram(), None);
        one.handle_timeout(at(10));
        settle(at(10), &mut one, &mut two);
        assert!(one.is_open());
        assert_eq!(two.open(at(11), &lost), Err(OpenError::Repeated), "an old initiation");
        // A new life of the first end knows no session; the second one hears it all the same.
        let mut reborn = end(1, 2, 2);
        assert_eq!(reborn.seal(at(20), b"x"), None);
        settle(at(20), &mut reborn, &mut two);
        let back = two.seal(at(21), b"welcome").expect("there is a session");
        assert!(reborn.open(at(21), &back).is_ok(), "it answers through the newest");
    }

    #[test]
    fn a_restarted_end_that_has_nothing_to_say_is_reached_again() {
        let (mut one, _) = open_pair();
        let mut reborn = end(2, 1, 2);
        let unread = one.seal(at(20), b"renewal").expect("there is a session");
        assert_eq!(reborn.open(at(20), &unread), Err(OpenError::NoSession));
        settle(at(21), &mut one, &mut reborn);
        let read = one.seal(at(22), b"renewal").expect("there is a session");
        assert_eq!(reborn.open(at(22), &read).expect("it is good").as_deref(), Some(&b"renewal"[..]));
        // Noise that has no session either does not make it begin again and again.
        let noise = [TRANSPORT; 40];
        let begun = (0..100).filter(|milliseconds| {
            let _ = reborn.open(at(30 + milliseconds), &noise);
            reborn.poll_datagram().is_some()
        });
        assert!(begun.count() <= 10);
    }

    #[test]
    fn a_played_initiation_does_not_move_who_answers_away_from_the_session_in_use() {
        let (mut one, mut two) = open_pair();
        let mut again = end(1, 2, 7);
        assert_eq!(again.seal(at(5), b"x"), None);
        let recorded = again.poll_datagram().expect("an initiation");
        assert!(two.open(at(5), &recorded).is_ok());
        let sealed = two.seal(at(6), b"still").expect("there is a session");
        assert!(one.open(at(6), &sealed).is_ok(), "not through one that nobody confirmed");
    }

    #[test]
    fn the_window_takes_each_number_once_and_none_that_is_too_old() {
        let mut window = Window::default();
        for nonce in [0, 2, 1, 1023, 1024, 5000] {
            assert!(!window.has(nonce), "{nonce}");
            window.take(nonce);
            assert!(window.has(nonce), "{nonce}");
        }
        assert!(window.has(5000 - WINDOW) && !window.has(5001 - WINDOW));
    }

    #[test]
    fn no_key_is_printed() {
        assert_eq!(format!("{:?}", key(7)), "PrivateKey([redacted])");
    }
}
