//! The torture messages of RFC 4475 (bytes from the RFC's archive) and RFC 5118 (typed from it), each as one datagram to the
//! running P-CSCF, from the socket of a registered phone: whatever is not refused takes the way of any request.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use interop::core::Core;
use interop::sipp::Sipp;
use interop::sockets::{Datagrams, call_id};
use interop::subscribers::{Subscriber, to_sipp};
use interop::tools;

/// What the core has to say.
#[derive(Clone, Copy, Debug)]
enum Reaction {
    /// This status.
    Answer(u16),
    /// Understood and sent on: the home network says that it has no such user, or the way ends in an unknown domain.
    SentOn,
    /// Nothing.
    Silence,
}

use Reaction::{Answer, SentOn, Silence};

impl Reaction {
    fn fits(self, status: Option<u16>) -> bool {
        match (self, status) {
            (Silence, None) => true,
            (Answer(expected), Some(status)) => expected == status,
            // Of the home network, or because there is no way to a network of IPv6 from here.
            (SentOn, Some(status)) => matches!(status, 401 | 403 | 404 | 480 | 500 | 604),
            _ => false,
        }
    }
}

/// Spec 5.4; where the RFC leaves a choice, what this core chose (see `nf/sip/tests/rfc4475.rs` for why).
const RFC_4475: &[(&str, Reaction)] = &[
    ("wsinv", SentOn),
    ("intmeth", SentOn),
    ("esc01", SentOn),
    ("escnull", SentOn),
    ("esc02", SentOn),
    ("lwsdisp", SentOn),
    ("longreq", SentOn),
    ("dblreq", SentOn),
    ("semiuri", SentOn),
    ("transports", SentOn),
    ("mpart01", SentOn),
    ("unreason", Silence),
    ("noreason", Silence),
    ("badinv01", Answer(400)),
    ("clerr", Answer(400)),
    ("ncl", Answer(400)),
    ("scalar02", Answer(400)),
    ("scalarlg", Silence),
    ("quotbal", Answer(400)),
    ("ltgtruri", Answer(400)),
    ("lwsruri", Answer(400)),
    ("lwsstart", Answer(400)),
    ("trws", Answer(400)),
    ("escruri", Answer(400)),
    ("baddate", SentOn),
    ("regbadct", Answer(400)),
    ("badaspec", SentOn),
    ("baddn", Answer(400)),
    ("badvers", Answer(505)),
    ("mismatch01", Answer(400)),
    ("mismatch02", Answer(501)),
    ("bigcode", Silence),
    ("badbranch", SentOn),
    ("insuf", Answer(400)),
    ("unkscm", Answer(416)),
    ("novelsc", Answer(416)),
    ("unksm2", Answer(400)),
    ("bext01", Answer(420)),
    ("invut", SentOn),
    ("regaut01", Answer(400)), // It has no Contact, which the P-CSCF demands (spec 4.2.1 row 2).
    ("multi01", Answer(400)),
    ("mcl01", Answer(400)),
    ("bcast", Silence),
    ("zeromf", Answer(483)),
    ("cparam01", SentOn),
    ("cparam02", SentOn),
    ("regescrt", SentOn),
    ("sdp01", SentOn),
    ("inv2543", SentOn),
];

/// The RFC gives these the branch of another message here: within 32 s the same core would take them for repetitions of that
/// one, and rightly so (RFC 3261 §17.2.3).
const REPEATED: [&str; 3] = ["novelsc", "cparam02", "regescrt"];

/// RFC 5118 §4: start line, and the lines in which the message is special.
const RFC_5118: &[(&str, &str, &str, Reaction)] = &[
    (
        "4.1",
        "REGISTER sip:[2001:db8::10] SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111",
        SentOn,
    ),
    (
        "4.2",
        "REGISTER sip:2001:db8::10 SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-112",
        Answer(400),
    ),
    (
        "4.3",
        "REGISTER sip:[2001:db8::10:5070] SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-113",
        SentOn,
    ),
    (
        "4.4",
        "REGISTER sip:[2001:db8::10]:5070 SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-114",
        SentOn,
    ),
    (
        "4.5 with brackets",
        "OPTIONS sip:[2001:db8::10] SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-115",
        SentOn,
    ),
    (
        "4.5 without brackets",
        "OPTIONS sip:[2001:db8::10] SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3-116",
        SentOn,
    ),
    (
        "4.6",
        "INVITE sip:user@[2001:db8::10] SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-117",
        SentOn,
    ),
    (
        "4.7",
        "BYE sip:user@host.example.net SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-118\r\n\
         Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144\r\n\
         Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200\r\n\
         Record-Route: <sip:[2001:db8::9:1];lr>, <sip:192.0.2.1;lr>",
        SentOn,
    ),
    (
        "4.9",
        "INVITE sip:user@example.com SIP/2.0",
        "Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKbh19\r\nContact: \"Someone\" <sip:user@[::ffff:192.0.2.10]:19823>",
        SentOn,
    ),
    (
        "4.10",
        "OPTIONS sip:user@[2001:db8:::192.0.2.1] SIP/2.0",
        "Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-119",
        SentOn,
    ),
];

