//! The backup file: upstream's format, so that upstream's `meta-migration` can put it back, too, where the guard is gone; and a manifest beside it, which that format has no place for.
//!
//! A header, then one record per key in the order of keys; each with its length before it (8 bytes, little endian) and encoded in protobuf. Keys are whole, with the root path.
//! Source: milvus-io/milvus, `cmd/tools/migration/backend/backup_header.proto` and `backup_restore.go`.

use std::io::{self, BufRead, Read as _, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::layout::Counts;
use super::location::Location;
use super::wire::{Fields, Malformed, Message, Value};

/// The longest header or record that is read, in bytes. etcd's requests have at most 1.5 MiB unless it is told otherwise.
const LONGEST_BYTES: u64 = 64 << 20;

/// What says that keys are whole.
const EXTRA: &str = r#"{"entry_include_root_path":true}"#;

/// A file that is not a whole backup.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It cannot be read.
    #[error("the backup cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It ends in the middle.
    #[error("the backup ends in the middle")]
    CutOff,
    /// It is none.
    #[error("the file is no backup")]
    Malformed,
    /// Keys are not in order, or twice there.
    #[error("the keys of the backup are not in order: it was not made by this program")]
    Order,
    /// It has fewer or more records than it says.
    #[error("the backup says that it has {said} keys, and has {found}")]
    Count {
        /// What the header says.
        said: u64,
        /// What is there.
        found: u64,
    },
    /// It is of another place.
    #[error("the backup is of `{0}`")]
    Elsewhere(String),
    /// Not what its manifest says.
    #[error("the backup is not what its manifest says: {0}")]
    Manifest(&'static str),
}

impl From<Malformed> for Broken {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What tells two sets of keys and values apart: SHA-256 over each key and value in the order of keys, their lengths before them.
#[derive(Debug, Clone, Default)]
pub struct Digest {
    hash: Sha256,
    entries: u64,
}

/// What a set of keys and values is told by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many keys.
    pub entries: u64,
    /// `sha256:` and the digest.
    pub digest: String,
}

impl Digest {
    /// Takes the next key in.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        for part in [key, value] {
            self.hash.update((part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
        self.entries += 1;
    }

    /// The sum of all that were taken in.
    #[must_use]
    pub fn sum(self) -> Sum {
        let hex: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Sum { entries: self.entries, digest: format!("sha256:{hex}") }
    }
}

/// What is written beside a backup, after it: where it is there, the backup is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Root path and meta path that it is of, with a slash between them.
    pub of: String,
    /// The revision of etcd that it was read at.
    pub revision: i64,
    /// What it holds.
    #[serde(flatten)]
    pub sum: Sum,
    /// The keys that tell the layout, counted at that time.
    pub counts: Counts,
}

/// Writes a backup.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    digest: Digest,
    said: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a backup of so many keys.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(mut out: W, location: &Location, entries: u64) -> io::Result<Self> {
        let count = i64::try_from(entries).map_err(io::Error::other)?;
        let header =
            Message::default().bytes(2, location.root.as_bytes()).bytes(3, location.meta.as_bytes()).number(4, count).bytes(6, EXTRA.as_bytes()).finish();
        record(&mut out, &header)?;
        Ok(Self { out, digest: Digest::default(), said: entries })
    }

    /// Writes the next key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.digest.add(key, value);
        record(&mut self.out, &Message::default().bytes(1, key).bytes(2, value).finish())
    }

    /// Ends it, and tells what was written.
    ///
    /// # Errors
    /// When it cannot be written, or there were more or fewer keys.
    pub fn finish(mut self) -> io::Result<(W, Sum)> {
        self.out.flush()?;
        let sum = self.digest.sum();
        if sum.entries != self.said {
            return Err(io::Error::other(format!("{} keys were counted, and {} read", self.said, sum.entries)));
        }
        Ok((self.out, sum))
    }
}

fn record(out: &mut impl Write, message: &[u8]) -> io::Result<()> {
    out.write_all(&(message.len() as u64).to_le_bytes())?;
    out.write_all(message)
}

/// Reads a backup, key by key.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    said: u64,
    digest: Digest,
    last: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header, and checks that the backup is of this place.
    ///
    /// # Errors
    /// When it is not.
    pub fn new(mut from: R, location: &Location) -> Result<Self, Broken> {
        let header = next_record(&mut from)?.ok_or(Broken::CutOff)?;
        let (mut root, mut meta, mut said, mut extra) = (&[][..], &[][..], 0, &[][..]);
        for field in Fields::of(&header) {
            match field? {
                (1, Value::Number(1..)) => return Err(Broken::Malformed),
                (2, Value::Bytes(text)) => root = text,
                (3, Value::Bytes(text)) => meta = text,
                (4, Value::Number(count)) => said = count,
                (6, Value::Bytes(text)) => extra = text,
                _ => {}
            }
        }
        if (root, meta) != (location.root.as_bytes(), location.meta.as_bytes()) {
            return Err(Broken::Elsewhere(String::from_utf8_lossy(&[root, b"/", meta].concat()).into_owned()));
        }
        if extra != EXTRA.as_bytes() {
            return Err(Broken::Malformed);
        }
        Ok(Self { from, said, digest: Digest::default(), last: None })
    }

    /// The next key with its value; nothing after the last one.
    ///
    /// # Errors
    /// When the file is broken here.
    pub fn read(&mut self) -> Result<Option<Pair>, Broken> {
        let Some(record) = next_record(&mut self.from)? else { return Ok(None) };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for field in Fields::of(&record) {
            match field? {
                (1, Value::Bytes(bytes)) => bytes.clone_into(&mut key),
                (2, Value::Bytes(bytes)) => bytes.clone_into(&mut value),
                _ => return Err(Broken::Malformed),
            }
        }
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(Broken::Order);
        }
        self.last = Some(key.clone());
        self.digest.add(&key, &value);
        Ok(Some((key, value)))
    }

    /// Reads to the end, and checks that it is what the manifest says.
    ///
    /// # Errors
    /// When it is broken, or something else.
    pub fn check(mut self, manifest: &Manifest) -> Result<(), Broken> {
        while self.read()?.is_some() {}
        self.end(manifest)
    }

    /// Once everything is read: whether it is all, and what the manifest says.
    ///
    /// # Errors
    /// When it is not.
    pub fn end(self, manifest: &Manifest) -> Result<(), Broken> {
        let sum = self.digest.sum();
        if sum.entries != self.said {
            return Err(Broken::Count { said: self.said, found: sum.entries });
        }
        if sum.entries != manifest.sum.entries {
            return Err(Broken::Manifest("the number of keys differs"));
        }
        if sum.digest != manifest.sum.digest {
            return Err(Broken::Manifest("the digest differs"));
        }
        if sum.entries == 0 {
            return Err(Broken::Manifest("there is nothing in it"));
        }
        Ok(())
    }
}

