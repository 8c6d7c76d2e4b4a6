//! One line of words for each message: what it is for, at this place. For people who know SIP but not this call.

use node::config::FunctionKind::{self, Icscf, Pcscf, Scscf};

use super::draw::{TEXT_MAX, shown};
use super::{Arrow, Party};

/// Explains messages in their order.
#[derive(Debug, Default)]
pub(super) struct Explainer {
    /// Was the device challenged in this exchange?
    is_challenged: bool,
    /// Does the device de-register?
    is_leaving: bool,
    /// The From and the CSeq of the INVITE that was answered.
    answered: Option<(String, String)>,
}

impl Explainer {
    pub(super) fn explain(&mut self, arrow: &Arrow) -> String {
        let mut words = match (arrow.is_diameter(), arrow.status()) {
            (true, _) => diameter(&arrow.told.summary),
            (false, Some(status)) => self.response(arrow, status),
            (false, None) => self.request(arrow),
        };
        if !arrow.told.reasons.is_empty() && !arrow.is_repetition {
            words = format!("{words} [{}]", shown(&arrow.told.reasons.join("; "), TEXT_MAX));
        }
        match (arrow.is_lost(), arrow.is_repetition) {
            (true, _) => format!("(was not received) {words}"),
            (false, true) => format!("(repetition) {words}"),
            (false, false) => words,
        }
    }

    fn request(&mut self, arrow: &Arrow) -> String {
        let ends = (function(&arrow.from), function(&arrow.to));
        self.is_leaving |= arrow.is_deregistration();
        match (arrow.method(), ends) {
            ("REGISTER", (None, _)) if self.is_leaving => "the device de-registers".into(),
            ("REGISTER", (None, _)) if self.is_challenged => "the device answers the challenge".into(),
            ("REGISTER", (None, _)) => "the device asks to register".into(),
            ("REGISTER", (_, Some(Icscf))) => "with Path, to the entry of the home network".into(),
            ("REGISTER", (_, Some(Scscf))) => "to the S-CSCF that serves the user".into(),
            ("INVITE", _) if self.is_within_call(arrow) => "within the call: changes it".into(),
            ("INVITE", (None, _)) => format!("the caller calls {}", shown(target(arrow), TEXT_MAX)),
            ("INVITE", (Some(Pcscf), Some(Scscf))) => "along the Service-Route to the caller's S-CSCF".into(),
            ("INVITE", (Some(Scscf), Some(Icscf))) => {
                "out of the caller's side: who serves the called user?".into()
            }
            ("INVITE", (Some(Icscf), Some(Scscf))) => "to the called user's S-CSCF".into(),
            ("INVITE", (Some(Scscf), Some(Pcscf))) => "along Path to the called device's P-CSCF".into(),
            ("INVITE", (_, None)) => "the called device is asked".into(),
            ("ACK", _) => "confirms the final answer".into(),
            ("BYE", (None, _)) => "the device hangs up".into(),
            ("BYE", _) => "the call ends".into(),
            ("CANCEL", (None, _)) => "the caller gives up before an answer".into(),
            ("CANCEL", _) => "the call is withdrawn".into(),
            ("PRACK", _) => "confirms a provisional answer (RFC 3262)".into(),
            ("UPDATE", _) => "changes the media before the answer (RFC 3311)".into(),
            ("MESSAGE", (_, None)) => "the message is delivered".into(),
            ("MESSAGE", _) => "a message on its way".into(),
            ("SUBSCRIBE", _) => "asks to be told of changes".into(),
            ("NOTIFY", (_, None)) => "tells the device the state it subscribed to".into(),
            ("NOTIFY", _) => "tells the state that was subscribed to".into(),
            (method, _) => format!("{} on its way", shown(method, TEXT_MAX)),
        }
    }

    /// Is it of another INVITE than the one that was answered?
    fn is_within_call(&self, arrow: &Arrow) -> bool {
        let is_other = |(from, cseq): &(String, String)| (from, cseq) != (&arrow.told.from, &arrow.told.cseq);
        self.answered.as_ref().is_some_and(is_other)
    }

