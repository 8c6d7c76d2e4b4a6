//! Flow tokens: the user part of our URIs in Path and Record-Route, which names the flow to a device (RFC 5626 §5.2).
//!
//! Decodable without memory by whoever has the key, so by the other copy of a pair as well, and authenticated, so
//! that nobody can point us at an address of his choice. Layout, before base32 (lower case, so that it survives
//! whoever folds the case of a user part):
//!
//! ```text
//!   1 form | local ip, port | remote ip, port | 8 binding | [8 connection, TCP] | 10 HMAC-SHA256, truncated
//! ```
//!
//! A token of a Record-Route cannot be used as one of a Path: the first is seen by the far end of every call, the
//! second only by the home network, and only a Path opens the way for a request outside a dialog.

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use node::{ConnectionId, Flow, Transport};
use sha2::Sha256;

use crate::binding::BindingKey;

/// 80 bits: a forger has one guess a message, and every wrong one is answered 403.
const AUTHENTICATION_BYTES: usize = 10;
const FORM: u8 = 0x10;
const FORM_RECORD_ROUTE: u8 = 1;
const FORM_TCP: u8 = 2;
const FORM_IPV6: u8 = 4;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// In the Path of a registration: opens the way to the device for any request.
    Path,
    /// In the Record-Route of a dialog: opens the way for requests inside a dialog only.
    RecordRoute,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it stands.
    pub usage: Usage,
    /// The flow to the device.
    pub flow: Flow,
    /// The device's registration, which may have moved to another flow since.
    pub binding: BindingKey,
}

/// Why a user part is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has not the shape of one.
    Foreign,
    /// It has, but the authentication does not hold.
    Forged,
}

/// The key all copies of this P-CSCF share.
#[derive(Clone)]
pub struct TokenKey([u8; 16]);

impl TokenKey {
    /// Reads 32 hex digits.
    pub fn from_hex(text: &str) -> Option<TokenKey> {
        let text = text.as_bytes();
        let mut key = [0; 16];
        if text.len() != 2 * key.len() {
            return None;
        }
        for (byte, digits) in key.iter_mut().zip(text.chunks(2)) {
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(TokenKey(key))
    }

    /// Writes a token.
    pub fn seal(&self, token: &Token) -> String {
        let mut bytes = Vec::with_capacity(64);
        let mut form = FORM;
        form |= if token.usage == Usage::RecordRoute { FORM_RECORD_ROUTE } else { 0 };
        form |= if token.flow.transport == Transport::Tcp { FORM_TCP } else { 0 };
        form |= if token.flow.remote.is_ipv6() { FORM_IPV6 } else { 0 };
        bytes.push(form);
        put_address(&mut bytes, token.flow.local);
        put_address(&mut bytes, token.flow.remote);
        bytes.extend(token.binding.0.to_be_bytes());
        if token.flow.transport == Transport::Tcp {
            bytes.extend(token.flow.connection.map_or(u64::MAX, |connection| connection.0).to_be_bytes());
        }
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend(&mac[..AUTHENTICATION_BYTES]);
        encode(&bytes)
    }

    /// Reads a token.
    pub fn open(&self, text: &str) -> Result<Token, Refused> {
        let bytes = decode(text).ok_or(Refused::Foreign)?;
        let length = bytes.len().checked_sub(AUTHENTICATION_BYTES).ok_or(Refused::Foreign)?;
        let (content, mac) = bytes.split_at(length);
        let mut rest = content;
        let form = take::<1>(&mut rest).ok_or(Refused::Foreign)?[0];
        if form & 0xf8 != FORM {
            return Err(Refused::Foreign);
        }
        self.mac(content).verify_truncated_left(mac).map_err(|_| Refused::Forged)?;
        read_content(form, rest).ok_or(Refused::Forged)
    }

    fn mac(&self, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(content);
        mac
    }
}

fn read_content(form: u8, mut rest: &[u8]) -> Option<Token> {
    let is_ipv6 = form & FORM_IPV6 != 0;
    let transport = if form & FORM_TCP != 0 { Transport::Tcp } else { Transport::Udp };
    let local = take_address(&mut rest, is_ipv6)?;
    let remote = take_address(&mut rest, is_ipv6)?;
    let binding = BindingKey(u64::from_be_bytes(take(&mut rest)?));
    let connection = match transport {
        Transport::Udp => None,
        Transport::Tcp => {
            Some(u64::from_be_bytes(take(&mut rest)?)).filter(|id| *id != u64::MAX).map(ConnectionId)
        }
    };
    let usage = if form & FORM_RECORD_ROUTE != 0 { Usage::RecordRoute } else { Usage::Path };
    rest.is_empty().then_some(Token { usage, flow: Flow { transport, local, remote, connection }, binding })
}

fn put_address(bytes: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => bytes.extend(ip.octets()),
        IpAddr::V6(ip) => bytes.extend(ip.octets()),
    }
    bytes.extend(address.port().to_be_bytes());
}

