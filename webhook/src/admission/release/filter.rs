//! The parts of a release's JSON that are read, taken out while it is inflated: templates, files and hooks are most of it and never in memory.

/// Parts of the release itself.
const OF_RELEASE: &[&[u8]] = &[b"name", b"namespace", b"version", b"info", b"chart", b"config", b"manifest"];

/// Parts of its chart.
const OF_CHART: &[&[u8]] = &[b"metadata", b"values"];

/// Longer keys are none of these.
const MAX_KEY_BYTES: usize = 16;

/// More is kept than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch;

/// Where in the JSON a piece ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    InString,
    AfterBackslash,
}

/// Takes a text in pieces and keeps it, with `null` for each value that nobody reads. What is no JSON stays none.
pub(super) struct Filter {
    kept: Vec<u8>,
    most: usize,
    state: State,
    depth: usize,
    in_chart: bool,
    /// A string that begins now is a key that tells a part.
    awaits_key: bool,
    /// The key that is being read, or was read last.
    key: Vec<u8>,
    reads_key: bool,
    /// The depth at which a value is left out.
    leaves_out_at: Option<usize>,
}

impl Filter {
    /// Keeps up to `most` bytes.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            kept: Vec::new(),
            most,
            state: State::Between,
            depth: 0,
            in_chart: false,
            awaits_key: false,
            key: Vec::new(),
            reads_key: false,
            leaves_out_at: None,
        }
    }

    /// The next piece of the text.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), TooMuch> {
        while !piece.is_empty() {
            let length = match self.state {
                State::Between => piece.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b',' | b':')),
                State::InString | State::AfterBackslash => self.closing_quote(piece),
            };
            let Some((plain, rest)) = piece.split_at_checked(length.unwrap_or(piece.len())) else { return Ok(()) };
            self.take(plain)?;
            let Some((byte, rest)) = rest.split_first() else { return Ok(()) };
            match self.state {
                State::Between => self.mark(*byte)?,
                State::InString | State::AfterBackslash => {
                    (self.state, self.reads_key) = (State::Between, false);
                    self.take(&[*byte])?;
                }
            }
            piece = rest;
        }
        Ok(())
    }

    /// Where the string ends that the piece begins in; if that is not in this piece, the state says how the next one begins.
    fn closing_quote(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = usize::from(self.state == State::AfterBackslash);
        self.state = State::InString;
        loop {
            let found = at + memchr::memchr2(b'"', b'\\', piece.get(at..)?)?;
            if piece.get(found) == Some(&b'"') {
                return Some(found);
            }
            at = found + 2;
            if at > piece.len() {
                self.state = State::AfterBackslash;
                return None;
            }
        }
    }

    /// What was kept.
    pub(super) fn finish(self) -> Vec<u8> {
        self.kept
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), TooMuch> {
        if self.reads_key && self.key.len() <= MAX_KEY_BYTES {
            self.key.extend(bytes.iter().take(MAX_KEY_BYTES + 1));
        }
        if self.leaves_out_at.is_some() {
            return Ok(());
        }
        if self.kept.len() + bytes.len() > self.most {
            return Err(TooMuch);
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }

    /// A mark of JSON between strings.
    fn mark(&mut self, byte: u8) -> Result<(), TooMuch> {
        match byte {
            b'"' => {
                self.state = State::InString;
                self.take(&[byte])?;
                if self.awaits_key {
                    self.key.clear();
                    self.reads_key = true;
                }
                return Ok(());
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.awaits_key = byte == b'{' && self.tells_parts();
            }
            b'}' | b']' => {
                self.end_value();
                self.depth = self.depth.saturating_sub(1);
                self.awaits_key = false;
            }
            b',' => {
                self.end_value();
                self.awaits_key = self.tells_parts();
            }
            _ if self.awaits_key => {
                self.awaits_key = false;
                self.take(&[byte])?;
                return self.begin_value();
            }
            _ => {}
        }
        self.take(&[byte])
    }

    /// Whether keys at this depth name parts.
    const fn tells_parts(&self) -> bool {
        self.leaves_out_at.is_none() && (self.depth == 1 || self.depth == 2 && self.in_chart)
    }

    /// The value of a key begins.
    fn begin_value(&mut self) -> Result<(), TooMuch> {
        let parts = if self.depth == 1 { OF_RELEASE } else { OF_CHART };
        if self.depth == 1 {
            self.in_chart = self.key == b"chart";
        }
        if !parts.contains(&self.key.as_slice()) {
            self.take(b"null")?;
            self.leaves_out_at = Some(self.depth);
        }
        Ok(())
    }

    /// A comma or a bracket at this depth.
    fn end_value(&mut self) {
        if self.leaves_out_at == Some(self.depth) {
            self.leaves_out_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn filtered(text: &str, piece: usize) -> String {
        let mut filter = Filter::new(1 << 20);
        text.as_bytes().chunks(piece).for_each(|piece| filter.push(piece).unwrap());
        String::from_utf8(filter.finish()).unwrap()
    }

    #[test]
    fn what_is_read_is_kept_whole_and_the_rest_becomes_null_however_it_is_cut() {
        let odd = "a \\ \" {[,]}: é\n";
        let release = json!({
            odd: {"name": [1, {"chart": odd}]}, "name": "m", "hooks": [{"manifest": odd, "x": {}}], "info": {"status": "deployed", "notes": odd, "values": [odd]},
            "chart": {"templates": [{"name": odd, "data": odd}], "metadata": {"name": "milvus", "templates": odd}, "values": {"chart": {"files": [odd, {}]}}, "files": {}, "lock": null},
            "config": {"chart": {"hooks": odd, "metadata": []}}, "manifest": odd, "version": 3, "namespace": "n", "apiVersion": -1.5e3, "labels": {}
        });
        let mut wanted = release.clone();
        for path in ["/hooks", "/chart/templates", "/chart/files", "/apiVersion", "/labels"] {
            *wanted.pointer_mut(path).unwrap() = Value::Null;
        }
        wanted[odd] = Value::Null;
        for text in [release.to_string(), serde_json::to_string_pretty(&release).unwrap()] {
            for piece in [1, 2, 7, 64, text.len()] {
                let kept = filtered(&text, piece);
                assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), wanted, "in pieces of {piece}: {kept}");
            }
        }
    }

    #[test]
    fn what_is_no_release_is_no_json_afterwards_either() {
        for text in ["{", "{\"a\"", "{\"a\":1", "{\"a\":1]}", "[{\"name\":1}", "\"a", "}{", "{\"name\" 1}", "{\"chart\":{\"templates\":[}"] {
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
            assert!(serde_json::from_str::<Value>(&filtered(text, 3)).is_err(), "{text}: {}", filtered(text, 3));
        }
        for text in ["[]", "null", "3", "[{\"hooks\":[1]}]"] {
            assert_eq!(filtered(text, 2), text);
        }
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let mut filter = Filter::new(100);
        assert_eq!(filter.push(br#"{"hooks":""#), Ok(()));
        assert_eq!(filter.push(&[b'x'; 1000]), Ok(()), "of what is left out there may be any amount");
        assert_eq!(filter.push(br#"","manifest":""#), Ok(()));
        assert_eq!(filter.push(&[b'x'; 1000]), Err(TooMuch));
    }
}
