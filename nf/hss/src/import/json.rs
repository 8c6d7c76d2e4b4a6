//! A walk through JSON, value by value with line numbers, for exports that are larger than one wants to hold at once.

use serde_json::Value;

use super::ImportError;

/// A position in a text of JSON values.
pub(super) struct Walk<'a> {
    text: &'a str,
    position: usize,
    line: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Walk { text, position: 0, line: 1 }
    }

    /// The next byte that is no blank, and the line it is in. It stays.
    pub(super) fn peek(&mut self) -> (Option<u8>, usize) {
        let rest = &self.text.as_bytes()[self.position..];
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.advance(blanks);
        (self.text.as_bytes().get(self.position).copied(), self.line)
    }

    /// Takes `byte` if it is next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek().0 == Some(byte);
        if is_next {
            self.advance(1);
        }
        is_next
    }

    /// The next whole value.
    pub(super) fn value(&mut self) -> Result<(usize, Value), ImportError> {
        let (_, line) = self.peek();
        let mut values = serde_json::Deserializer::from_str(&self.text[self.position..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                self.advance(values.byte_offset());
                Ok((line, value))
            }
            Some(Err(error)) => {
                let reason = format!("this is no JSON: {}", without_position(&error.to_string()));
                Err(ImportError::new(line + error.line().max(1) - 1, "", reason).of_file())
            }
            None => Err(ImportError::new(line, "", "the file ends where a value is needed").of_file()),
        }
    }

    fn advance(&mut self, by: usize) {
        let passed = &self.text.as_bytes()[self.position..self.position + by];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.position += by;
    }
}

/// Its own line numbers count from the value, not from the file.
fn without_position(message: &str) -> &str {
    message.split(" at line ").next().unwrap_or(message)
}

/// The elements of an array, or of values that stand one after the other. Ends after the first error: what follows
/// cannot be told apart.
pub(super) fn elements(text: &str) -> impl Iterator<Item = Result<(usize, Value), ImportError>> + '_ {
    let mut walk = Walk::new(text);
    let is_array = walk.take(b'[');
    let mut is_ended = false;
    std::iter::from_fn(move || {
        if is_ended {
            return None;
        }
        walk.take(b',');
        let (next, line) = walk.peek();
        let element = match next {
            Some(b']') if is_array => None,
            None if is_array => {
                Some(Err(ImportError::new(line, "", "the file ends in the middle of its list").of_file()))
            }
            None => None,
            Some(_) => Some(walk.value()),
        };
        is_ended = !matches!(element, Some(Ok(_)));
        element
    })
}

/// A text, number or MongoDB number (`{"$numberLong": "97"}`) as text; empty and null are not given.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(fields) => {
            ["$numberLong", "$numberInt", "$numberDouble"].iter().find_map(|name| scalar(fields.get(*name)?))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) => None,
    }
}