    fn response(&mut self, arrow: &Arrow, status: u16) -> String {
        let is_to_device = matches!(arrow.to, Party::Device(_));
        let phrase = arrow.told.summary.get(12..).unwrap_or_default().trim();
        match (status, arrow.method()) {
            (100, _) => "received, working on it".into(),
            (180, _) => "the called device rings".into(),
            (183, _) => "progress: media before the answer".into(),
            (401 | 407, _) => {
                self.is_challenged |= is_to_device;
                "a challenge: prove who you are".into()
            }
            (200..300, "INVITE") if self.is_within_call(arrow) => "the change is agreed".into(),
            (200..300, "INVITE") => {
                if is_to_device {
                    self.answered = Some((arrow.told.from.clone(), arrow.told.cseq.clone()));
                }
                "the call is answered".into()
            }
            (200..300, "REGISTER") if self.is_leaving => "de-registered".into(),
            (200..300, "REGISTER") => "registered, with Service-Route and the associated identities".into(),
            (200..300, _) => "done".into(),
            (408, _) => "no answer in time".into(),
            (423, _) => "the time asked for is too short".into(),
            (486, _) => "busy".into(),
            (503, _) => "too much to do or no way onwards: try later".into(),
            (_, _) if phrase.is_empty() => format!("refused with {status}"),
            _ => shown(phrase, TEXT_MAX),
        }
    }
}

fn diameter(summary: &str) -> String {
    let (command, result) = summary.split_once(' ').unwrap_or((summary, ""));
    // RFC 6733 and TS 29.229 use the same numbers for different results: the name counts.
    let name = result.split(' ').next_back().unwrap_or_default();
    let is_success = result.starts_with('2');
    let words = match (command, name) {
        ("UAR", _) => "may this user register here, and which S-CSCF serves it?",
        ("UAA", "FIRST_REGISTRATION") => "yes; no S-CSCF serves it yet: choose one",
        ("UAA", _) if is_success => "yes; an S-CSCF serves it already",
        ("LIR", _) => "which S-CSCF serves the called user?",
        ("LIA", _) if is_success => "this one",
        ("MAR", _) => "authentication data for a challenge, please",
        ("MAA", _) if is_success => "here it is",
        ("SAR", "RE_REGISTRATION") => "the registration is refreshed",
        ("SAR", "UNREGISTERED_USER") => "somebody calls this user, who is not registered: may I serve?",
        ("SAR", "NO_ASSIGNMENT") => "the profile of this user, and the devices that I have forgotten, please",
        ("SAR", "AUTHENTICATION_FAILURE") => {
            "the device could not prove who it is: forget that I was to serve"
        }
        ("SAR", "AUTHENTICATION_TIMEOUT") => {
            "the device never answered the challenge: forget that I was to serve"
        }
        ("SAR", what) if what.contains("DEREGISTRATION") => "the registration has ended: note it",
        ("SAR", _) => "the user is registered, and I serve it: note it, and give me its profile",
        ("SAA", _) if is_success => "noted",
        ("RTR", _) => "the operator ends the registration",
        ("RTA", _) if is_success => "done",
        ("PPR", _) => "the user's profile has changed",
        ("PPA", _) if is_success => "taken",
        ("UAA", "AUTHORIZATION_REJECTED") => "no: all identities of the user are barred",
        ("MAA", "AUTHORIZATION_REJECTED") => {
            "the SIM's AUTS does not verify: its K or OPc differs, or it was forged"
        }
        ("UAA", "ERROR_IDENTITY_NOT_REGISTERED") => "there is no registration to end",
        (_, "ERROR_USER_UNKNOWN") => "there is no such user",
        (_, "ERROR_IDENTITIES_DONT_MATCH") => "private and public identity do not belong together",
        (_, "ERROR_IDENTITY_NOT_REGISTERED") => "the called user is not registered",
        (_, "ERROR_ROAMING_NOT_ALLOWED") => "the user may not register from there",
        (_, "ERROR_IDENTITY_ALREADY_REGISTERED") => "the user was registered by another S-CSCF",
        _ => return if result.is_empty() { command.to_owned() } else { format!("refused: {result}") },
    };
    words.to_owned()
}

pub(super) fn function(party: &Party) -> Option<FunctionKind> {
    match party {
        Party::Function(kind) => Some(*kind),
        Party::Device(_) => None,
    }
}

/// The Request-URI.
fn target(arrow: &Arrow) -> &str {
    arrow.told.summary.split_whitespace().nth(1).unwrap_or_default()
}
