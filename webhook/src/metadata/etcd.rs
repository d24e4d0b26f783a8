//! The calls of etcd (v3) that are needed: reads that are linearizable unless they name a revision, guarded writes, a lease. All of them bounded in size and time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::body::Bytes;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Mutex;

use super::grpc::{Address, Channel, Failure};
use super::wire::{Fields, Malformed, Message, Value};
use crate::server::certificates::{Unusable, certificates, private_key};

/// The longest that a connection may take.
const CONNECT_AT_MOST: Duration = Duration::from_secs(5);

/// The longest that a call may take.
const CALL_AT_MOST: Duration = Duration::from_secs(15);

/// How often a read is tried, each time on the next endpoint.
const TRIES: usize = 4;

/// Keys that are read at once; fewer where they are long.
const PAGE: i64 = 1_000;

/// Why etcd did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// A call failed.
    #[error("etcd at {0}: {1}")]
    Call(String, Failure),
    /// An answer cannot be read.
    #[error("etcd's answer cannot be read")]
    Malformed,
    /// The lease is gone.
    #[error("etcd ended the lease")]
    LeaseGone,
    /// There is nowhere to ask.
    #[error("no endpoint of etcd is known")]
    NoEndpoint,
}

impl From<Malformed> for EtcdError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl EtcdError {
    /// Whether it may pass by itself.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Call(_, failure) if failure.may_pass())
    }
}

/// A user of etcd.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// How etcd is reached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Where it listens; the first that answers is asked.
    pub endpoints: Vec<Address>,
    /// TLS, where it speaks that.
    pub tls: Option<Arc<ClientConfig>>,
    /// Who asks, where it wants to know.
    pub login: Option<Login>,
}

/// TLS to etcd.
///
/// # Errors
/// When there is no authority, or key and certificate cannot be used.
pub fn tls(authority: &str, client: Option<(&str, &str)>) -> Result<Arc<ClientConfig>, Unusable> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(authority));
    if added == 0 {
        return Err(Unusable::Pem("ca.crt", "certificate"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut configuration = match client {
        Some((chain, key)) => builder.with_client_auth_cert(certificates(chain), private_key(key)?)?,
        None => builder.with_no_client_auth(),
    };
    configuration.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(configuration))
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// The revision at which it was last written.
    pub written_at: i64,
    /// The lease that ends it; 0 for none.
    pub lease: i64,
}

/// A write, taken only if the key was last written at this revision (0: is not there).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Vec<u8>,
    /// Its value from now on; nothing deletes it.
    pub value: Option<Vec<u8>>,
    /// The lease that ends it; 0 for none.
    pub lease: i64,
    /// When it was last written.
    pub written_at: i64,
}

/// etcd.
#[derive(Debug)]
pub struct Etcd {
    access: Access,
    session: Mutex<Session>,
}

#[derive(Debug, Default)]
struct Session {
    open: Option<(Channel, Option<HeaderValue>)>,
    endpoint: usize,
}

