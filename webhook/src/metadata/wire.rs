//! Just enough of protobuf's wire format for etcd's messages and the migration tool's backup file.

/// A message that is being written. Fields with their default value are left out, as proto3 has it.
#[derive(Debug, Clone, Default)]
pub struct Message(Vec<u8>);

/// A value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'b> {
    /// An integer, a truth value, or a fixed-width number.
    Number(u64),
    /// Bytes, a text, or a message.
    Bytes(&'b [u8]),
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a protobuf message")]
pub struct Malformed;

impl Message {
    /// Adds bytes or a text.
    #[must_use]
    pub fn bytes(self, field: u32, value: &[u8]) -> Self {
        if value.is_empty() { self } else { self.delimited(field, value) }
    }

    /// Adds an integer.
    #[must_use]
    pub fn number(mut self, field: u32, value: i64) -> Self {
        if value != 0 {
            self.tag(field, 0);
            self.varint(value.cast_unsigned());
        }
        self
    }

    /// Adds a truth value.
    #[must_use]
    pub fn flag(self, field: u32, value: bool) -> Self {
        self.number(field, i64::from(value))
    }

    /// Adds a message, an empty one too.
    #[must_use]
    pub fn message(self, field: u32, value: &Self) -> Self {
        self.delimited(field, &value.0)
    }

    /// The bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn delimited(mut self, field: u32, value: &[u8]) -> Self {
        self.tag(field, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn tag(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The fields of a message, in the order in which they stand there.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    /// Of these bytes.
    #[must_use]
    pub const fn of(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u32, Value<'b>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Number(u64::from(u32::from_le_bytes(self.take(4)?.try_into().ok()?))),
            _ => return None,
        };
        Some((u32::try_from(tag >> 3).ok()?, value))
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u32, Value<'b>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_format_says() {
        // The example of the format's own documentation: field 1 is 150, field 2 is "testing".
        let message = Message::default().number(1, 150).bytes(2, b"testing").number(3, 0).flag(4, true).finish();
        assert_eq!(message, [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67, 0x20, 0x01]);
        let fields: Vec<_> = Fields::of(&message).map(Result::unwrap).collect();
        assert_eq!(fields, [(1, Value::Number(150)), (2, Value::Bytes(b"testing")), (4, Value::Number(1))]);
    }

    #[test]
    fn a_negative_number_takes_ten_bytes_and_comes_back() {
        let message = Message::default().number(1, -1).finish();
        assert_eq!((message.len(), Fields::of(&message).next()), (11, Some(Ok((1, Value::Number(u64::MAX))))));
    }

    #[test]
    fn a_message_that_ends_early_is_malformed_wherever_it_ends() {
        let message = Message::default().bytes(1, b"key").message(2, &Message::default().number(9, 300)).finish();
        for length in 1..message.len() {
            let cut = &message[..length];
            let is_whole_field = length == 5;
            assert_eq!(Fields::of(cut).all(|field| field.is_ok()), is_whole_field, "{cut:?}");
        }
        assert_eq!(Fields::of(&[0xff; 12]).next(), Some(Err(Malformed)));
        assert_eq!(Fields::of(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).next(), Some(Err(Malformed)));
    }
}
