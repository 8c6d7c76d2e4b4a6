//! Attribute-value pairs (RFC 6733 §4): read without copying, written into one buffer.
//!
//! Reading is strict about lengths and padding, because everything after a wrong length is noise; it is deaf to flags
//! but M and V. What an AVP means is not known here: see [`crate::dictionary`] and [`crate::cx`].

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};

use crate::codec::{DecodeError, result};
use crate::dictionary::Attribute;

const FLAG_VENDOR: u8 = 0x80;
const FLAG_MANDATORY: u8 = 0x40;

/// Address families of the Address format (RFC 6733 §4.3.1).
const FAMILY_IPV4: [u8; 2] = [0, 1];
const FAMILY_IPV6: [u8; 2] = [0, 2];

/// One AVP, as it lies in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avp<'a> {
    /// Its code.
    pub code: u32,
    /// Its vendor; 0 when it has none.
    pub vendor: u32,
    /// The M bit.
    pub is_mandatory: bool,
    /// Its data, without padding.
    pub data: &'a [u8],
}

impl<'a> Avp<'a> {
    /// Is it this attribute?
    pub fn is(&self, attribute: Attribute) -> bool {
        (self.code, self.vendor) == (attribute.code, attribute.vendor)
    }

    /// The value of an Unsigned32 or Enumerated.
    ///
    /// Errors: 5014 when it is not four bytes long.
    pub fn unsigned32(&self) -> Result<u32, DecodeError> {
        match <[u8; 4]>::try_from(self.data) {
            Ok(bytes) => Ok(u32::from_be_bytes(bytes)),
            Err(_) => Err(self.refuse(result::INVALID_AVP_LENGTH, "an integer that is not four bytes long")),
        }
    }

    /// The value of an UTF8String, DiameterIdentity or DiameterURI.
    ///
    /// Errors: 5004 when it is no UTF-8.
    pub fn text(&self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.data)
            .map_err(|_| self.refuse(result::INVALID_AVP_VALUE, "text that is not UTF-8"))
    }

    /// An OctetString of known length.
    ///
    /// Errors: 5014 when it has another length.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], DecodeError> {
        <[u8; N]>::try_from(self.data)
            .map_err(|_| self.refuse(result::INVALID_AVP_LENGTH, "an octet string of the wrong length"))
    }

    /// The value of an Address.
    ///
    /// Errors: 5004 when it is neither IPv4 nor IPv6.
    pub fn address(&self) -> Result<IpAddr, DecodeError> {
        if let Some((family, octets)) = self.data.split_first_chunk::<2>() {
            if let (FAMILY_IPV4, Ok(octets)) = (*family, <[u8; 4]>::try_from(octets)) {
                return Ok(IpAddr::from(octets));
            }
            if let (FAMILY_IPV6, Ok(octets)) = (*family, <[u8; 16]>::try_from(octets)) {
                return Ok(IpAddr::from(octets));
            }
        }
        Err(self.refuse(result::INVALID_AVP_VALUE, "an address of no known family"))
    }

    /// The members of a Grouped AVP.
    pub fn members(&self) -> Avps<'a> {
        Avps::new(self.data)
    }

    /// The refusal of a message because of this AVP, which comes back in Failed-AVP.
    pub fn refuse(&self, result_code: u32, reason: &'static str) -> DecodeError {
        let mut builder = AvpBuilder::default();
        // RFC 6733 §7.5 wants the AVP as it was; a long one adds nothing but bytes, its beginning is enough to name it.
        let shown = &self.data[..self.data.len().min(FAILED_AVP_DATA_MAX)];
        let attribute = Attribute { code: self.code, vendor: self.vendor, is_mandatory: self.is_mandatory };
        builder.octets(attribute, shown);
        DecodeError {
            result_code,
            reason,
            attribute: Some((self.code, self.vendor)),
            failed_avp: builder.finish(),
        }
    }
}

/// How much of an AVP's data is sent back in Failed-AVP.
const FAILED_AVP_DATA_MAX: usize = 128;

