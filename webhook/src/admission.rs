//! Judges one admission request: what arrives, what is answered, and which gate decides.

pub mod answer;
pub mod change;
mod declared;
pub mod exceptions;
#[cfg(test)]
pub(crate) mod fixture;
pub mod gitops;
pub mod guard;
pub(crate) mod helm_storage;
pub mod hold;
pub mod judge;
pub mod milvus;
pub mod opening;
pub mod outline;
mod own;
pub mod patch;
mod receipts;
pub mod release;
pub mod request;
pub mod verdict;
pub mod workload;

pub use answer::{Answer, Cause};
pub use judge::{Doubt, DoubtPolicy, Glance, Judge};
pub use request::{Operation, Request};

/// The key of the audit annotation of a release that could not be decoded.
pub const UNDECODABLE: &str = "undecodable";

/// The key of the audit annotation of what break-glass let pass.
pub const BREAK_GLASS: &str = "break-glass";

/// Which gate a request came to: its path on our server, fixed by the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    /// Gate 1: a Helm release as it is stored, before anything else of it is written.
    HelmStorage,
    /// Gate 2: an object that tells a GitOps tool what to install.
    GitOps,
    /// Gate 3: a workload, its scale, or a claim of a Milvus release.
    Workload,
    /// Our own objects: GuardedUpgrade and UpgradeReceipt.
    Own,
}

impl Gate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::HelmStorage, Self::GitOps, Self::Workload, Self::Own];

    /// The path that reviews of this gate are posted to.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::HelmStorage => "/gates/helm-storage",
            Self::GitOps => "/gates/gitops",
            Self::Workload => "/gates/workload",
            Self::Own => "/gates/own",
        }
    }

    /// Its name in metrics, logs and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HelmStorage => "helm-storage",
            Self::GitOps => "gitops",
            Self::Workload => "workload",
            Self::Own => "own",
        }
    }

    /// Whether the objects of a review have to be decoded: what is not Milvus is admitted unseen where that can be told from the text.
    #[must_use]
    pub fn looks_at(self, body: &[u8]) -> bool {
        self != Self::GitOps || request::mentions_milvus(body)
    }

    /// What happens when a request of this gate cannot be judged, unless configured otherwise. Gate 1 sees every Helm release of the cluster and has
    /// gate 3 behind it; gate 3 must not refuse in the middle of an apply; gates that see nothing but Milvus refuse.
    #[must_use]
    pub const fn doubt(self) -> DoubtPolicy {
        match self {
            Self::HelmStorage | Self::Workload => DoubtPolicy::Admit,
            Self::GitOps | Self::Own => DoubtPolicy::Refuse,
        }
    }
}
