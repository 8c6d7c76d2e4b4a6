//! Typed views of the header values the functions act upon. All borrow the text they were parsed from.

use std::net::IpAddr;

use crate::message::Method;
use crate::uri::{Host, Uri};

/// A parameter list (`;a=b;c`), as written, without the first `;`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a>(pub &'a str);

impl<'a> Parameters<'a> {
    /// The value of `name` (case-insensitive), unquoted when quoted; `Some("")` when it has none.
    pub fn value(&self, _name: &str) -> Option<&'a str> {
        todo!()
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        std::iter::empty()
    }
}

/// A name-addr or addr-spec with header parameters: From, To, Contact, Route, Path, P-Asserted-Identity …
#[derive(Clone, Copy, Debug)]
pub struct NameAddress<'a> {
    /// The display name, with quotes if it had them. Empty when absent.
    pub display_name: &'a str,
    /// The URI text, without brackets.
    pub uri_text: &'a str,
    /// The header parameters (outside the brackets).
    pub parameters: Parameters<'a>,
}

impl<'a> NameAddress<'a> {
    /// Parses one value. A Contact of `*` gives the URI text `*`.
    pub fn parse(_value: &'a str) -> Option<NameAddress<'a>> {
        todo!()
    }

    /// The parsed URI.
    pub fn uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri_text).ok()
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&'a str> {
        self.parameters.value("tag")
    }
}

/// One Via value (RFC 3261 §20.42, RFC 3581).
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The transport token as written (`UDP`, `TCP`, `TLS` …).
    pub transport: &'a str,
    /// Host of sent-by.
    pub host: Host<'a>,
    /// Port of sent-by.
    pub port: Option<u16>,
    /// Sent-by as written.
    pub sent_by: &'a str,
    /// The parameters.
    pub parameters: Parameters<'a>,
}

impl<'a> Via<'a> {
    /// Parses one value.
    pub fn parse(_value: &'a str) -> Option<Via<'a>> {
        todo!()
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&'a str> {
        self.parameters.value("branch")
    }

    /// The `received` parameter; brackets are accepted (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        todo!()
    }

    /// The value of `rport`: `Some(None)` when it is only a flag.
    pub fn rport(&self) -> Option<Option<u16>> {
        todo!()
    }
}

/// CSeq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Sequence number, below 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Parses the value.
    pub fn parse(_value: &'a str) -> Option<CSeq<'a>> {
        todo!()
    }
}
