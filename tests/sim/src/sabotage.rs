//! Deliberately broken rules: each must be found by the checkers, or they prove nothing.

use bytes::Bytes;
use node::config::FunctionKind;
use sip::{Draft, Message, Method, Name};

/// A session key in hex digits that is nobody's.
const ZEROS: &str = "00000000000000000000000000000000";

/// One broken rule, put on the wire behind a correct function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The P-CSCF adds no Path to a REGISTER (RFC 3327): nobody can be called.
    DropPath,
    /// The S-CSCF's 200 has no Service-Route (RFC 3608): a device's requests miss its S-CSCF.
    DropServiceRoute,
    /// The S-CSCF adds no Record-Route: requests in the dialog take another way.
    DropRecordRoute,
    /// The P-CSCF answers a request with 200 of its own besides the one that comes.
    AnswerTwice,
    /// The P-CSCF lets `ck` and `ik` through to the device (RFC 3310, TS 24.229 5.2.2).
    LeakKeys,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Sabotage; 5] = [
        Sabotage::DropPath,
        Sabotage::DropServiceRoute,
        Sabotage::DropRecordRoute,
        Sabotage::AnswerTwice,
        Sabotage::LeakKeys,
    ];

    /// What leaves in place of `bytes`, which `from` sends.
    pub fn apply(self, from: FunctionKind, bytes: Bytes) -> Vec<Bytes> {
        let Ok(message) = Message::parse(bytes.clone()) else { return vec![bytes] };
        let is_register = message.method() == Method::Register;
        let mut draft = Draft::of(&message);
        match (self, from) {
            (Sabotage::DropPath, FunctionKind::Pcscf) if is_register && message.is_request() => {
                draft.remove(Name::Path);
            }
            (Sabotage::DropServiceRoute, FunctionKind::Scscf) if is_register && message.status() == 200 => {
                draft.remove(Name::ServiceRoute);
            }
            (Sabotage::DropRecordRoute, FunctionKind::Scscf) if message.is_request() => {
                draft.remove_first_value(Name::RecordRoute);
            }
            (Sabotage::AnswerTwice, FunctionKind::Pcscf) if message.status() == 200 => {
                let mut second = Draft::of(&message);
                second.set_status(404, "Not Found");
                return vec![bytes, second.emit()];
            }
            (Sabotage::LeakKeys, FunctionKind::Pcscf) if message.status() == 401 => {
                let value = message.header(Name::WwwAuthenticate).unwrap_or("").to_owned();
                draft.replace(Name::WwwAuthenticate, format!("{value}, ck=\"{ZEROS}\", ik=\"{ZEROS}\""));
            }
            _ => return vec![bytes],
        }
        vec![draft.emit()]
    }
}
