//! The texts a device sends, written out plainly: what stands here is what is on the wire.

use std::fmt::Write as _;

use crate::Profile;

/// A request under construction.
pub(crate) struct RequestText {
    text: String,
}

impl RequestText {
    /// Start line, Via, Max-Forwards and the dialog fields.
    pub fn new(profile: &Profile, method: &str, uri: &str, branch: &str) -> RequestText {
        let transport = if profile.is_reliable { "TCP" } else { "UDP" };
        let mut text = String::with_capacity(1200);
        let address = profile.address;
        let _ = write!(
            text,
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {address};branch={branch};rport\r\nMax-Forwards: 70\r\n"
        );
        RequestText { text }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let _ = write!(self.text, "{name}: {value}\r\n");
        self
    }

    /// Adds a header field for each value.
    pub fn headers<'a>(mut self, name: &str, values: impl IntoIterator<Item = &'a String>) -> Self {
        for value in values {
            let _ = write!(self.text, "{name}: {value}\r\n");
        }
        self
    }

    /// Ends the message with a body; no type for none.
    pub fn finish(mut self, content_type: Option<&str>, body: &str) -> bytes::Bytes {
        if let Some(content_type) = content_type {
            let _ = write!(self.text, "Content-Type: {content_type}\r\n");
        }
        let _ = write!(self.text, "Content-Length: {}\r\n\r\n{body}", body.len());
        self.text.into()
    }
}

/// The Contact URI of a device.
pub(crate) fn contact_uri(profile: &Profile) -> String {
    let user = profile.private_identity.split('@').next().unwrap_or("ue");
    let transport = if profile.is_reliable { ";transport=tcp" } else { "" };
    format!("sip:{user}@{}{transport}", profile.address)
}

/// A session description with one audio stream (RFC 4566).
pub(crate) fn session_description(profile: &Profile, version: u32) -> String {
    let ip = profile.address.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- 1 {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 49170 RTP/AVP 97 0\r\n\
         b=AS:25.4\r\na=rtpmap:97 AMR/8000/1\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
    )
}