/// The AVPs of a message or of a group, in their order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Avps<'a> {
    rest: &'a [u8],
}

impl<'a> Avps<'a> {
    /// Reads `bytes`, a sequence of whole, padded AVPs.
    pub fn new(bytes: &'a [u8]) -> Self {
        Avps { rest: bytes }
    }

    fn read(&mut self) -> Result<Avp<'a>, DecodeError> {
        let truncated = || DecodeError::plain(result::INVALID_AVP_LENGTH, "an AVP header that is cut off");
        let (&[c0, c1, c2, c3, flags, l0, l1, l2], after_header) =
            self.rest.split_first_chunk::<8>().ok_or_else(truncated)?;
        let code = u32::from_be_bytes([c0, c1, c2, c3]);
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let (vendor, header_length, body) = if flags & FLAG_VENDOR != 0 {
            let (vendor, body) = after_header.split_first_chunk::<4>().ok_or_else(truncated)?;
            (u32::from_be_bytes(*vendor), 12, body)
        } else {
            (0, 8, after_header)
        };
        let avp = |data| Avp { code, vendor, is_mandatory: flags & FLAG_MANDATORY != 0, data };
        let data_length = length
            .checked_sub(header_length)
            .ok_or_else(|| avp(&[]).refuse(result::INVALID_AVP_LENGTH, "an AVP shorter than its header"))?;
        let padded_length = data_length.next_multiple_of(4);
        if padded_length > body.len() {
            return Err(avp(&[]).refuse(result::INVALID_AVP_LENGTH, "an AVP longer than what contains it"));
        }
        self.rest = &body[padded_length..];
        Ok(avp(&body[..data_length]))
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Result<Avp<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

/// Writes AVPs one after the other, padded.
#[derive(Debug, Default)]
pub struct AvpBuilder {
    buffer: BytesMut,
}

impl AvpBuilder {
    /// Goes on writing at the end of `buffer`.
    pub fn after(buffer: BytesMut) -> Self {
        AvpBuilder { buffer }
    }

    /// An OctetString.
    pub fn octets(&mut self, attribute: Attribute, data: &[u8]) {
        let start = self.open(attribute);
        self.buffer.put_slice(data);
        self.close(start);
    }

    /// An UTF8String, DiameterIdentity or DiameterURI.
    pub fn text(&mut self, attribute: Attribute, text: &str) {
        self.octets(attribute, text.as_bytes());
    }

    /// A text, if there is one.
    pub fn text_if_some(&mut self, attribute: Attribute, text: Option<&str>) {
        if let Some(text) = text {
            self.text(attribute, text);
        }
    }

    /// An Unsigned32 or Enumerated.
    pub fn unsigned32(&mut self, attribute: Attribute, value: u32) {
        self.octets(attribute, &value.to_be_bytes());
    }

    /// An Address.
    pub fn address(&mut self, attribute: Attribute, address: IpAddr) {
        let start = self.open(attribute);
        match address {
            IpAddr::V4(address) => {
                self.buffer.put_slice(&FAMILY_IPV4);
                self.buffer.put_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                self.buffer.put_slice(&FAMILY_IPV6);
                self.buffer.put_slice(&address.octets());
            }
        }
        self.close(start);
    }

    /// A Grouped AVP, whose members `fill` writes.
    pub fn group(&mut self, attribute: Attribute, fill: impl FnOnce(&mut AvpBuilder)) {
        let start = self.open(attribute);
        fill(self);
        self.close(start);
    }

    /// AVPs that are already in wire form.
    pub fn raw(&mut self, avps: &[u8]) {
        debug_assert!(avps.len().is_multiple_of(4), "whole AVPs are padded");
        self.buffer.put_slice(avps);
    }

    /// What was written.
    pub fn finish(self) -> BytesMut {
        self.buffer
    }

