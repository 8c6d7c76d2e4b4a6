//! Phones as they are: what scenario files and softphones write differently from TS 24.229, and sometimes differently from
//! the RFCs. Each habit is a change to the plain scenario; with each of them phones register and call.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use interop::core::Core;
use interop::sipp::Sipp;
use interop::subscribers::{Subscriber, many, to_sipp};
use interop::tools;

/// Texts of the scenario, and what stands in their place.
type Habit = &'static [(&'static str, &'static str)];

const CONTACT: &str = "Contact: <sip:[field0]@[local_ip]:[local_port];transport=[transport]>";
const FROM: &str = "From: <sip:[field0]@[field1]>";
const TO: &str = "To: <sip:[field0]@[field1]>";
const URI: &str = "REGISTER sip:[field1] SIP";
const HOPS: &str = "      Max-Forwards: 70\n";
const SUPPORTED: &str = "      Supported: path\n";
const EXPIRES: &str = "      Expires: 600\n";
const FIRST: &str = "CSeq: 1 REGISTER\n";

const REGISTRATIONS: &[(&str, Habit)] = &[
    ("contact without brackets", &[(CONTACT, "Contact: sip:[field0]@[local_ip]:[local_port]")]),
    ("contact without user", &[(CONTACT, "Contact: <sip:[local_ip]:[local_port]>")]),
    (
        "expires in the contact",
        &[(CONTACT, "Contact: <sip:[field0]@[local_ip]:[local_port]>;expires=600"), (EXPIRES, "")],
    ),
    ("no expires", &[(EXPIRES, "")]),
    ("no path", &[(SUPPORTED, "")]),
    ("no rport", &[(";rport", "")]),
    ("no max-forwards", &[(HOPS, "")]),
    (
        "display names",
        &[
            (FROM, "From: \"A \\\"B\\\", C\" <sip:[field0]@[field1]>"),
            (TO, "To: [field0] <sip:[field0]@[field1]>"),
        ],
    ),
    ("to without brackets", &[(TO, "To: sip:[field0]@[field1]")]),
    ("user in the Request-URI", &[(URI, "REGISTER sip:[field0]@[field1] SIP")]),
    ("our address as Request-URI", &[(URI, "REGISTER sip:[remote_ip]:[remote_port] SIP")]),
    ("domain with port", &[(URI, "REGISTER sip:[field1]:[remote_port] SIP")]),
    (
        "compact forms",
        &[
            ("      Via:", "      v:"),
            ("      From:", "      f:"),
            ("      To:", "      t:"),
            ("      Call-ID:", "      i:"),
            ("      Contact:", "      m:"),
            ("Content-Length:", "l:"),
        ],
    ),
    ("identity with port", &[(TO, "To: <sip:[field0]@[field1]:5060>")]),
    ("upper case", &[(TO, "To: <SIP:[field0]@IMS.Example>")]),
    (
        "pre-loaded route",
        &[(HOPS, "      Max-Forwards: 70\n      Route: <sip:[remote_ip]:[remote_port];lr>\n")],
    ),
    (
        "a handset's fields",
        &[(
            SUPPORTED,
            "      Supported: path, outbound, gruu\n      Require: path\n      Allow: INVITE, ACK, CANCEL, BYE, UPDATE, PRACK\n      \
             User-Agent: handset\n      P-Access-Network-Info: 3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=0010100010000001\n",
        )],
    ),
    (
        "an offer of IPsec",
        &[(
            SUPPORTED,
            "      Supported: path,sec-agree\n      Require: sec-agree\n      Proxy-Require: sec-agree\n      \
             Security-Client: ipsec-3gpp;alg=hmac-sha-1-96;spi-c=1;spi-s=2;port-c=5062;port-s=5063\n",
        )],
    ),
    (
        "an instance",
        &[(
            CONTACT,
            "Contact: <sip:[field0]@[local_ip]:[local_port]>;\
             +sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E12[call_number]>\";reg-id=1;+g.3gpp.smsip;q=0.5;audio",
        )],
    ),
    (
        "credentials without a challenge",
        &[(
            FIRST,
            "CSeq: 1 REGISTER\n      Authorization: Digest username=\"[field0]@[field1]\", realm=\"[field1]\", \
             nonce=\"\", uri=\"sip:[field1]\", response=\"\"\n",
        )],
    ),
    (
        "AKA without a challenge",
        &[(
            FIRST,
            "CSeq: 1 REGISTER\n      Authorization: Digest username=\"[field0]@[field1]\", realm=\"[field1]\", \
             nonce=\"\", uri=\"sip:[field1]\", response=\"\", algorithm=AKAv1-MD5\n",
        )],
    ),
    ("branch of RFC 2543", &[("branch=[branch]", "branch=[pid]-[call_number]-[cseq]x[msg_index]")]),
];