/// A core, and the socket of a phone that SIPp has registered.
fn phone() -> Result<(Core, Datagrams, Subscriber)> {
    let core = Core::start()?;
    let somebody = Subscriber::digest("somebody");
    core.import(std::slice::from_ref(&somebody))?;
    let local = SocketAddr::from((core.device(0), 5060));
    Sipp::new("register_digest", core.entry(), local)
        .with(to_sipp(std::slice::from_ref(&somebody), &[]))
        .run_all()?;
    let socket = Datagrams::open(local, core.entry())?;
    Ok((core, socket, somebody))
}

/// An answer takes milliseconds; silence is believed after this time.
const PATIENCE: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(400);

/// What comes back at `ear`.
fn react(socket: &Datagrams, message: &[u8], ear: &Datagrams, expected: Reaction) -> Result<Option<u16>> {
    socket.send(message)?;
    let text = String::from_utf8_lossy(message);
    let patience = if matches!(expected, Silence) { SILENCE } else { PATIENCE };
    Ok(ear.final_status(call_id(&text), patience))
}

/// The core serves as if nothing had happened.
fn expect_service(core: &Core, somebody: &Subscriber) -> Result<()> {
    let local = SocketAddr::from((core.device(1), 5060));
    Sipp::new("register_digest", core.entry(), local)
        .with(to_sipp(std::slice::from_ref(somebody), &[]))
        .run_all()?;
    for function in ["pcscf", "icscf", "scscf", "hss"] {
        core.pid(function)?;
    }
    Ok(())
}

#[test]
fn each_message_of_rfc_4475_gets_its_reaction() -> Result<()> {
    let folder = tools::repository().join("../shared/data/rfc4475");
    if !folder.is_dir() {
        println!("skipped: the torture messages of RFC 4475 are not in {}", folder.display());
        return Ok(());
    }
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let mut wrong = Vec::new();
    for is_second in [false, true] {
        let (core, socket, somebody) = phone()?;
        let pids = ["pcscf", "icscf", "scscf", "hss"].map(|function| core.pid(function).ok());
        // The answer to `quotbal` goes to the port in its Via.
        let other_port = Datagrams::open(SocketAddr::from((core.device(0), 5050)), core.entry())?;
        for (name, expected) in RFC_4475.iter().filter(|(name, _)| REPEATED.contains(name) == is_second) {
            let message = std::fs::read(folder.join(name).with_extension("dat"))?;
            let ear = if *name == "quotbal" { &other_port } else { &socket };
            let status = react(&socket, &message, ear, *expected)?;
            if !expected.fits(status) {
                wrong.push(format!("{name}: expected {expected:?}, got {status:?}"));
            }
        }
        expect_service(&core, &somebody)?;
        let pids_after = ["pcscf", "icscf", "scscf", "hss"].map(|function| core.pid(function).ok());
        assert_eq!(pids, pids_after, "nobody died");
        core.discard()?;
    }
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn each_message_of_rfc_5118_gets_its_reaction() -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let (core, socket, somebody) = phone()?;
    let mut wrong = Vec::new();
    for (name, start_line, special, expected) in RFC_5118 {
        let method = start_line.split(' ').next().unwrap_or_default();
        let body = match *name {
            "4.6" => {
                "v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=-\r\nc=IN IP6 2001:db8::20\r\nt=0 0\r\n"
            }
            "4.9" => {
                "v=0\r\no=a 1 0 IN IP6 2001:db8::20\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n"
            }
            _ => "",
        };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let tag = if method == "BYE" { ";tag=9817--94" } else { "" };
        let contact = match special.contains("Contact:") {
            true => "",
            false => "Contact: \"Caller\" <sip:caller@[2001:db8::1]>\r\n",
        };
        let message = format!(
            "{start_line}\r\n{special}\r\nTo: sip:user@example.com{tag}\r\nFrom: sip:user@example.com;tag=81x2\r\n\
             Call-ID: SSG95599055239{}@hlau_4100\r\nMax-Forwards: 70\r\n{contact}CSeq: 98176 {method}\r\n{content}\
             Content-Length: {}\r\n\r\n{body}",
            name.replace(" ", "-"),
            body.len()
        );
        let status = react(&socket, message.as_bytes(), &socket, *expected)?;
        if !expected.fits(status) {
            wrong.push(format!("{name}: expected {expected:?}, got {status:?}"));
        }
    }
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    expect_service(&core, &somebody)?;
    core.discard()
}
