//! What goes out comes back, what Kamailio sends is understood, and nothing panics.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::avp::{Avp, AvpBuilder};
use crate::codec::{Message, MessageBuilder, result};
use crate::dictionary::{self as avp, Attribute, VENDOR_3GPP};

fn text() -> impl Strategy<Value = String> {
    "[ -~äß€]{0,40}"
}

fn result_code() -> impl Strategy<Value = ResultCode> {
    prop_oneof![any::<u32>().prop_map(ResultCode::Base), any::<u32>().prop_map(ResultCode::Experimental)]
}

fn charging() -> impl Strategy<Value = ChargingInformation> {
    (option::of(text()), option::of(text()), option::of(text()), option::of(text())).prop_map(
        |(a, b, c, d)| ChargingInformation {
            primary_event_charging_function_name: a,
            secondary_event_charging_function_name: b,
            primary_charging_collection_function_name: c,
            secondary_charging_collection_function_name: d,
        },
    )
}

fn capabilities() -> impl Strategy<Value = ServerCapabilities> {
    (vec(any::<u32>(), 0..4), vec(any::<u32>(), 0..4), vec(text(), 0..3)).prop_map(
        |(mandatory, optional, server_names)| ServerCapabilities { mandatory, optional, server_names },
    )
}

fn restoration() -> impl Strategy<Value = ScscfRestorationInfo> {
    let subscription =
        (text(), text(), text(), text(), text()).prop_map(|(call_id, from, to, record_route, contact)| {
            SubscriptionInfo { call_id, from, to, record_route, contact }
        });
    let contact = (text(), text(), option::of(subscription))
        .prop_map(|(path, contact, subscription)| RestorationInfo { path, contact, subscription });
    (text(), vec(contact, 0..3))
        .prop_map(|(private_identity, contacts)| ScscfRestorationInfo { private_identity, contacts })
}

