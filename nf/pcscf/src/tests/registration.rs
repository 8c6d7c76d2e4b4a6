//! Spec 4.2, rows 2, 7, 9 and 14.

use clock::Duration;
use node::Origin;
use sip::message::Name;

use super::bench::*;
use crate::token::{TokenKey, Usage};

const AUTHORIZATION: &str = "Authorization: Digest username=\"alice@ims.example\", realm=\"ims.example\", \
     uri=\"sip:ims.example\", nonce=\"\", response=\"\", integrity-protected=\"yes\"";

#[test]
fn a_register_leaves_with_path_and_the_marks_of_the_visited_network() {
    let mut bench = Bench::new();
    let request = register(
        "alice",
        &format!(
            "Contact: <sip:alice@198.51.100.7:5060>;expires=600000\n{AUTHORIZATION}\nRoute: <sip:192.0.2.1:4060;lr>\n\
             Security-Client: ipsec-3gpp;alg=hmac-sha-1-96;spi-c=1;spi-s=2;port-c=3;port-s=4\nRequire: sec-agree\n\
             Proxy-Require: sec-agree\nSupported: path, gruu\nP-Access-Network-Info: 3GPP-UTRAN-TDD;utran-cell-id-3gpp=00\n\
             P-Charging-Vector: icid-value=mine\nP-Visited-Network-ID: elsewhere\nP-Asserted-Identity: <sip:eve@ims.example>"
        ),
    );
    let (_, forwarded) = bench.forward(&request, udp(ALICE));
    let message = &forwarded.message;
    assert_eq!(forwarded.destination.remote, "192.0.2.2:5060".parse().expect("an address"));
    assert_eq!(message.request_uri(), "sip:ims.example");
    assert_eq!(message.header(Name::MaxForwards), Some("69"));
    assert_eq!(all(message, Name::Require), ["path"]);
    assert_eq!(all(message, Name::Supported), ["path", "gruu"]);
    assert_eq!(all(message, Name::PVisitedNetworkId), ["ims.example"]);
    let vector = message.header(Name::PChargingVector).expect("it is there");
    assert!(vector.starts_with("icid-value=\"pcscf.ims.example-"), "{vector}");
    assert!(vector.ends_with("icid-generated-at=192.0.2.1;orig-ioi=ims.example"), "{vector}");
    assert_eq!(all(message, Name::PAccessNetworkInfo).len(), 1);
    assert_without(
        message,
        &[Name::SecurityClient, Name::ProxyRequire, Name::Route, Name::PAssertedIdentity],
    );
    // Security-Client says AKA; without IPsec nothing is protected, whatever the device claims.
    let authorization = message.header(Name::Authorization).expect("it is there");
    assert!(authorization.ends_with(", response=\"\", integrity-protected=\"no\""), "{authorization}");
}

#[test]
fn the_path_names_the_flow_of_the_device() {
    let mut bench = Bench::new();
    let (_, forwarded) =
        bench.forward(&register("alice", "Contact: <sip:alice@10.0.0.1>"), tcp("198.51.100.7:40000", 9));
    let path = uri_of(&forwarded.message, Name::Path);
    assert!(path.ends_with("@192.0.2.1:4060;lr"), "{path}");
    let user = sip::Uri::parse(&path).expect("a URI").user.expect("a token");
    let key = TokenKey::from_hex("000102030405060708090a0b0c0d0e0f").expect("32 hex digits");
    let token = key.open(user).expect("the standby can read it");
    assert_eq!((token.usage, token.flow), (Usage::Path, tcp("198.51.100.7:40000", 9)));
}

#[test]
fn a_device_that_keeps_flows_is_told_that_we_do_so_too() {
    let mut bench = Bench::new();
    let contact = "Contact: <sip:alice@10.0.0.1>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"";
    let (_, forwarded) =
        bench.forward(&register("alice", &format!("{contact}\nSupported: path, outbound")), udp(ALICE));
    assert!(uri_of(&forwarded.message, Name::Path).ends_with(";lr;ob"));
    let (_, forwarded) = bench.forward(&register("alice", contact), udp(ALICE));
    assert!(uri_of(&forwarded.message, Name::Path).ends_with(";lr"));
}

