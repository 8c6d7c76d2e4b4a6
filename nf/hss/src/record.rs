//! What the HSS knows: subscribers, their registrations, their restoration data; and the bytes these are stored as.
//!
//! Each record starts with a format byte. A change of format is a migration in [`crate::schema`], never a guess here.

use std::collections::BTreeMap;

use diameter::cx;

use crate::codec::{Reader, Unreadable, Writer};

/// The format byte of all records of schema version 1.
const FORMAT: u8 = 1;

/// A subscriber as stored. Credentials stay sealed in here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscriber {
    /// In the order provisioned: the first one of a set that is not barred is its default identity.
    pub(crate) public_identities: Vec<PublicIdentity>,
    /// [`Aka`], sealed.
    pub(crate) aka: Option<Vec<u8>>,
    /// [`Digest`], sealed.
    pub(crate) digest: Option<Vec<u8>>,
    /// Are there services for an unregistered identity (TS 29.228 §6.1.4)?
    pub(crate) has_unregistered_services: bool,
    /// Server-Capabilities an S-CSCF must have.
    pub(crate) mandatory_capabilities: Vec<u32>,
    /// Server-Capabilities an S-CSCF had better have.
    pub(crate) optional_capabilities: Vec<u32>,
}

/// A public identity of a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicIdentity {
    /// Canonical: see [`crate::identity::canonical`].
    pub(crate) uri: String,
    /// May it be used for registration only?
    pub(crate) is_barred: bool,
    /// Identities of one number register together (TS 23.228 §5.2.1a).
    pub(crate) implicit_set: u8,
}

impl Subscriber {
    pub(crate) fn find(&self, uri: &str) -> Option<&PublicIdentity> {
        self.public_identities.iter().find(|identity| identity.uri == uri)
    }

    pub(crate) fn set(&self, number: u8) -> impl Iterator<Item = &PublicIdentity> {
        self.public_identities.iter().filter(move |identity| identity.implicit_set == number)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let number = |writer: &mut Writer, value: &u32| {
            writer.number(u64::from(*value));
        };
        Writer::default()
            .byte(FORMAT)
            .list(self.public_identities.iter(), |writer, identity| {
                writer.text(&identity.uri).byte(identity.is_barred.into()).byte(identity.implicit_set);
            })
            .option(self.aka.as_ref(), |writer, sealed| {
                writer.bytes(sealed);
            })
            .option(self.digest.as_ref(), |writer, sealed| {
                writer.bytes(sealed);
            })
            .byte(self.has_unregistered_services.into())
            .list(self.mandatory_capabilities.iter(), number)
            .list(self.optional_capabilities.iter(), number)
            .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Subscriber, Unreadable> {
        let mut reader = versioned(bytes)?;
        let number = |reader: &mut Reader<'_>| {
            reader.number().and_then(|value| u32::try_from(value).map_err(|_| Unreadable))
        };
        let subscriber = Subscriber {
            public_identities: reader.list(|reader| {
                Ok(PublicIdentity {
                    uri: reader.text()?,
                    is_barred: reader.byte()? != 0,
                    implicit_set: reader.byte()?,
                })
            })?,
            aka: reader.option(|reader| reader.bytes().map(<[u8]>::to_vec))?,
            digest: reader.option(|reader| reader.bytes().map(<[u8]>::to_vec))?,
            has_unregistered_services: reader.byte()? != 0,
            mandatory_capabilities: reader.list(number)?,
            optional_capabilities: reader.list(number)?,
        };
        reader.finish()?;
        Ok(subscriber)
    }
}

/// An AKA credential in the clear. No `Debug`: it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Aka {
    pub(crate) k: [u8; 16],
    pub(crate) opc: [u8; 16],
    pub(crate) amf: [u8; 2],
    /// OP, where that was given: an OPc entered as OP can be recognised only when it is kept.
    pub(crate) op: Option<[u8; 16]>,
}

impl Aka {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.k[..], &self.opc, &self.amf, self.op.as_ref().map_or(&[][..], |op| op)].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Aka, Unreadable> {
        let (k, rest) = bytes.split_first_chunk().ok_or(Unreadable)?;
        let (opc, rest) = rest.split_first_chunk().ok_or(Unreadable)?;
        let (amf, rest) = rest.split_first_chunk().ok_or(Unreadable)?;
        let op = match rest {
            [] => None,
            op => Some(op.try_into().map_err(|_| Unreadable)?),
        };
        Ok(Aka { k: *k, opc: *opc, amf: *amf, op })
    }
}

/// A digest credential in the clear. No `Debug`: it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) realm: String,
    pub(crate) ha1_md5: Option<[u8; 16]>,
    pub(crate) ha1_sha256: Option<[u8; 32]>,
    /// Hand out SHA-256 (RFC 8760) although MD5 is there too.
    pub(crate) prefers_sha256: bool,
}

impl Digest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default()
            .text(&self.realm)
            .option(self.ha1_md5, |writer, hash| {
                writer.bytes(&hash);
            })
            .option(self.ha1_sha256, |writer, hash| {
                writer.bytes(&hash);
            })
            .byte(self.prefers_sha256.into())
            .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Digest, Unreadable> {
        let mut reader = Reader::new(bytes);
        let digest = Digest {
            realm: reader.text()?,
            ha1_md5: reader.option(Reader::array)?,
            ha1_sha256: reader.option(Reader::array)?,
            prefers_sha256: reader.byte()? != 0,
        };
        reader.finish()?;
        Ok(digest)
    }
}

