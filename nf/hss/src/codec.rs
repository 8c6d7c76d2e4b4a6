//! The compact binary form of what lies in the store: variable-length numbers and length-prefixed bytes.
//!
//! It decides nothing about meaning. Reading never panics: a record that was cut or altered gives [`Unreadable`].
//! JSON was tried first; it took three times the space, and 10⁵ subscribers have a budget (512 B each).

/// A stored record that cannot be what we wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored record cannot be read")]
pub struct Unreadable;

/// Builds a record.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// LEB128: seven bits a byte, low bits first.
    pub(crate) fn number(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8)
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// A list: its length, then each element as `write` puts it.
    pub(crate) fn list<T>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Writer, T),
    ) -> &mut Self {
        self.number(values.len() as u64);
        for value in values {
            write(self, value);
        }
        self
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Writer, T)) -> &mut Self {
        match value {
            None => self.byte(0),
            Some(value) => {
                write(self.byte(1), value);
                self
            }
        }
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// Takes a record apart.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Self {
        Reader(record)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Unreadable> {
        let (&first, rest) = self.0.split_first().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(first)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unreadable)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = usize::try_from(self.number()?).map_err(|_| Unreadable)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.bytes()?.try_into().map_err(|_| Unreadable)
    }

    pub(crate) fn text(&mut self) -> Result<String, Unreadable> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Unreadable)
    }

    /// A list. Memory grows only with bytes that are there, whatever the length says.
    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, Unreadable> {
        let length = self.number()?;
        let mut values = Vec::new();
        for _ in 0..length {
            values.push(read(self)?);
        }
        Ok(values)
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Unreadable>,
    ) -> Result<Option<T>, Unreadable> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Unreadable),
        }
    }

    /// Everything must have been used: a longer record is not ours.
    pub(crate) fn finish(self) -> Result<(), Unreadable> {
        if self.0.is_empty() { Ok(()) } else { Err(Unreadable) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let bytes = Writer::default()
            .number(300)
            .text("a")
            .option(Some(7_u8), |writer, value| {
                writer.byte(value);
            })
            .list([1_u64, u64::MAX].into_iter(), |writer, value| {
                writer.number(value);
            })
            .finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.number(), Ok(300));
        assert_eq!(reader.text().as_deref(), Ok("a"));
        assert_eq!(reader.option(|r| r.byte()), Ok(Some(7)));
        assert_eq!(reader.list(|r| r.number()), Ok(vec![1, u64::MAX]));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_length_beyond_the_record_is_an_error_and_takes_no_memory() {
        let bytes = Writer::default().number(u64::MAX).finish();
        assert_eq!(Reader::new(&bytes).bytes(), Err(Unreadable));
        assert_eq!(Reader::new(&bytes).list(|r| r.byte()), Err(Unreadable));
    }
}