/// A record; nothing at the end of the file.
fn next_record(from: &mut impl BufRead) -> Result<Option<Vec<u8>>, Broken> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 8];
    from.read_exact(&mut length).map_err(|_| Broken::CutOff)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_BYTES {
        return Err(Broken::Malformed);
    }
    let mut record = Vec::new();
    from.take(length).read_to_end(&mut record)?;
    if (record.len() as u64) < length {
        return Err(Broken::CutOff);
    }
    Ok(Some(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location() -> Location {
        Location::new("by-dev", "meta", "kv").unwrap()
    }

    fn file(entries: &[(&str, &[u8])]) -> (Vec<u8>, Manifest) {
        let mut writer = Writer::new(Vec::new(), &location(), entries.len() as u64).unwrap();
        entries.iter().for_each(|(key, value)| writer.add(key.as_bytes(), value).unwrap());
        let (file, sum) = writer.finish().unwrap();
        (file, Manifest { of: "by-dev/meta".into(), revision: 7, sum, counts: Counts::default() })
    }

    fn check(file: &[u8], manifest: &Manifest) -> Result<(), Broken> {
        Reader::new(file, &location())?.check(manifest)
    }

    const ENTRIES: [(&str, &[u8]); 3] = [("by-dev/meta/a", b"1"), ("by-dev/meta/b", b""), ("by-dev/meta/c", &[0, 255, 128])];

    #[test]
    fn the_bytes_are_those_that_upstream_writes() {
        let (file, _) = file(&[("k", b"v")]);
        let header = [&b"\x12\x06by-dev\x1a\x04meta\x20\x01\x32\x20"[..], EXTRA.as_bytes()].concat();
        let expected = [&(header.len() as u64).to_le_bytes()[..], &header, &6_u64.to_le_bytes(), b"\x0a\x01k\x12\x01v"].concat();
        assert_eq!(file, expected);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (file, manifest) = file(&ENTRIES);
        let mut reader = Reader::new(&*file, &location()).unwrap();
        let mut read = Vec::new();
        while let Some((key, value)) = reader.read().unwrap() {
            read.push((String::from_utf8(key).unwrap(), value));
        }
        assert_eq!(read, ENTRIES.map(|(key, value)| (key.to_owned(), value.to_vec())));
        reader.end(&manifest).unwrap();
        check(&file, &manifest).unwrap();
    }

    #[test]
    fn a_backup_that_is_cut_off_anywhere_or_differs_in_any_byte_is_not_taken() {
        let (file, manifest) = file(&ENTRIES);
        for length in 0..file.len() {
            assert!(check(&file[..length], &manifest).is_err(), "cut at {length}");
        }
        for place in 0..file.len() {
            let mut other = file.clone();
            other[place] ^= 1;
            assert!(check(&other, &manifest).is_err(), "changed at {place}");
        }
        assert!(matches!(check(&[&*file, &file[file.len() - 1..]].concat(), &manifest), Err(Broken::CutOff)));
    }

    #[test]
    fn an_empty_backup_and_one_of_elsewhere_are_not_taken() {
        let (empty, manifest) = file(&[]);
        assert!(matches!(check(&empty, &manifest), Err(Broken::Manifest("there is nothing in it"))));
        assert!(matches!(check(&[], &manifest), Err(Broken::CutOff)));
        let (one, _) = file(&ENTRIES);
        let elsewhere = Location::new("by-dev", "meta2", "kv").unwrap();
        assert!(matches!(Reader::new(&*one, &elsewhere), Err(Broken::Elsewhere(place)) if place == "by-dev/meta"));
        let unordered: Vec<(&str, &[u8])> = ENTRIES.into_iter().rev().collect();
        let (unordered, manifest) = file(&unordered);
        assert!(matches!(check(&unordered, &manifest), Err(Broken::Order)));
        let writer = Writer::new(Vec::new(), &location(), 1).unwrap();
        assert!(writer.finish().is_err(), "fewer keys than counted");
    }

    #[test]
    fn where_a_key_ends_and_its_value_begins_counts() {
        let sum = |key: &[u8], value: &[u8]| {
            let mut digest = Digest::default();
            digest.add(key, value);
            digest.sum().digest
        };
        assert_ne!(sum(b"ab", b"c"), sum(b"a", b"bc"));
    }
}