fn take_address(rest: &mut &[u8], is_ipv6: bool) -> Option<SocketAddr> {
    let ip = if is_ipv6 { IpAddr::from(take::<16>(rest)?) } else { IpAddr::from(take::<4>(rest)?) };
    Some(SocketAddr::new(ip, u16::from_be_bytes(take(rest)?)))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// Base32 without padding (RFC 4648 §6), in lower case.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(ALPHABET[(buffer >> bits & 31) as usize].into());
        }
    }
    if bits > 0 {
        text.push(ALPHABET[(buffer << (5 - bits) & 31) as usize].into());
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut buffer, mut bits) = (0u32, 0);
    for digit in text.bytes() {
        let value = match digit.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => letter - b'a',
            number @ b'2'..=b'7' => number - b'2' + 26,
            _ => return None,
        };
        buffer = (buffer << 5) | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::from_hex("000102030405060708090a0b0c0d0e0f").expect("32 hex digits")
    }

    fn token(transport: Transport, local: &str, remote: &str, connection: Option<u64>) -> Token {
        let address = |text: &str| text.parse().expect("an address");
        Token {
            usage: Usage::Path,
            flow: Flow {
                transport,
                local: address(local),
                remote: address(remote),
                connection: connection.map(ConnectionId),
            },
            binding: BindingKey(0xdead_beef_0000_0001),
        }
    }

    #[test]
    fn a_token_comes_back_as_it_was_on_each_kind_of_flow() {
        for token in [
            token(Transport::Udp, "192.0.2.1:4060", "198.51.100.7:5060", None),
            token(Transport::Tcp, "192.0.2.1:4060", "198.51.100.7:40001", Some(7)),
            token(Transport::Tcp, "[2001:db8::1]:4060", "[2001:db8::2]:40001", None),
            Token {
                usage: Usage::RecordRoute,
                ..token(Transport::Udp, "[2001:db8::1]:4060", "[2001:db8::2]:5060", None)
            },
        ] {
            let text = key().seal(&token);
            assert!(text.bytes().all(|byte| ALPHABET.contains(&byte)), "{text} is not a plain user part");
            assert_eq!(key().open(&text), Ok(token));
            assert_eq!(key().open(&text.to_ascii_uppercase()), Ok(token));
        }
    }

    #[test]
    fn a_token_that_was_changed_anywhere_is_forged() {
        let text = key().seal(&token(Transport::Udp, "192.0.2.1:4060", "198.51.100.7:5060", None));
        for at in 2..text.len() - 1 {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(key().open(&changed).is_err(), "accepted with a change at {at}");
        }
        let other = TokenKey::from_hex("ff0102030405060708090a0b0c0d0e0f").expect("32 hex digits");
        assert_eq!(other.open(&text), Err(Refused::Forged));
    }

    #[test]
    fn an_ordinary_user_part_is_foreign() {
        for text in ["", "alice", "term", "orig", "+15551234", "a%20b", &"a".repeat(500)] {
            assert_eq!(key().open(text), Err(Refused::Foreign), "{text}");
        }
    }
}
