//! The seam between the server and the gates: the server knows nothing else of what is admitted, refused and patched.

use std::future::Future;
use std::sync::Arc;

use super::outline::Fingerprint;
use super::{Answer, Gate, Request};

/// What happens to a request that could not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtPolicy {
    /// It passes, with a warning.
    Admit,
    /// It is refused, and may be tried again.
    Refuse,
}

/// Why a request could not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The handler's budget ended first.
    Budget,
    /// The judge failed in a way that it should not.
    Fault,
}

impl Doubt {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Fault => "fault",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Budget => "milvus-guard could not judge this in time",
            Self::Fault => "milvus-guard failed to judge this",
        }
    }
}

impl DoubtPolicy {
    /// The answer to a request of `gate` that could not be judged because of `doubt`.
    #[must_use]
    pub fn answer(self, gate: Gate, doubt: Doubt) -> Answer {
        let mut answer = Answer::admitted();
        answer.audit.insert("doubt".into(), doubt.name().into());
        match self {
            Self::Admit => answer.warnings.push(format!("{}: admitted without a verdict (gate {})", doubt.sentence(), gate.name())),
            Self::Refuse => answer.refused = Some(format!("{}; try again (gate {})", doubt.sentence(), gate.name())),
        }
        answer
    }
}

/// What a first look at a body tells.
#[derive(Debug)]
pub enum Glance {
    /// The answer that `judge` would give to this request, whose objects are left as null.
    Known(Box<Request>, Answer),
    /// It has to be decoded and judged; then its verdict may be remembered by this.
    Decode(Option<Fingerprint>),
}

/// Decides admitted, refused, patched.
///
/// `judge` runs in a task of its own: it may be aborted at an await when the budget ends, and a panic in it is answered by `in_doubt`. Work that
/// keeps a processor busy for more than a millisecond or so belongs on a blocking thread; the request is shared for that.
pub trait Judge: Send + Sync + 'static {
    /// What can be told from a body alone, before its objects are decoded. Must not take long.
    fn glance(&self, _gate: Gate, _body: &[u8]) -> Glance {
        Glance::Decode(None)
    }

    /// The verdict on one request.
    fn judge(&self, gate: Gate, request: Arc<Request>) -> impl Future<Output = Answer> + Send;

    /// The answer when `judge` gave none; must not wait. A gate that can be safe without a verdict (a hold) overrides this.
    fn in_doubt(&self, gate: Gate, _request: &Request, doubt: Doubt, policy: DoubtPolicy) -> Answer {
        policy.answer(gate, doubt)
    }

    /// Whether rules and caches are there: no request is sent to a replica before.
    fn is_ready(&self) -> bool;
}

/// Admits everything: for a server without gates.
#[derive(Debug, Clone, Copy)]
pub struct AdmitAll;

impl Judge for AdmitAll {
    async fn judge(&self, _gate: Gate, _request: Arc<Request>) -> Answer {
        Answer::admitted()
    }

    fn is_ready(&self) -> bool {
        true
    }
}