#[test]
fn the_integrity_mark_follows_scheme_and_association() {
    let mut bench = Bench::new();
    let mark = |bench: &mut Bench, authorization: &str| {
        let request = register("alice", &format!("Contact: <sip:alice@198.51.100.7:5060>\n{authorization}"));
        let (_, forwarded) = bench.forward(&request, udp(ALICE));
        let value = forwarded.message.header(Name::Authorization)?.to_owned();
        crate::headers::digest_parameter(&value, "integrity-protected").map(str::to_owned)
    };
    let aka = "Authorization: Digest username=\"a\", algorithm=AKAv1-MD5, response=\"00\"";
    assert_eq!(mark(&mut bench, AUTHORIZATION).as_deref(), Some("ip-assoc-pending"));
    assert_eq!(mark(&mut bench, aka).as_deref(), Some("no"));
    assert_eq!(mark(&mut bench, "User-Agent: without"), None);
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    assert_eq!(mark(&mut bench, AUTHORIZATION).as_deref(), Some("ip-assoc-yes"));
    assert_eq!(mark(&mut bench, aka).as_deref(), Some("no"));
}

#[test]
fn a_scheme_nobody_knows_passes_unchanged() {
    let mut bench = Bench::new();
    let request =
        register("alice", "Contact: <sip:a@h>\nAuthorization: NoOneKnowsThisScheme opaque-data=here");
    let (_, forwarded) = bench.forward(&request, udp(ALICE));
    assert_eq!(forwarded.message.header(Name::Authorization), Some("NoOneKnowsThisScheme opaque-data=here"));
}

#[test]
fn the_keys_of_a_challenge_stay_here() {
    let mut bench = Bench::new();
    let (server, forwarded) =
        bench.forward(&register("alice", "Contact: <sip:alice@198.51.100.7>"), udp(ALICE));
    let challenge = "Digest realm=\"ims.example\", nonce=\"bm9uY2U=\", algorithm=AKAv1-MD5, \
                     ck=\"00112233445566778899aabbccddeeff\", ik=\"ffeeddccbbaa99887766554433221100\", qop=\"auth\"";
    let more = [(Name::WwwAuthenticate, challenge), (Name::PChargingVector, "icid-value=1;term-ioi=x")];
    let answer = bench.respond(server, &forwarded, 401, &more);
    assert_eq!(answer.status(), 401);
    assert_eq!(
        answer.header(Name::WwwAuthenticate),
        Some("Digest realm=\"ims.example\", nonce=\"bm9uY2U=\", algorithm=AKAv1-MD5, qop=\"auth\"")
    );
    assert_without(&answer, &[Name::PChargingVector]);
    assert_eq!(all(&answer, Name::Via).len(), 1);
    assert_eq!(bench.events, []);
    assert_eq!(bench.pcscf.bindings_count(), 0);
}

#[test]
fn a_200_binds_and_keeps_charging_from_the_device() {
    let mut bench = Bench::new();
    let contact = "<sip:alice@198.51.100.7:5060>";
    let (server, forwarded) = bench.forward(&register("alice", &format!("Contact: {contact}")), udp(ALICE));
    let path = forwarded.message.header(Name::Path).expect("it is there").to_owned();
    let granted = format!("{contact};expires=600");
    let mut more = granted_headers("alice", &granted);
    more.push((Name::Path, &path));
    let answer = bench.respond(server, &forwarded, 200, &more);
    assert_without(&answer, &[Name::PChargingVector, Name::PChargingFunctionAddresses]);
    assert_eq!(all(&answer, Name::Path), [path]);
    assert_eq!(all(&answer, Name::ServiceRoute), ["<sip:orig@scscf.ims.example:6060;lr>"]);
    assert_eq!(all(&answer, Name::PAssociatedUri).len(), 2);
    assert_eq!(bench.events, [("registration", "ok")]);
    let list = bench.command("registration.list").expect("a list");
    assert!(
        list.contains("\"identity\":\"sip:alice@ims.example\"") && list.contains("\"expiresSeconds\":600"),
        "{list}"
    );
    assert!(bench.command("registration.drop").is_err());
}

#[test]
fn a_binding_ends_at_its_expiry_and_not_a_second_before() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    bench.wait(599);
    assert_eq!(bench.pcscf.bindings_count(), 1);
    bench.wait(1);
    assert_eq!(bench.pcscf.bindings_count(), 0);
    assert_eq!(bench.events.last(), Some(&("de_registration", "expired")));
}