fn vector() -> impl Strategy<Value = AuthenticationVector> {
    prop_oneof![
        (any::<[u8; 32]>(), vec(any::<u8>(), 4..=16), any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(
            |(rand_autn, xres, confidentiality_key, integrity_key)| AuthenticationVector::Aka {
                rand_autn,
                xres,
                confidentiality_key,
                integrity_key
            }
        ),
        (text(), text(), text(), "[0-9a-f]{32}").prop_map(|(realm, algorithm, qop, ha1)| {
            AuthenticationVector::Digest { realm, algorithm, qop, ha1 }
        }),
    ]
}

fn assignment_type() -> impl Strategy<Value = ServerAssignmentType> {
    (0u32..12).prop_map(|value| ServerAssignmentType::from_wire(value).unwrap())
}

fn request() -> impl Strategy<Value = Request> {
    let user_authorization = (text(), text(), text(), 0u32..3).prop_map(
        |(private_identity, public_identity, visited_network, value)| {
            Request::UserAuthorization(UserAuthorizationRequest {
                private_identity,
                public_identity,
                visited_network,
                authorization_type: UserAuthorizationType::from_wire(value).unwrap(),
            })
        },
    );
    let rand_auts = (any::<[u8; 16]>(), any::<[u8; 14]>()).prop_map(|(rand, auts)| {
        let mut both = [0; 30];
        both[..16].copy_from_slice(&rand);
        both[16..].copy_from_slice(&auts);
        both
    });
    let multimedia_authentication = (text(), text(), text(), text(), option::of(rand_auts)).prop_map(
        |(private_identity, public_identity, server_name, scheme, resynchronisation)| {
            Request::MultimediaAuthentication(MultimediaAuthenticationRequest {
                private_identity,
                public_identity,
                server_name,
                authentication: AuthenticationRequest { scheme, resynchronisation },
            })
        },
    );
    let server_assignment = (
        (option::of(text()), vec(text(), 1..4), text()),
        (assignment_type(), any::<bool>(), option::of(restoration())),
    )
        .prop_map(
            |(
                (private_identity, public_identities, server_name),
                (assignment_type, available, restoration),
            )| {
                Request::ServerAssignment(ServerAssignmentRequest {
                    private_identity,
                    public_identities,
                    server_name,
                    assignment_type,
                    user_data_already_available: available,
                    restoration,
                })
            },
        );
    let location_information = (text(), any::<bool>(), any::<bool>()).prop_map(
        |(public_identity, originating, with_capabilities)| {
            Request::LocationInformation(LocationInformationRequest {
                public_identity,
                originating,
                with_capabilities,
            })
        },
    );
    let registration_termination = (text(), vec(text(), 0..4), 0u32..4, option::of(text())).prop_map(
        |(private_identity, public_identities, reason, reason_info)| {
            Request::RegistrationTermination(RegistrationTerminationRequest {
                private_identity,
                public_identities,
                reason: DeregistrationReasonCode::from_wire(reason).unwrap(),
                reason_info,
            })
        },
    );
    let push_profile = (text(), option::of(vec(any::<u8>(), 0..300)), option::of(charging())).prop_map(
        |(private_identity, user_data, charging)| {
            let user_data = user_data.map(Bytes::from);
            Request::PushProfile(PushProfileRequest { private_identity, user_data, charging })
        },
    );
    prop_oneof![
        user_authorization,
        multimedia_authentication,
        server_assignment,
        location_information,
        registration_termination,
        push_profile,
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        (result_code(), option::of(text()), option::of(capabilities())).prop_map(
            |(result, server_name, capabilities)| {
                Answer::UserAuthorization(UserAuthorizationAnswer { result, server_name, capabilities })
            }
        ),
        (result_code(), option::of(text()), option::of(vector())).prop_map(
            |(result, private_identity, vector)| {
                Answer::MultimediaAuthentication(MultimediaAuthenticationAnswer {
                    result,
                    private_identity,
                    vector,
                })
            }
        ),
        (
            (result_code(), option::of(text()), option::of(vec(any::<u8>(), 0..300))),
            (option::of(charging()), vec(text(), 0..4), vec(restoration(), 0..3)),
        )
            .prop_map(
                |((result, private_identity, user_data), (charging, associated_identities, restoration))| {
                    Answer::ServerAssignment(ServerAssignmentAnswer {
                        result,
                        private_identity,
                        user_data: user_data.map(Bytes::from),
                        charging,
                        associated_identities,
                        restoration,
                    })
                }
            ),
        (result_code(), option::of(text()), option::of(capabilities())).prop_map(
            |(result, server_name, capabilities)| {
                Answer::LocationInformation(LocationInformationAnswer { result, server_name, capabilities })
            }
        ),
        (result_code(), vec(text(), 0..4)).prop_map(|(result, associated_identities)| {
            Answer::RegistrationTermination(RegistrationTerminationAnswer { result, associated_identities })
        }),
        result_code().prop_map(|result| Answer::PushProfile(PushProfileAnswer { result })),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (
        (text(), any::<u32>(), any::<u32>(), text(), text()),
        (option::of(text()), option::of(text()), any::<bool>(), vec(vec(any::<u8>(), 0..20), 0..3)),
    )
        .prop_map(
            |((session_id, hop_by_hop, end_to_end, origin_host, origin_realm), (host, realm, t, proxies))| {
                Envelope {
                    session_id,
                    hop_by_hop,
                    end_to_end,
                    origin_host,
                    origin_realm,
                    destination_host: host,
                    destination_realm: realm,
                    is_retransmitted: t,
                    proxy_info: proxies.into_iter().map(Bytes::from).collect(),
                    repeated_identities: None,
                }
            },
        )
}

proptest! {
    #[test]
    fn a_request_means_the_same_on_the_other_side(request in request(), envelope in envelope()) {
        let message = Message::parse(request.encode(&envelope)).unwrap();
        prop_assert!(message.header.is_request && message.header.is_proxiable);
        let (mut read_envelope, read) = decode_request(&message).unwrap();
        read_envelope.repeated_identities = None;
        prop_assert_eq!(read, request);
        prop_assert_eq!(read_envelope, envelope);
    }

    #[test]
    fn an_answer_means_the_same_on_the_other_side(answer in answer(), envelope in envelope()) {
        let envelope = envelope.answer("hss.example", "example");
        let message = Message::parse(answer.encode(&envelope)).unwrap();
        let (mut read_envelope, read) = decode_answer(&message).unwrap();
        read_envelope.repeated_identities = None;
        prop_assert_eq!(read, answer);
        prop_assert_eq!(read_envelope, envelope);
    }

    #[test]
    fn a_damaged_message_is_read_or_refused_but_never_a_panic(
        request in request(),
        envelope in envelope(),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = request.encode(&envelope).to_vec();
        for (at, byte) in damage {
            let at = 4 + at.index(bytes.len() - 4);
            bytes[at] = byte;
        }
        let message = Message::parse(bytes.into()).unwrap();
        let _ = decode_answer(&message);
        if let Err(error) = decode_request(&message) {
            let answer = Message::parse(message.refusal(&error, "hss.example", "example")).unwrap();
            prop_assert!(answer.avps().all(|avp| avp.is_ok()));
        }
    }

    #[test]
    fn random_avps_are_read_or_refused_but_never_a_panic(
        command_code in 299u32..307,
        avps in vec((0u32..700, any::<bool>(), any::<bool>(), vec(any::<u8>(), 0..64)), 0..12),
    ) {
        let header = Envelope::default().header(command_code, true, false);
        let mut builder = MessageBuilder::new(header);
        for (code, is_3gpp, is_mandatory, data) in avps {
            let vendor = if is_3gpp { VENDOR_3GPP } else { 0 };
            builder.avps().octets(Attribute { code, vendor, is_mandatory }, &data);
        }
        let message = Message::parse(builder.finish()).unwrap();
        let _ = decode_request(&message);
        let _ = decode_answer(&message);
    }
}

/// A request as Kamailio's cdp and ims_* modules build it: Session-Id and origin without the M bit, the rest in their
/// own order.
fn kamailio(command_code: u32, fill: impl FnOnce(&mut AvpBuilder)) -> Message {
    let unmarked = |attribute: Attribute| Attribute { is_mandatory: false, ..attribute };
    let mut builder = MessageBuilder::new(Envelope::default().header(command_code, true, false));
    let avps = builder.avps();
    avps.text(unmarked(avp::SESSION_ID), "scscf.example;3456;7");
    avps.text(unmarked(avp::ORIGIN_HOST), "scscf.example");
    avps.text(unmarked(avp::ORIGIN_REALM), "example");
    avps.text(avp::DESTINATION_REALM, "example");
    encode::application(avps);
    avps.unsigned32(avp::AUTH_SESSION_STATE, 1);
    fill(avps);
    Message::parse(builder.finish()).unwrap()
}

#[test]
fn kamailios_mar_is_understood_with_etsis_avps_inside() {
    let etsi = |code| Attribute { code, vendor: 13019, is_mandatory: true };
    let message = kamailio(command::MULTIMEDIA_AUTHENTICATION, |avps| {
        avps.text(avp::PUBLIC_IDENTITY, "sip:alice@example");
        avps.text(avp::USER_NAME, "alice@example");
        avps.unsigned32(avp::SIP_NUMBER_AUTH_ITEMS, 1);
        avps.group(avp::SIP_AUTH_DATA_ITEM, |avps| {
            avps.text(avp::SIP_AUTHENTICATION_SCHEME, "Unknown");
            avps.group(etsi(502), |avps| avps.text(etsi(503), "alice@example"));
        });
        avps.text(avp::SERVER_NAME, "sip:scscf.example:6060");
    });
    let (envelope, request) = decode_request(&message).unwrap();
    let Request::MultimediaAuthentication(request) = request else { panic!("a MAR was read as {request:?}") };
    assert_eq!(
        request.authentication,
        AuthenticationRequest { scheme: "Unknown".into(), resynchronisation: None }
    );
    assert_eq!(request.server_name, "sip:scscf.example:6060");
    assert_eq!(envelope.repeated_identities, Some(("alice@example".into(), "sip:alice@example".into())));
}

#[test]
fn kamailios_resynchronisation_carries_rand_and_auts() {
    let message = kamailio(command::MULTIMEDIA_AUTHENTICATION, |avps| {
        avps.text(avp::PUBLIC_IDENTITY, "sip:alice@example");
        avps.text(avp::USER_NAME, "alice@example");
        avps.group(avp::SIP_AUTH_DATA_ITEM, |avps| {
            avps.text(avp::SIP_AUTHENTICATION_SCHEME, "Digest-AKAv1-MD5");
            avps.octets(avp::SIP_AUTHORIZATION, &[7; 30]);
        });
        avps.text(avp::SERVER_NAME, "sip:scscf.example:6060");
    });
    let (_, request) = decode_request(&message).unwrap();
    let Request::MultimediaAuthentication(request) = request else { panic!("a MAR was read as {request:?}") };
    assert_eq!(request.authentication.resynchronisation, Some([7; 30]));
}

#[test]
fn kamailios_sar_is_understood_with_its_call_id() {
    let call_id = Attribute { code: 1, vendor: 50, is_mandatory: false };
    let message = kamailio(command::SERVER_ASSIGNMENT, |avps| {
        avps.text(call_id, "abc@192.0.2.1");
        avps.text(avp::PUBLIC_IDENTITY, "sip:alice@example");
        avps.text(avp::SERVER_NAME, "sip:scscf.example:6060");
        avps.unsigned32(avp::SERVER_ASSIGNMENT_TYPE, 3);
        avps.unsigned32(avp::USER_DATA_ALREADY_AVAILABLE, 0);
    });
    let (_, request) = decode_request(&message).unwrap();
    let Request::ServerAssignment(request) = request else { panic!("a SAR was read as {request:?}") };
    assert_eq!(request.private_identity, None);
    assert_eq!(request.assignment_type, ServerAssignmentType::UnregisteredUser);
}

#[test]
fn an_maa_repeats_the_identities_that_kamailio_asks_for() {
    let envelope = Envelope {
        repeated_identities: Some(("alice@example".into(), "sip:alice@example".into())),
        ..Envelope::default()
    };
    let result = ResultCode::USER_UNKNOWN;
    let answer = MultimediaAuthenticationAnswer { result, private_identity: None, vector: None };
    let message = Message::parse(Answer::MultimediaAuthentication(answer).encode(&envelope)).unwrap();
    assert_eq!(message.find(avp::USER_NAME).unwrap().data, b"alice@example");
    assert_eq!(message.find(avp::PUBLIC_IDENTITY).unwrap().data, b"sip:alice@example");
}

#[test]
fn the_session_id_comes_first_and_is_marked() {
    let request = Request::LocationInformation(LocationInformationRequest::default());
    let message = Message::parse(request.encode(&Envelope::default())).unwrap();
    let first: Avp = message.avps().next().unwrap().unwrap();
    assert!(first.is(avp::SESSION_ID) && first.is_mandatory);
}

fn refusal(command_code: u32, fill: impl FnOnce(&mut AvpBuilder)) -> (u32, Option<(u32, u32)>) {
    let error = decode_request(&kamailio(command_code, fill)).unwrap_err();
    (error.result_code, error.attribute)
}

#[test]
fn what_is_wrong_with_a_request_is_answered_with_its_own_code_and_avp() {
    let user_name = |avps: &mut AvpBuilder| avps.text(avp::USER_NAME, "alice@example");
    let uar = command::USER_AUTHORIZATION;
    assert_eq!(refusal(uar, user_name), (result::MISSING_AVP, Some((601, VENDOR_3GPP))));
    let twice = |avps: &mut AvpBuilder| (user_name(avps), user_name(avps)).0;
    assert_eq!(refusal(uar, twice), (result::AVP_OCCURS_TOO_MANY_TIMES, Some((1, 0))));
    let unknown = Attribute { code: 4711, vendor: VENDOR_3GPP, is_mandatory: true };
    let mandatory = |avps: &mut AvpBuilder| avps.text(unknown, "?");
    assert_eq!(refusal(uar, mandatory), (result::AVP_UNSUPPORTED, Some((4711, VENDOR_3GPP))));
    let no_text = |avps: &mut AvpBuilder| avps.octets(avp::PUBLIC_IDENTITY, &[0xff]);
    assert_eq!(refusal(uar, no_text), (result::INVALID_AVP_VALUE, Some((601, VENDOR_3GPP))));
    let no_number = |avps: &mut AvpBuilder| avps.octets(avp::USER_DATA_ALREADY_AVAILABLE, &[0; 3]);
    let sar = command::SERVER_ASSIGNMENT;
    assert_eq!(refusal(sar, no_number), (result::INVALID_AVP_LENGTH, Some((624, VENDOR_3GPP))));
    assert_eq!(refusal(sar, |_| {}), (result::MISSING_AVP, Some((601, VENDOR_3GPP))));
    assert_eq!(refusal(306, |_| {}), (result::COMMAND_UNSUPPORTED, None));
}

#[test]
fn an_unknown_avp_without_the_m_bit_changes_nothing() {
    let unknown = Attribute { code: 4711, vendor: 99, is_mandatory: false };
    let message = kamailio(command::LOCATION_INFORMATION, |avps| {
        avps.text(unknown, "?");
        avps.text(avp::PUBLIC_IDENTITY, "sip:bob@example");
    });
    let (_, request) = decode_request(&message).unwrap();
    let expected =
        LocationInformationRequest { public_identity: "sip:bob@example".into(), ..Default::default() };
    assert_eq!(request, Request::LocationInformation(expected));
}

#[test]
fn a_relays_protocol_error_is_an_answer() {
    let header = Envelope::default().header(command::USER_AUTHORIZATION, false, true);
    let mut builder = MessageBuilder::new(header);
    builder.avps().text(avp::ORIGIN_HOST, "relay.example");
    builder.avps().text(avp::ORIGIN_REALM, "example");
    builder.avps().unsigned32(avp::RESULT_CODE, 3002);
    let (_, answer) = decode_answer(&Message::parse(builder.finish()).unwrap()).unwrap();
    assert_eq!(answer.result(), ResultCode::UNABLE_TO_DELIVER);
}

#[test]
fn our_own_protocol_error_has_the_e_bit_and_other_errors_have_not() {
    let has_e_bit = |result| {
        let answer = Answer::PushProfile(PushProfileAnswer { result });
        Message::parse(answer.encode(&Envelope::default())).unwrap().header.is_error
    };
    assert!(has_e_bit(ResultCode::TOO_BUSY));
    assert!(!has_e_bit(ResultCode::UNABLE_TO_COMPLY));
    assert!(!has_e_bit(ResultCode::USER_UNKNOWN));
}

#[test]
fn results_are_printed_so_that_the_two_ranges_cannot_be_confused() {
    assert_eq!(ResultCode::SUCCESS.to_string(), "2001 SUCCESS");
    assert_eq!(ResultCode::FIRST_REGISTRATION.to_string(), "2001 FIRST_REGISTRATION");
    assert_eq!(ResultCode::MISSING_AVP.to_string(), "5005 MISSING_AVP");
}

/// Written down by hand from RFC 6733 §3, §4 and TS 29.229 §6.1.1.
#[test]
fn a_uar_is_these_bytes() {
    let envelope = Envelope {
        session_id: "i;1;2".to_owned(),
        hop_by_hop: 10,
        end_to_end: 11,
        origin_host: "i.example".to_owned(),
        origin_realm: "example".to_owned(),
        destination_host: None,
        destination_realm: Some("example".to_owned()),
        ..Envelope::default()
    };
    let request = Request::UserAuthorization(UserAuthorizationRequest {
        private_identity: "a@example".to_owned(),
        public_identity: "sip:a@example".to_owned(),
        visited_network: "example".to_owned(),
        authorization_type: UserAuthorizationType::DeRegistration,
    });
    let expected = [
        "010000d8 c000012c 01000000 0000000a 0000000b", // version, 216 bytes; R and P, 300; Cx; identifiers
        "00000107 4000000d 693b313b 32000000",          // Session-Id
        "00000104 40000020",                            // Vendor-Specific-Application-Id
        "0000010a 4000000c 000028af",                   //   Vendor-Id
        "00000102 4000000c 01000000",                   //   Auth-Application-Id
        "00000115 4000000c 00000001",                   // Auth-Session-State
        "00000108 40000011 692e6578 616d706c 65000000", // Origin-Host
        "00000128 4000000f 6578616d 706c6500",          // Origin-Realm
        "0000011b 4000000f 6578616d 706c6500",          // Destination-Realm
        "00000001 40000011 61406578 616d706c 65000000", // User-Name
        "00000259 c0000019 000028af 7369703a 61406578 616d706c 65000000", // Public-Identity
        "00000258 c0000013 000028af 6578616d 706c6500", // Visited-Network-Identifier
        "0000026f c0000010 000028af 00000001",          // User-Authorization-Type
    ];
    let expected = expected.concat().replace(' ', "");
    let written: String = request.encode(&envelope).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, expected);
}
