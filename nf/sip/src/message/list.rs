//! Where text is cut: at separators outside quoted strings and angle brackets; and what counts as blank around values.

/// `text` without linear whitespace at both ends.
pub(crate) fn trim(text: &str) -> &str {
    let text = trim_start(text);
    &text[..text.len() - text.bytes().rev().take_while(|octet| is_blank(*octet)).count()]
}

/// `text` without linear whitespace in front.
pub(crate) fn trim_start(text: &str) -> &str {
    &text[text.bytes().take_while(|octet| is_blank(*octet)).count()..]
}

/// Linear whitespace, the line ends of folded lines included (RFC 3261 §7.3.1: a fold reads as one space).
pub(crate) fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// The first `wanted` (an ASCII separator) outside quoted strings and angle brackets. What is opened and never closed
/// reaches to the end.
pub(crate) fn find_outside(text: &str, wanted: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr3(wanted, b'"', b'<', &bytes[at..])?;
        if bytes[at] == wanted {
            return Some(at);
        }
        at = match bytes[at] {
            b'"' => quoted_end(bytes, at)?,
            _ => at + memchr::memchr(b'>', &bytes[at..])? + 1,
        };
    }
}

/// The position behind the quoted string that starts at `from`; `None` when it never ends.
pub(crate) fn quoted_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2; // A quoted-pair: the octet after the backslash stands for itself.
    }
}

/// The comma-separated values of one line, each trimmed, empty ones included.
#[derive(Clone, Debug)]
pub(crate) struct List<'a> {
    rest: Option<&'a str>,
}

impl<'a> List<'a> {
    /// Cuts `text`.
    pub(crate) fn new(text: &'a str) -> List<'a> {
        List { rest: Some(text) }
    }

    /// What follows the values taken so far, trimmed.
    pub(crate) fn rest(&self) -> &'a str {
        trim(self.rest.unwrap_or(""))
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let (value, behind) = match find_outside(rest, b',') {
            Some(comma) => (&rest[..comma], Some(&rest[comma + 1..])),
            None => (rest, None),
        };
        self.rest = behind;
        Some(trim(value))
    }
}

/// The values of one line of a field: cut at commas when it is a list; none that are empty.
pub(super) fn values(line: &str, is_list: bool) -> impl Iterator<Item = &str> {
    let whole = (!is_list).then_some(line);
    let list = is_list.then(|| List::new(line));
    whole.into_iter().chain(list.into_iter().flatten()).filter(|value| !value.is_empty())
}

/// Is it a token (RFC 3261 §25.1)?
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_octet)
}

pub(crate) fn is_token_octet(octet: u8) -> bool {
    TOKEN[octet as usize]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 128 {
        let byte = octet as u8;
        table[octet] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        octet += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::{List, find_outside, values};

    #[test]
    fn commas_in_quotes_and_brackets_do_not_separate() {
        let cut: Vec<_> = List::new("\"A, \\\" B\" <sip:a,b@x>;q=1 ,\r\n <sip:c@x> , d").collect();
        assert_eq!(cut, ["\"A, \\\" B\" <sip:a,b@x>;q=1", "<sip:c@x>", "d"]);
    }

    #[test]
    fn what_is_never_closed_reaches_to_the_end() {
        for text in ["\"a, b", "<sip:a, b", "\"a\\", "\"a\\\""] {
            assert_eq!(List::new(text).collect::<Vec<_>>(), [text]);
        }
    }

    #[test]
    fn empty_values_are_seen_by_the_cutter_and_left_out_of_values() {
        assert_eq!(List::new("a,, b,").collect::<Vec<_>>(), ["a", "", "b", ""]);
        assert_eq!(values("a,, b,", true).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(values("a, b", false).collect::<Vec<_>>(), ["a, b"]);
        assert_eq!(values("", true).count(), 0);
    }

    #[test]
    fn the_first_separator_outside_is_found() {
        assert_eq!(find_outside("<a;b>;c", b';'), Some(5));
        assert_eq!(find_outside("\";\"", b';'), None);
        assert_eq!(find_outside(";", b';'), Some(0));
    }
}