#[test]
fn a_refresh_moves_the_device_to_its_new_flow() {
    let mut bench = Bench::new();
    let contact = "<sip:alice@198.51.100.7:5060>;+sip.instance=\"<urn:uuid:1>\"";
    bench.register("alice", contact, udp(ALICE));
    bench.register("alice", contact, udp("198.51.100.7:7777"));
    assert_eq!(bench.pcscf.bindings_count(), 1);
    let list = bench.command("registration.list").expect("a list");
    assert!(list.contains("198.51.100.7:7777"), "{list}");
    assert_eq!(bench.events.last(), Some(&("re_registration", "ok")));
}

#[test]
fn a_register_that_is_refused_moves_nobody() {
    let mut bench = Bench::new();
    let contact = "<sip:alice@198.51.100.7:5060>";
    bench.register("alice", contact, udp(ALICE));
    let request = register("alice", &format!("Contact: {contact}"));
    let (server, forwarded) = bench.forward(&request, udp("203.0.113.66:5060"));
    assert_eq!(bench.respond(server, &forwarded, 403, &[]).status(), 403);
    let list = bench.command("registration.list").expect("a list");
    assert!(list.contains(ALICE) && !list.contains("203.0.113.66"), "{list}");
    assert_eq!(bench.events.last(), Some(&("re_registration", "forbidden")));
}

#[test]
fn de_registration_ends_the_binding_and_its_implicit_set() {
    for gone in ["Contact: <sip:alice@198.51.100.7:5060>;expires=0", "Contact: *\nExpires: 0"] {
        let mut bench = Bench::new();
        bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
        bench.register("bob", "<sip:bob@198.51.100.8:5060>", udp("198.51.100.8:5060"));
        let (server, forwarded) = bench.forward(&register("alice", gone), udp(ALICE));
        bench.respond(server, &forwarded, 200, &[]);
        assert_eq!(bench.pcscf.bindings_count(), 1, "{gone}");
        assert_eq!(bench.events.last(), Some(&("de_registration", "ok")));
    }
}

#[test]
fn two_devices_of_one_identity_are_two_bindings() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    bench.register("alice", "<sip:alice@198.51.100.9:5060>", udp("198.51.100.9:5060"));
    assert_eq!(bench.pcscf.bindings_count(), 2);
}

#[test]
fn bindings_survive_the_process_and_expire_by_the_wall_clock() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    assert_eq!(bench.restarted(Duration::from_secs(599)).pcscf.bindings_count(), 1);
    assert_eq!(bench.restarted(Duration::from_secs(601)).pcscf.bindings_count(), 0);
    let mut restarted = bench.restarted(Duration::from_secs(100));
    restarted.wait(499);
    assert_eq!(restarted.pcscf.bindings_count(), 1);
    restarted.wait(2);
    assert_eq!(restarted.pcscf.bindings_count(), 0);
}

#[test]
fn an_entry_of_the_store_that_cannot_be_read_is_dropped() {
    use node::{MemoryStore, Store};
    let mut store = MemoryStore::default();
    store.write(crate::binding::TABLE, b"short", b"{}");
    store.write(crate::binding::TABLE, &[0; 8], b"not JSON");
    let bench = Bench::with(config(), store, 1_000_000);
    assert_eq!(bench.pcscf.bindings_count(), 0);
    assert_eq!(bench.pcscf.store().read(crate::binding::TABLE, &[0; 8]), None);
}

#[test]
fn a_home_network_that_is_silent_gives_504() {
    for origin in [Origin::TimedOut, Origin::Unreachable] {
        let mut bench = Bench::new();
        let (server, forwarded) =
            bench.forward(&register("alice", "Contact: <sip:alice@198.51.100.7>"), udp(ALICE));
        assert_eq!(bench.respond_as(server, &forwarded, 408, &[], origin).status(), 504);
        assert_eq!(bench.events, [("registration", "server_timeout")]);
    }
}

#[test]
fn a_contact_that_cannot_be_bound_is_400() {
    let six = ["<sip:a@h>"; 6].join(", ");
    for contact in [
        "User-Agent: without",
        "Contact: *",
        "Contact: *\nExpires: 600",
        "Contact: *, <sip:a@h>\nExpires: 0",
        "Contact: <tel:>",
        "Contact: <mailto:alice@ims.example>",
        &format!("Contact: {six}"),
    ] {
        let mut bench = Bench::new();
        assert_eq!(bench.refuse(&register("alice", contact), udp(ALICE)).status(), 400, "{contact}");
        assert_eq!(bench.events.len(), 1, "{contact}");
    }
}
