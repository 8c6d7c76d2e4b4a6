//! naive
use std::net::SocketAddr;

use anyhow::Result;
use interop::core::Core;
use interop::sipp::Sipp;
use interop::subscribers::{Subscriber, many, to_sipp};
use interop::tools;

type Edits = &'static [(&'static str, &'static str)];

fn edit(mut sipp: Sipp, edits: Edits) -> Sipp {
    for (from, to) in edits {
        sipp = sipp.edited(from, to);
    }
    sipp
}

#[test]
fn explore() -> Result<()> {
    if !tools::has(&["sipp"]) {
        return Ok(());
    }
    let core = Core::start()?;
    let callers = many("caller", 3, Subscriber::digest);
    let callees = many("callee", 3, Subscriber::digest);
    core.import(&callers)?;
    core.import(&callees)?;
    let caller = SocketAddr::from((core.device(0), 5060));
    let callee = SocketAddr::from((core.device(1), 5060));
    const CONTACT: &str = "Contact: <sip:[field0]@[local_ip]:[local_port];transport=[transport]>";
    let registers: &[(&str, Edits)] = &[
        ("plain", &[]),
        ("no brackets", &[(CONTACT, "Contact: sip:[field0]@[local_ip]:[local_port]")]),
        (
            "contact expires",
            &[
                (CONTACT, "Contact: <sip:[field0]@[local_ip]:[local_port]>;expires=600"),
                ("      Expires: 600\n", ""),
            ],
        ),
        ("no expires at all", &[("      Expires: 600\n", "")]),
        ("no supported", &[("      Supported: path\n", "")]),
        ("no rport", &[(";rport", "")]),
        ("no max-forwards", &[("      Max-Forwards: 70\n", "")]),
        (
            "display names",
            &[
                ("From: <sip:[field0]@[field1]>", "From: \"A \\\"B\\\", C\" <sip:[field0]@[field1]>"),
                ("To: <sip:[field0]@[field1]>", "To: [field0] <sip:[field0]@[field1]>"),
            ],
        ),
        ("bare to", &[("To: <sip:[field0]@[field1]>", "To: sip:[field0]@[field1]")]),
        ("user in register uri", &[("REGISTER sip:[field1] SIP", "REGISTER sip:[field0]@[field1] SIP")]),
        (
            "register to address",
            &[("REGISTER sip:[field1] SIP", "REGISTER sip:[remote_ip]:[remote_port] SIP")],
        ),
        ("register domain port", &[("REGISTER sip:[field1] SIP", "REGISTER sip:[field1]:[remote_port] SIP")]),
        (
            "compact",
            &[
                ("      Via:", "      v:"),
                ("      From:", "      f:"),
                ("      To:", "      t:"),
                ("      Call-ID:", "      i:"),
                ("      Contact:", "      m:"),
                ("Content-Length:", "l:"),
            ],
        ),
        ("contact without user", &[(CONTACT, "Contact: <sip:[local_ip]:[local_port]>")]),
        (
            "ports in From",
            &[
                ("From: <sip:[field0]@[field1]>", "From: <sip:[field0]@[field1]:5060>"),
                ("To: <sip:[field0]@[field1]>", "To: <sip:[field0]@[field1]:5060>"),
            ],
        ),
        ("upper", &[("To: <sip:[field0]@[field1]>", "To: <SIP:[field0]@IMS.Example>")]),
        (
            "route to pcscf",
            &[(
                "      Max-Forwards: 70\n",
                "      Max-Forwards: 70\n      Route: <sip:[remote_ip]:[remote_port];lr>\n",
            )],
        ),
        (
            "require outbound",
            &[(
                "      Supported: path\n",
                "      Supported: path, outbound, gruu\n      Require: path\n      Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, UPDATE, INFO, REFER, NOTIFY, MESSAGE, PRACK\n      User-Agent: x\n      P-Access-Network-Info: 3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=0010100010000001\n",
            )],
        ),
        (
            "sec-agree",
            &[(
                "      Supported: path\n",
                "      Supported: path,sec-agree\n      Require: sec-agree\n      Proxy-Require: sec-agree\n      Security-Client: ipsec-3gpp;alg=hmac-sha-1-96;spi-c=1;spi-s=2;port-c=5062;port-s=5063\n",
            )],
        ),
        (
            "instance",
            &[(
                CONTACT,
                "Contact: <sip:[field0]@[local_ip]:[local_port]>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E12[call_number]>\";reg-id=1;+g.3gpp.smsip;q=0.5;audio",
            )],
        ),
        (
            "first auth",
            &[(
                "CSeq: 1 REGISTER\n",
                "CSeq: 1 REGISTER\n      Authorization: Digest username=\"[field0]@[field1]\", realm=\"[field1]\", nonce=\"\", uri=\"sip:[field1]\", response=\"\"\n",
            )],
        ),
        (
            "first auth aka",
            &[(
                "CSeq: 1 REGISTER\n",
                "CSeq: 1 REGISTER\n      Authorization: Digest username=\"[field0]@[field1]\", realm=\"[field1]\", nonce=\"\", uri=\"sip:[field1]\", response=\"\", algorithm=AKAv1-MD5\n",
            )],
        ),
        ("branch shape", &[("branch=[branch]", "branch=[pid]-[call_number]-[cseq]x[msg_index]")]),
    ];
    let mut failures = 0;
    for (name, edits) in registers {
        let run =
            edit(Sipp::new("register_digest", core.entry(), caller).with(to_sipp(&callers, &[])), edits);
        if let Err(error) = run.option(&["-recv_timeout", "4000"]).run_all() {
            failures += 1;
            println!("REGISTER {name}: {error:#}");
        }
        println!("{name} done");
    }
    Sipp::new("register_digest", core.entry(), callee).with(to_sipp(&callees, &[])).run_all()?;
    Sipp::new("register_digest", core.entry(), caller).with(to_sipp(&callers, &[])).run_all()?;
    const PLAIN: &str = "INVITE sip:[field3]@[field1] SIP";
    const RR: &str = "      [last_Record-Route:]\n";
    let calls: &[(&str, Edits, Edits)] = &[
        ("plain", &[], &[]),
        (
            "routes pre-loaded",
            &[("CSeq: 1 INVITE\n", "CSeq: 1 INVITE\n      Route: <sip:[remote_ip]:[remote_port];lr>\n")],
            &[],
        ),
        ("request to address", &[(PLAIN, "INVITE sip:[field3]@[remote_ip]:[remote_port] SIP")], &[]),
        ("tel", &[], &[]),
        ("no routes later", &[("      [routes]\n", "")], &[]),
        ("in dialog to identity", &[("      [routes]\n", ""), ("[next_url]", "sip:[field3]@[field1]")], &[]),
        (
            "in dialog to address",
            &[("      [routes]\n", ""), ("[next_url]", "sip:[field3]@[remote_ip]:[remote_port]")],
            &[],
        ),
        ("uas without record-route", &[], &[(RR, "")]),
        ("uas without record-route, uac without route", &[("      [routes]\n", "")], &[(RR, "")]),
        (
            "uas rr and naive uac",
            &[("      [routes]\n", ""), ("[next_url]", "sip:[field3]@[field1]")],
            &[(RR, "")],
        ),
        (
            "contact without brackets",
            &[(
                "Contact: <sip:[field0]@[local_ip]:[local_port];transport=[transport]>",
                "Contact: sip:[field0]@[local_ip]:[local_port]",
            )],
            &[(
                "Contact: <sip:[local_ip]:[local_port];transport=[transport]>",
                "Contact: sip:[local_ip]:[local_port]",
            )],
        ),
        ("no rport", &[(";rport", "")], &[]),
        ("no max-forwards", &[("      Max-Forwards: 70\n", "")], &[]),
        (
            "display",
            &[
                ("From: <sip:[field0]@[field1]>", "From: \"A \\\"B\\\", C\" <sip:[field0]@[field1]>"),
                ("To: <sip:[field3]@[field1]>", "To: [field3] <sip:[field3]@[field1]>"),
            ],
            &[],
        ),
        ("bare from", &[("From: <sip:[field0]@[field1]>", "From: sip:[field0]@[field1]")], &[]),
        (
            "ppi",
            &[(
                "CSeq: 1 INVITE\n",
                "CSeq: 1 INVITE\n      P-Preferred-Identity: <sip:[field0]@[field1]>\n      Supported: 100rel, timer\n      Session-Expires: 1800\n      P-Access-Network-Info: IEEE-802.11\n",
            )],
            &[],
        ),
        (
            "from address",
            &[("From: <sip:[field0]@[field1]>", "From: <sip:[field0]@[local_ip]:[local_port]>")],
            &[],
        ),
    ];
    for (name, uac, uas) in calls {
        let answering = edit(Sipp::new("call_uas", core.entry(), callee).at(3, 20.0), uas)
            .option(&["-recv_timeout", "4000", "-timeout", "10s"])
            .start()?;
        let calling =
            edit(Sipp::new("call_uac", core.entry(), caller).with(to_sipp(&callers, &callees)), uac)
                .option(&["-recv_timeout", "4000"])
                .run_all();
        let uas = answering.wait().and_then(|outcome| outcome.expect_all(3));
        for (side, result) in [("uac", calling.map(drop)), ("uas", uas)] {
            if let Err(error) = result {
                failures += 1;
                println!("CALL {name} {side}: {error:#}");
            }
        }
        println!("{name} done");
    }
    println!("{failures} failures");
    core.discard()
}
