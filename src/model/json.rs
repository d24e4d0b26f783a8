//! JSON as Go's decoder takes it from the head of a text (`--set-json`): one value, then whatever follows.

use std::borrow::Cow;
use std::sync::Arc;

use super::entries::Entries;
use super::place::Origin;
use super::value::{Entry, Node, Table, Value};

/// Nesting that is read; deeper texts are an error. Go itself stops at 10,000.
const MAX_DEPTH: usize = 200;

/// Why a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct JsonError {
    /// In words.
    pub reason: &'static str,
    /// Byte offset.
    pub at: usize,
}

/// Reads one value from the head of `text` and tells where it ends. `origin` gives the origin of what stands at a range of bytes.
///
/// # Errors
/// When the text does not begin with a JSON value that Go's decoder accepts.
pub fn read_prefix(text: &str, origin: &dyn Fn(usize, usize) -> Origin) -> Result<(Node, usize), JsonError> {
    let mut reader = Reader { text, at: 0, origin };
    reader.blanks();
    let node = reader.value(0)?;
    Ok((node, reader.at))
}

/// Reads a whole text as one value.
///
/// # Errors
/// When it is not JSON, or something follows.
pub fn read(text: &str, origin: &dyn Fn(usize, usize) -> Origin) -> Result<Node, JsonError> {
    let (node, end) = read_prefix(text, origin)?;
    let rest = text.get(end..).unwrap_or_default();
    match rest.find(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')) {
        Some(more) => Err(JsonError { reason: "something follows the JSON value", at: end + more }),
        None => Ok(node),
    }
}

fn shared(text: &str) -> Arc<str> {
    text.into()
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    origin: &'t dyn Fn(usize, usize) -> Origin,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error<T>(&self, reason: &'static str) -> Result<T, JsonError> {
        Err(JsonError { reason, at: self.at })
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.error(reason)
    }

    fn value(&mut self, depth: usize) -> Result<Node, JsonError> {
        if depth > MAX_DEPTH {
            return self.error("the JSON value is nested too deeply");
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(shared(&self.string()?)),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return self.error("this does not begin a JSON value"),
            None => return self.error("the JSON value ends too early"),
        };
        Ok(Node { value, origin: (self.origin)(start, self.at) })
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(value);
        }
        self.error("this is no JSON literal")
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut table = Table { entries: Entries::new(), rest_unknown: None };
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Table(Arc::new(table)));
        }
        loop {
            self.blanks();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return self.error("a key in quotes is missing");
            }
            let key = self.string()?;
            let key_origin = (self.origin)(start, self.at);
            self.blanks();
            self.expect(b':', "`:` is missing after a key")?;
            self.blanks();
            let node = self.value(depth + 1)?;
            table.entries.insert(shared(&key), Entry { key: key_origin, node });
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Table(Arc::new(table)));
                }
                _ => return self.error("`,` or `}` is missing"),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(Arc::new(items)));
        }
        loop {
            self.blanks();
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(Arc::new(items)));
                }
                _ => return self.error("`,` or `]` is missing"),
            }
        }
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at > start
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else if !self.digits() {
            return self.error("a number has no digits");
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.digits() {
                return self.error("a number has no digits after its point");
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.digits() {
                return self.error("a number has no exponent");
            }
        }
        match self.text.get(start..self.at).and_then(|text| text.parse::<f64>().ok()) {
            Some(number) if number.is_finite() => Ok(Value::number(number)),
            _ => self.error("a number is out of range"),
        }
    }

    fn string(&mut self) -> Result<Cow<'t, str>, JsonError> {
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at;
            let rest = self.text.as_bytes().get(start..).unwrap_or_default();
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\') || *byte < b' ').unwrap_or(rest.len());
            let plain = self.text.get(start..self.at).unwrap_or_default();
            if text.is_empty() {
                text = Cow::Borrowed(plain);
            } else {
                text.to_mut().push_str(plain);
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.to_mut().push(self.escape()?);
                }
                Some(_) => return self.error("a control character stands in a text"),
                None => return self.error("a text does not end"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let escaped = self.peek();
        self.at += 1;
        Ok(match escaped {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.hex()?;
                char::from_u32(unit).or_else(|| self.surrogate(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return self.error("an escape is unknown"),
        })
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.error("`\\u` needs four hexadecimal digits"),
        }
    }

    /// The second half of a surrogate pair, if it follows; nothing is taken otherwise.
    fn surrogate(&mut self, high: u32) -> Option<char> {
        let before = self.at;
        if !(0xd800..0xdc00).contains(&high) || !self.text.get(self.at..)?.starts_with("\\u") {
            return None;
        }
        self.at += 2;
        match self.hex() {
            Ok(low @ 0xdc00..0xe000) => char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)),
            _ => {
                self.at = before;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> Result<(Value, usize), JsonError> {
        read_prefix(text, &|_, _| Origin::ChartDefault).map(|(node, end)| (node.value, end))
    }

    #[test]
    fn a_value_ends_where_go_ends_it() {
        assert_eq!(read_one("1abc").unwrap(), (Value::Int(1), 1));
        assert_eq!(read_one("true,b=2").unwrap(), (Value::Bool(true), 4));
        assert_eq!(read_one(" 1.5 ,").unwrap(), (Value::Float(1.5), 4));
        assert_eq!(read_one("012").unwrap(), (Value::Int(0), 1));
        for text in ["", "01x".get(3..).unwrap(), "[1,]", "{a:1}", "\"\n\"", "nul", "-", "1.", "1e400", "'a'"] {
            assert!(read_one(text).is_err(), "{text}");
        }
    }

    #[test]
    fn escapes_and_surrogates_are_decoded() {
        assert_eq!(read_one(r#""a\u00e9\ud83d\ude00\ud800x\/""#).unwrap().0.as_str(), Some("aé😀\u{fffd}x/"));
    }

    #[test]
    fn deep_nesting_is_an_error() {
        assert!(read_one(&"[".repeat(100_000)).is_err());
    }
}