/// The state of an implicit registration set; not registered is the absence of a state (TS 29.228 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A device has registered it.
    Registered,
    /// No device has, but an S-CSCF serves it.
    Unregistered,
}

/// Which S-CSCF serves a subscriber, and what it knows of each implicit set. Kept by set, so that the identities of
/// one set cannot differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registration {
    /// The S-CSCF assigned. Present while any set has a state.
    pub(crate) server_name: Option<String>,
    /// The S-CSCF that asked for vectors and is not `server_name`: authentication is pending there (TS 29.228 §6.3.1).
    pub(crate) pending_server: Option<String>,
    /// S-CSCF reassignment pending (TS 29.228 §6.1.1.1): an I-CSCF found the assigned one dead and asked for
    /// capabilities; whoever sends SAR next takes over.
    pub(crate) is_reassignment_pending: bool,
    /// By number of the implicit set.
    pub(crate) states: BTreeMap<u8, State>,
}

impl Registration {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Registration::default()
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.states.values().any(|state| *state == State::Registered)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default()
            .byte(FORMAT)
            .option(self.server_name.as_ref(), |writer, name| {
                writer.text(name);
            })
            .option(self.pending_server.as_ref(), |writer, name| {
                writer.text(name);
            })
            .byte(self.is_reassignment_pending.into())
            .list(self.states.iter(), |writer, (set, state)| {
                writer.byte(*set).byte(match state {
                    State::Registered => 1,
                    State::Unregistered => 2,
                });
            })
            .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Registration, Unreadable> {
        let mut reader = versioned(bytes)?;
        let registration = Registration {
            server_name: reader.option(Reader::text)?,
            pending_server: reader.option(Reader::text)?,
            is_reassignment_pending: reader.byte()? != 0,
            states: reader
                .list(|reader| {
                    let set = reader.byte()?;
                    match reader.byte()? {
                        1 => Ok((set, State::Registered)),
                        2 => Ok((set, State::Unregistered)),
                        _ => Err(Unreadable),
                    }
                })?
                .into_iter()
                .collect(),
        };
        reader.finish()?;
        Ok(registration)
    }
}

pub(crate) fn encode_restoration(restoration: &cx::ScscfRestorationInfo) -> Vec<u8> {
    Writer::default()
        .byte(FORMAT)
        .text(&restoration.private_identity)
        .list(restoration.contacts.iter(), |writer, contact| {
            writer.text(&contact.path).text(&contact.contact).option(
                contact.subscription.as_ref(),
                |writer, info| {
                    writer
                        .text(&info.call_id)
                        .text(&info.from)
                        .text(&info.to)
                        .text(&info.record_route)
                        .text(&info.contact);
                },
            );
        })
        .finish()
}

pub(crate) fn decode_restoration(bytes: &[u8]) -> Result<cx::ScscfRestorationInfo, Unreadable> {
    let mut reader = versioned(bytes)?;
    let restoration = cx::ScscfRestorationInfo {
        private_identity: reader.text()?,
        contacts: reader.list(|reader| {
            Ok(cx::RestorationInfo {
                path: reader.text()?,
                contact: reader.text()?,
                subscription: reader.option(|reader| {
                    Ok(cx::SubscriptionInfo {
                        call_id: reader.text()?,
                        from: reader.text()?,
                        to: reader.text()?,
                        record_route: reader.text()?,
                        contact: reader.text()?,
                    })
                })?,
            })
        })?,
    };
    reader.finish()?;
    Ok(restoration)
}

fn versioned(bytes: &[u8]) -> Result<Reader<'_>, Unreadable> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? == FORMAT { Ok(reader) } else { Err(Unreadable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_stored_and_cut_ones_are_refused() {
        let subscriber = Subscriber {
            public_identities: vec![
                PublicIdentity { uri: "sip:a@ims.example".into(), is_barred: true, implicit_set: 0 },
                PublicIdentity { uri: "tel:+49301".into(), is_barred: false, implicit_set: 3 },
            ],
            aka: Some(vec![1; 62]),
            digest: None,
            has_unregistered_services: true,
            mandatory_capabilities: vec![1, 70_000],
            optional_capabilities: vec![],
        };
        let bytes = subscriber.encode();
        assert_eq!(Subscriber::decode(&bytes), Ok(subscriber));
        for length in 0..bytes.len() {
            assert_eq!(Subscriber::decode(&bytes[..length]), Err(Unreadable), "{length} bytes");
        }
        let registration = Registration {
            server_name: Some("sip:scscf.ims.example".into()),
            pending_server: None,
            is_reassignment_pending: true,
            states: [(0, State::Registered), (3, State::Unregistered)].into(),
        };
        assert_eq!(Registration::decode(&registration.encode()), Ok(registration));
        let restoration = cx::ScscfRestorationInfo {
            private_identity: "a@ims.example".into(),
            contacts: vec![cx::RestorationInfo {
                path: "<sip:term@p;lr>".into(),
                contact: "<sip:a@192.0.2.1>;expires=60".into(),
                subscription: Some(cx::SubscriptionInfo { call_id: "c".into(), ..Default::default() }),
            }],
        };
        assert_eq!(decode_restoration(&encode_restoration(&restoration)), Ok(restoration));
    }
}