impl Etcd {
    /// Connects when it is first asked.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self { access, session: Mutex::default() }
    }

    /// How many keys have a prefix, and the revision at which they were counted. `revision` 0: now.
    ///
    /// # Errors
    /// When etcd gives no answer.
    pub async fn count(&self, prefix: &[u8], revision: i64) -> Result<(u64, i64), EtcdError> {
        let request = range(prefix, &end_of(prefix)).number(4, revision).flag(9, true);
        let page = Page::read(&self.ask("/etcdserverpb.KV/Range", request, true).await?)?;
        Ok((page.count, if revision == 0 { page.revision } else { revision }))
    }

    /// Reads all keys with a prefix, in order and all at one revision. `revision` 0: now.
    #[must_use]
    pub fn scan(&self, prefix: &[u8], revision: i64) -> Scan {
        Scan { from: Some(prefix.to_vec()), end: end_of(prefix), revision, limit: PAGE, keys_only: false }
    }

    /// Writes all or nothing, and only as long as the key of `guard` was last written at its revision. Gives the revision at which it wrote; nothing: one of the keys was written
    /// meanwhile.
    ///
    /// # Errors
    /// When etcd gives no answer; whether it wrote is not known then.
    pub async fn write(&self, writes: &[Write], guard: Option<(&[u8], i64)>) -> Result<Option<i64>, EtcdError> {
        let mut request = Message::default();
        for (key, written_at) in writes.iter().map(|write| (write.key.as_slice(), write.written_at)).chain(guard) {
            // Equal (0), by the revision of the last write (2).
            request = request.message(1, &Message::default().number(2, 2).bytes(3, key).number(6, written_at));
        }
        for write in writes {
            let operation = match &write.value {
                Some(value) => Message::default().message(2, &Message::default().bytes(1, &write.key).bytes(2, value).number(3, write.lease)),
                None => Message::default().message(3, &Message::default().bytes(1, &write.key)),
            };
            request = request.message(2, &operation);
        }
        let answer = self.ask("/etcdserverpb.KV/Txn", request, false).await?;
        let (mut is_taken, mut revision) = (false, 0);
        for field in Fields::of(&answer) {
            match field? {
                (1, Value::Bytes(header)) => revision = number(header, 3)?.unwrap_or_default(),
                (2, Value::Number(succeeded)) => is_taken = succeeded != 0,
                _ => {}
            }
        }
        Ok(is_taken.then_some(revision))
    }

    /// A lease that ends after so many seconds unless it is kept.
    ///
    /// # Errors
    /// When etcd gives no answer.
    pub async fn lease(&self, seconds: i64) -> Result<i64, EtcdError> {
        let answer = self.ask("/etcdserverpb.Lease/LeaseGrant", Message::default().number(1, seconds), false).await?;
        number(&answer, 2)?.filter(|id| *id != 0).ok_or(EtcdError::Malformed)
    }

    /// Lets a lease begin anew.
    ///
    /// # Errors
    /// When etcd gives no answer, or the lease has ended.
    pub async fn keep(&self, lease: i64) -> Result<(), EtcdError> {
        let answer = self.ask("/etcdserverpb.Lease/LeaseKeepAlive", Message::default().number(1, lease), true).await?;
        match number(&answer, 3)? {
            Some(seconds) if seconds > 0 => Ok(()),
            _ => Err(EtcdError::LeaseGone),
        }
    }

    /// Ends a lease, and with it the keys that hang on it.
    ///
    /// # Errors
    /// When etcd gives no answer.
    pub async fn end_lease(&self, lease: i64) -> Result<(), EtcdError> {
        self.ask("/etcdserverpb.Lease/LeaseRevoke", Message::default().number(1, lease), false).await.map(drop)
    }

    /// Calls a method. What changes nothing (`repeats`) is tried again elsewhere where that may help; a token that ended is replaced.
    async fn ask(&self, path: &str, request: Message, repeats: bool) -> Result<Bytes, EtcdError> {
        let request = request.finish();
        let mut tries = 0;
        loop {
            tries += 1;
            let (place, result) = self.try_once(path, &request).await?;
            let failure = match result {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            // What failed before anything was sent, or was refused for its token, has changed nothing.
            let is_harmless = repeats && failure.may_pass() || failure.is_of_token();
            if tries >= TRIES || !is_harmless {
                return Err(EtcdError::Call(place, failure));
            }
            tokio::time::sleep(Duration::from_millis(100) * u32::try_from(tries).unwrap_or(1)).await;
        }
    }

    async fn try_once(&self, path: &str, request: &[u8]) -> Result<(String, Result<Bytes, Failure>), EtcdError> {
        #[cfg(test)]
        if let Some(answer) = imagined::answer(request) {
            return Ok(("imagined".into(), answer));
        }
        let mut session = self.session.lock().await;
        let count = self.access.endpoints.len();
        let address = self.access.endpoints.get(session.endpoint % count.max(1)).ok_or(EtcdError::NoEndpoint)?;
        let result = async {
            let (channel, token) = match &session.open {
                Some(open) => open,
                None => {
                    let channel = Channel::open(address, self.access.tls.as_ref(), CONNECT_AT_MOST).await?;
                    let token = authenticate(&channel, self.access.login.as_ref()).await?;
                    session.open.insert((channel, token))
                }
            };
            channel.call(path, request, token.as_ref(), CALL_AT_MOST).await
        }
        .await;
        if let Err(failure) = &result
            && (failure.may_pass() || failure.is_of_token())
        {
            session.open = None;
            session.endpoint = session.endpoint.wrapping_add(usize::from(failure.may_pass()));
        }
        Ok((address.to_string(), result))
    }
}

/// An etcd without a socket, for this thread: answers to ranges.
#[cfg(test)]
pub(crate) mod imagined {
    use std::cell::RefCell;

    use super::{Bytes, Failure};

    type Answers = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Failure>>;

    thread_local! {
        static ANSWERS: RefCell<Option<Answers>> = const { RefCell::new(None) };
    }

    /// Asks this from now on.
    pub(crate) fn answer_by(answers: impl Fn(&[u8]) -> Result<Vec<u8>, Failure> + 'static) {
        ANSWERS.set(Some(Box::new(answers)));
    }

    pub(super) fn answer(request: &[u8]) -> Option<Result<Bytes, Failure>> {
        ANSWERS.with_borrow(|answers| answers.as_ref().map(|answers| answers(request).map(Bytes::from)))
    }
}