    fn open(&mut self, attribute: Attribute) -> usize {
        let start = self.buffer.len();
        let mandatory = if attribute.is_mandatory { FLAG_MANDATORY } else { 0 };
        self.buffer.put_u32(attribute.code);
        if attribute.vendor == 0 {
            self.buffer.put_u32(u32::from(mandatory) << 24);
        } else {
            self.buffer.put_u32(u32::from(mandatory | FLAG_VENDOR) << 24);
            self.buffer.put_u32(attribute.vendor);
        }
        start
    }

    /// Writes the length that [`AvpBuilder::open`] left out, and the padding.
    fn close(&mut self, start: usize) {
        let length = self.buffer.len() - start;
        // 24 bits are enough: what we send is bounded far below 16 MiB by what we took in.
        let [_, l0, l1, l2] = (length as u32).to_be_bytes();
        self.buffer[start + 5..start + 8].copy_from_slice(&[l0, l1, l2]);
        self.buffer.put_bytes(0, length.next_multiple_of(4) - length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary;

    fn written(fill: impl FnOnce(&mut AvpBuilder)) -> BytesMut {
        let mut builder = AvpBuilder::default();
        fill(&mut builder);
        builder.finish()
    }

    #[test]
    fn padding_follows_the_data_and_is_not_part_of_it() {
        let bytes = written(|avps| {
            avps.text(dictionary::ORIGIN_HOST, "abcde");
            avps.unsigned32(dictionary::RESULT_CODE, 2001);
        });
        assert_eq!(bytes.len(), 16 + 12);
        let avps: Vec<_> = Avps::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(avps[0].text().unwrap(), "abcde");
        assert_eq!(avps[1].unsigned32().unwrap(), 2001);
    }

    #[test]
    fn a_vendor_avp_has_the_v_bit_and_its_vendor() {
        let bytes = written(|avps| avps.text(dictionary::PUBLIC_IDENTITY, "sip:a@b.c"));
        assert_eq!(&bytes[..12], [0, 0, 2, 89, 0xc0, 0, 0, 21, 0, 0, 0x28, 0xaf]);
        assert!(Avps::new(&bytes).next().unwrap().unwrap().is(dictionary::PUBLIC_IDENTITY));
    }

    #[test]
    fn a_group_is_read_like_a_message() {
        let bytes = written(|avps| {
            avps.group(dictionary::EXPERIMENTAL_RESULT, |avps| {
                avps.unsigned32(dictionary::VENDOR_ID, 10415);
                avps.unsigned32(dictionary::EXPERIMENTAL_RESULT_CODE, 5001);
            });
        });
        let group = Avps::new(&bytes).next().unwrap().unwrap();
        let codes: Vec<_> = group.members().map(|avp| avp.unwrap().unsigned32().unwrap()).collect();
        assert_eq!(codes, [10415, 5001]);
    }

    #[test]
    fn addresses_of_both_families_survive() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            let bytes = written(|avps| avps.address(dictionary::HOST_IP_ADDRESS, address));
            assert_eq!(Avps::new(&bytes).next().unwrap().unwrap().address().unwrap(), address);
        }
    }

    #[test]
    fn a_length_that_lies_ends_the_reading_with_5014() {
        let good = written(|avps| avps.text(dictionary::ORIGIN_HOST, "abcd"));
        let check = |bytes: &[u8]| {
            let mut avps = Avps::new(bytes);
            assert_eq!(avps.next().unwrap().unwrap_err().result_code, result::INVALID_AVP_LENGTH);
            assert!(avps.next().is_none());
        };
        let mut too_short = good.clone();
        too_short[7] = 7;
        check(&too_short);
        let mut too_long = good.clone();
        too_long[7] = 13;
        check(&too_long);
        check(&good[..7]);
        let unpadded = written(|avps| avps.text(dictionary::ORIGIN_HOST, "abc"));
        check(&unpadded[..11]);
        let mut vendor_cut_off = good.clone();
        vendor_cut_off[4] |= FLAG_VENDOR;
        check(&vendor_cut_off[..8]);
    }
}