const NO_ROUTE: (&str, &str) = ("      [routes]\n", "");
const TO_IDENTITY: (&str, &str) = ("[next_url]", "sip:[field3]@[field1]");
const TO_ADDRESS: (&str, &str) = ("[next_url]", "sip:[field3]@[remote_ip]:[remote_port]");
const NO_RECORD_ROUTE: (&str, &str) = ("      [last_Record-Route:]\n", "");
const INVITE: &str = "INVITE sip:[field3]@[field1] SIP";
const FIRST_INVITE: &str = "CSeq: 1 INVITE\n";

/// The caller's habit, and the callee's.
const CALLS: &[(&str, Habit, Habit)] = &[
    (
        "our address as route",
        &[(FIRST_INVITE, "CSeq: 1 INVITE\n      Route: <sip:[remote_ip]:[remote_port];lr>\n")],
        &[],
    ),
    ("our address as domain", &[(INVITE, "INVITE sip:[field3]@[remote_ip]:[remote_port] SIP")], &[]),
    ("no route in the dialog", &[NO_ROUTE], &[]),
    ("ACK and BYE to the identity", &[NO_ROUTE, TO_IDENTITY], &[]),
    ("ACK and BYE to our address", &[NO_ROUTE, TO_ADDRESS], &[]),
    ("no Record-Route in the answer", &[], &[NO_RECORD_ROUTE]),
    ("neither Record-Route nor Route", &[NO_ROUTE], &[NO_RECORD_ROUTE]),
    ("neither, and BYE to the identity", &[NO_ROUTE, TO_IDENTITY], &[NO_RECORD_ROUTE]),
    (
        "contacts without brackets",
        &[(CONTACT, "Contact: sip:[field0]@[local_ip]:[local_port]")],
        &[(
            "Contact: <sip:[local_ip]:[local_port];transport=[transport]>",
            "Contact: sip:[local_ip]:[local_port]",
        )],
    ),
    ("no rport", &[(";rport", "")], &[]),
    ("no max-forwards", &[(HOPS, "")], &[]),
    (
        "display names",
        &[
            (FROM, "From: \"A \\\"B\\\", C\" <sip:[field0]@[field1]>"),
            ("To: <sip:[field3]@[field1]>", "To: [field3] <sip:[field3]@[field1]>"),
        ],
        &[],
    ),
    ("from without brackets", &[(FROM, "From: sip:[field0]@[field1]")], &[]),
    ("from with its address", &[(FROM, "From: <sip:[field0]@[local_ip]:[local_port]>")], &[]),
    (
        "a handset's fields",
        &[(
            FIRST_INVITE,
            "CSeq: 1 INVITE\n      P-Preferred-Identity: <sip:[field0]@[field1]>\n      Supported: 100rel, timer\n      \
             Session-Expires: 1800\n      P-Access-Network-Info: IEEE-802.11\n",
        )],
        &[],
    ),
];

fn with_habit(mut sipp: Sipp, habit: Habit) -> Sipp {
    for (from, to) in habit {
        sipp = sipp.edited(from, to);
    }
    sipp
}

#[test]
fn phones_register_whatever_their_habits() -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let core = Core::start()?;
    let phones = many("phone", 3, Subscriber::digest);
    core.import(&phones)?;
    let local = SocketAddr::from((core.device(0), 5060));
    for (name, habit) in REGISTRATIONS {
        let register = Sipp::new("register_digest", core.entry(), local).with(to_sipp(&phones, &[]));
        with_habit(register, habit).run_all().with_context(|| format!("a phone with this habit: {name}"))?;
    }
    core.finish()
}

#[test]
fn phones_call_whatever_their_habits() -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let core = Core::start()?;
    let callers = many("caller", 3, Subscriber::digest);
    let callees = many("callee", 3, Subscriber::digest);
    core.import(&[callers.clone(), callees.clone()].concat())?;
    let local = |index| SocketAddr::from((core.device(index), 5060));
    let sipp = |scenario: &str, index| Sipp::new(scenario, core.entry(), local(index));
    sipp("register_digest", 0).with(to_sipp(&callers, &[])).run_all()?;
    sipp("register_digest", 1).with(to_sipp(&callees, &[])).run_all()?;
    let mut failures = Vec::new();
    for (name, caller, callee) in CALLS {
        let answering = with_habit(sipp("call_uas", 1).at(3, 20.0), callee).start()?;
        let called = with_habit(sipp("call_uac", 0).with(to_sipp(&callers, &callees)), caller).run_all();
        let answered = answering.wait().and_then(|outcome| outcome.expect_all(3));
        for result in [called.map(drop), answered] {
            failures.extend(result.err().map(|error| format!("{name}: {error:#}")));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    core.finish()
}