async fn authenticate(channel: &Channel, login: Option<&Login>) -> Result<Option<HeaderValue>, Failure> {
    let Some(login) = login else { return Ok(None) };
    let request = Message::default().bytes(1, login.name.as_bytes()).bytes(2, login.password.as_bytes()).finish();
    let answer = channel.call("/etcdserverpb.Auth/Authenticate", &request, None, CALL_AT_MOST).await?;
    let token = Fields::of(&answer).flatten().find_map(|(field, value)| match value {
        Value::Bytes(token) if field == 2 => HeaderValue::from_bytes(token).ok(),
        _ => None,
    });
    let mut token = token.ok_or(Failure::Malformed("it has no token"))?;
    token.set_sensitive(true);
    Ok(Some(token))
}

/// Reads keys page by page.
#[derive(Debug)]
pub struct Scan {
    from: Option<Vec<u8>>,
    end: Vec<u8>,
    revision: i64,
    limit: i64,
    keys_only: bool,
}

impl Scan {
    /// Without values.
    #[must_use]
    pub const fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }

    /// The revision at which is read; 0 before the first page.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// The next page; nothing after the last one.
    ///
    /// # Errors
    /// When etcd gives no answer, or has compacted the revision meanwhile.
    pub async fn next(&mut self, etcd: &Etcd) -> Result<Option<Vec<Entry>>, EtcdError> {
        let Some(from) = &self.from else { return Ok(None) };
        let answer = loop {
            let request = range(from, &self.end).number(3, self.limit).number(4, self.revision).flag(8, self.keys_only);
            match etcd.ask("/etcdserverpb.KV/Range", request, true).await {
                Err(EtcdError::Call(_, Failure::TooLong)) if self.limit > 1 => self.limit = (self.limit / 8).max(1),
                answer => break answer?,
            }
        };
        let page = Page::read(&answer)?;
        if self.revision == 0 {
            self.revision = page.revision;
        }
        // The smallest key after the last one.
        self.from = page.entries.last().filter(|_| page.more).map(|entry| [entry.key.as_slice(), &[0]].concat());
        Ok(Some(page.entries))
    }
}

#[derive(Debug, Default)]
struct Page {
    entries: Vec<Entry>,
    revision: i64,
    more: bool,
    count: u64,
}

impl Page {
    fn read(answer: &[u8]) -> Result<Self, EtcdError> {
        let mut page = Self::default();
        for field in Fields::of(answer) {
            match field? {
                (1, Value::Bytes(header)) => page.revision = number(header, 3)?.unwrap_or_default(),
                (2, Value::Bytes(entry)) => page.entries.push(Entry::read(entry)?),
                (3, Value::Number(more)) => page.more = more != 0,
                (4, Value::Number(count)) => page.count = count,
                _ => {}
            }
        }
        Ok(page)
    }
}

impl Entry {
    fn read(message: &[u8]) -> Result<Self, EtcdError> {
        let mut entry = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, Value::Bytes(key)) => key.clone_into(&mut entry.key),
                (3, Value::Number(revision)) => entry.written_at = revision.cast_signed(),
                (5, Value::Bytes(value)) => value.clone_into(&mut entry.value),
                (6, Value::Number(lease)) => entry.lease = lease.cast_signed(),
                _ => {}
            }
        }
        Ok(entry)
    }
}

/// A number of a message.
fn number(message: &[u8], wanted: u32) -> Result<Option<i64>, EtcdError> {
    let mut found = None;
    for field in Fields::of(message) {
        match field? {
            (field, Value::Number(value)) if field == wanted => found = Some(value.cast_signed()),
            _ => {}
        }
    }
    Ok(found)
}

fn range(from: &[u8], end: &[u8]) -> Message {
    Message::default().bytes(1, from).bytes(2, end)
}

/// The end of a range of all keys with a prefix: the smallest key that is larger than all of them. One zero byte: there is none.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_without_it() {
        assert_eq!(end_of(b"by-dev/meta/"), b"by-dev/meta0");
        assert_eq!(end_of(&[1, 255, 255]), [2]);
        assert_eq!((end_of(&[255]), end_of(b"")), (vec![0], vec![0]));
    }

    #[test]
    fn a_page_is_read_with_its_leases_and_nothing_of_a_login_is_shown() {
        let entry = Message::default().bytes(1, b"k").number(3, 7).bytes(5, b"v").number(6, 9);
        let answer = Message::default().message(1, &Message::default().number(3, 41)).message(2, &entry).flag(3, true).number(4, 12).finish();
        let page = Page::read(&answer).unwrap();
        assert_eq!((page.revision, page.more, page.count), (41, true, 12));
        assert_eq!(page.entries, [Entry { key: b"k".to_vec(), value: b"v".to_vec(), written_at: 7, lease: 9 }]);
        assert_eq!(Page::read(&answer[1..]).map(drop), Err(EtcdError::Malformed));
        let access = Access { login: Some(Login { name: "root".into(), password: "hunter2".into() }), ..Access::default() };
        assert!(!format!("{access:?}").contains("hunter2"));
    }
}
