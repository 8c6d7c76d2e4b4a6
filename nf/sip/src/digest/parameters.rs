//! The list `Digest name=value, name="value", …`: reading it without copying, changing one parameter of it.

use super::DigestError;

/// The scheme all of this is about.
const SCHEME: &str = "Digest";

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    /// The name as written; compare without case.
    pub name: &'a str,
    /// The value without its quotes. What is escaped in it stays escaped: the hashes are made of what was written.
    pub value: &'a str,
    /// Where `name=value` lies in the text.
    start: usize,
    end: usize,
}

/// The text behind the scheme.
pub(super) fn without_scheme(text: &str) -> Result<&str, DigestError> {
    let text = text.trim_matches(is_space);
    match text.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) && rest.starts_with(is_space) => Ok(rest),
        _ => Err(DigestError::NotDigest),
    }
}

/// The parameters in order; after an error comes nothing more.
pub(super) fn parameters(text: &str) -> impl Iterator<Item = Result<Parameter<'_>, DigestError>> {
    let mut position = Some(0);
    std::iter::from_fn(move || {
        let start = position.take()?;
        // RFC 3261 §25.1 and RFC 9110 §5.6.1: empty list elements are ignored.
        let start = start + leading(&text[start..], |c| is_space(c) || c == ',');
        if start == text.len() {
            return None;
        }
        Some(parameter(text, start).inspect(|parameter| position = Some(parameter.end)))
    })
}

fn parameter(text: &str, start: usize) -> Result<Parameter<'_>, DigestError> {
    let (name, _) = text[start..].split_once('=').ok_or(DigestError::Malformed)?;
    let after_equals = start + name.len() + 1;
    let name = name.trim_end_matches(is_space);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(DigestError::Malformed);
    }
    let value_start = after_equals + leading(&text[after_equals..], is_space);
    match text[value_start..].strip_prefix('"') {
        Some(quoted) => {
            let length = closing_quote(quoted).ok_or(DigestError::Malformed)?;
            let end = value_start + length + 2;
            let rest = text[end..].trim_start_matches(is_space);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(DigestError::Malformed);
            }
            Ok(Parameter { name, value: &quoted[..length], start, end })
        }
        None => {
            // Devices leave the quotes out around anything; only a comma or a quote cannot stand there then.
            let length = leading(&text[value_start..], |c| c != ',');
            let value = text[value_start..value_start + length].trim_end_matches(is_space);
            if value.contains('"') {
                return Err(DigestError::Malformed);
            }
            // Blanks before a value that is not there belong to nothing.
            let end = if value.is_empty() { after_equals } else { value_start + value.len() };
            Ok(Parameter { name, value, start, end })
        }
    }
}

/// Where the closing quote stands, when `text` begins behind the opening one.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    })
}

fn leading(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Blanks, and the line ends of a folded header field.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// RFC 3261 §25.1, token.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Puts `value` into the slot of a parameter; it must be empty.
pub(super) fn fill<'a>(
    slot: &mut Option<&'a str>,
    name: &'static str,
    value: &'a str,
) -> Result<(), DigestError> {
    match slot.replace(value) {
        Some(_) => Err(DigestError::Repeated(name)),
        None => Ok(()),
    }
}

/// Writes `, name="value"`, or without the comma when nothing stands before. A bare quote is escaped, what is escaped
/// already stays so, and control characters are left out: no value can end the header field.
pub(super) fn push_quoted(text: &mut String, name: &str, value: &str) {
    push_name(text, name);
    text.push('"');
    let mut is_escaped = false;
    for c in value.chars().filter(|c| !c.is_control()) {
        if c == '"' && !is_escaped {
            text.push('\\');
        }
        is_escaped = c == '\\' && !is_escaped;
        text.push(c);
    }
    if is_escaped {
        text.push('\\');
    }
    text.push('"');
}

/// Writes `, name=value`.
pub(super) fn push_token(text: &mut String, name: &str, value: &str) {
    push_name(text, name);
    text.push_str(value);
}

fn push_name(text: &mut String, name: &str) {
    if !text.is_empty() {
        text.push_str(if text == SCHEME { " " } else { ", " });
    }
    text.push_str(name);
    text.push('=');
}

/// A new list with nothing but its scheme.
pub(super) fn new_list() -> String {
    SCHEME.to_owned()
}

/// The value without these parameters; the others stay as they are written. A value that is not Digest or cannot be
/// read comes back unchanged.
///
/// The P-CSCF takes `ck` and `ik` out of a challenge so (TS 24.229 §5.2.2).
pub fn without_parameters(value: &str, names: &[&str]) -> String {
    let Ok(rest) = without_scheme(value) else { return value.to_owned() };
    let mut text = new_list();
    for parameter in parameters(rest) {
        let Ok(parameter) = parameter else { return value.to_owned() };
        if !names.iter().any(|name| parameter.name.eq_ignore_ascii_case(name)) {
            text.push_str(if text == SCHEME { " " } else { ", " });
            text.push_str(&rest[parameter.start..parameter.end]);
        }
    }
    text
}

/// The value with this parameter, quoted, at its end, in place of one that may have been there. A value that is not
/// Digest or cannot be read comes back unchanged.
///
/// The P-CSCF marks credentials with `integrity-protected` so (TS 24.229 §5.2.2).
pub fn with_parameter(value: &str, name: &str, parameter: &str) -> String {
    let mut text = without_parameters(value, &[name]);
    let is_readable =
        without_scheme(value).is_ok_and(|rest| parameters(rest).all(|parameter| parameter.is_ok()));
    if is_readable {
        push_quoted(&mut text, name, parameter);
    }
    text
}
